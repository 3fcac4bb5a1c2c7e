"""The actions of the caption editor, by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lib_lyco.studio.dataset.body import text_of, texts_of, unusable
from lib_lyco.studio.dataset.tagger import Category
from lib_lyco.studio.dataset.tags import (
    ChangeLine,
    ChangeTags,
    Grammar,
    added,
    deduped,
    in_order,
    led_by,
    plain,
    removed,
    replaced,
    without,
)

ACTIONS = ("add", "add_front", "remove", "replace", "trigger", "dedupe", "sort", "find", "clean")


@dataclass(frozen=True)
class Context:
    """What an action may need to know of the images and of what can look at them."""

    grammar: Grammar
    """How a caption is made of tags."""
    kept: int = 0
    """Tags at the start that sorting leaves there."""
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many captions each tag is in."""
    kinds: Callable[[str], Mapping[str, Category]] = lambda tagger: {}
    """What tags are, by the tagger of that id."""


def edit_of(action: str, body: Mapping[str, Any], context: Context) -> tuple[ChangeLine, str]:
    """What an action does to one line of a caption, and how it is called.

    Args:
        action: One of `ACTIONS`.
        body: `tags`, and `old` of replace; `find` and `with` of find; `by` of sort; of clean `dedupe`,
            `gone` with the kinds of tags that go, `tagger` that knows them, `by` and `tags`, the triggers.
        context: What else has to be known.

    Raises:
        ConfigError: There is no such action, or what it needs is missing.
    """
    if action == "find":
        return _finding(text_of(body, "find"), text_of(body, "with"))
    tags = texts_of(body, "tags")
    told, old = ", ".join(tags), text_of(body, "old").strip()
    needs_tags = action in ("add", "add_front", "remove", "trigger")
    if (needs_tags and not tags) or (action == "replace" and not old):
        raise unusable("tags", tags, "at least one tag")
    known: dict[str, Callable[[], tuple[ChangeTags, str]]] = {
        "add": lambda: (partial(added, new=tags), f"Add tags: {told}"),
        "add_front": lambda: (partial(added, new=tags, in_front=True), f"Add tags in front: {told}"),
        "remove": lambda: (partial(removed, gone=tags), f"Remove tags: {told}"),
        "replace": lambda: (partial(replaced, old=old, new=tags), f"Replace {old} by: {told}"),
        "trigger": lambda: (partial(led_by, triggers=tags), f"Put in front: {told}"),
        "dedupe": lambda: (deduped, "Remove doubles"),
        "sort": lambda: (_sorting(text_of(body, "by") or "alphabet", context), "Sort tags"),
        "clean": lambda: (_cleaning(body, tags, context), "Clean up"),
    }
    if action not in known:
        raise unusable("action", action, "one of " + ", ".join(ACTIONS))
    change, label = known[action]()
    return context.grammar.on_tags(change), label


def _sorting(by: str, context: Context) -> ChangeTags:
    if by not in ("alphabet", "frequency"):
        raise unusable("by", by, "alphabet or frequency")
    return partial(in_order, kept=context.kept, counts=context.counts if by == "frequency" else None)


def _cleaning(body: Mapping[str, Any], triggers: Sequence[str], context: Context) -> ChangeTags:
    """Several changes as one: tags of some kinds go, then doubles, the rest is sorted, triggers lead."""
    gone, by = texts_of(body, "gone"), text_of(body, "by")
    steps: list[ChangeTags] = []
    if gone:
        kinds = context.kinds(text_of(body, "tagger"))
        steps.append(partial(without, gone={plain(tag) for tag, kind in kinds.items() if kind in gone}))
    if body.get("dedupe") is True:
        steps.append(deduped)
    if by:
        steps.append(_sorting(by, context))
    if triggers:
        steps.append(partial(led_by, triggers=triggers))

    def change(tags: Sequence[str]) -> list[str]:
        for step in steps:
            tags = step(tags)
        return list(tags)

    return change


def _finding(text: str, instead: str) -> tuple[ChangeLine, str]:
    """Replaces a text wherever it stands."""
    if not text:
        raise unusable("find", text, "a text")
    if "\n" in text + instead:
        raise unusable("find", text, "one line")
    return lambda line: line.replace(text, instead), f"Find {text}, write {instead}"
