"""The actions of the caption editor, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lib_lyco.studio.dataset.body import text_of, texts_of, unusable
from lib_lyco.studio.dataset.tags import (
    ChangeLine,
    ChangeTags,
    Grammar,
    added,
    deduped,
    in_order,
    led_by,
    removed,
    replaced,
)

ACTIONS = ("add", "add_front", "remove", "replace", "trigger", "dedupe", "sort", "find")


def edit_of(
    action: str, body: Mapping[str, Any], grammar: Grammar, kept: int = 0
) -> tuple[ChangeLine, str]:
    """What an action does to one line of a caption, and how it is called.

    Args:
        action: One of `ACTIONS`.
        body: `tags`, and `old` of replace; `find` and `with` of find.
        grammar: How a caption is made of tags.
        kept: Tags at the start that sorting leaves there.

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
    known: dict[str, tuple[ChangeTags, str]] = {
        "add": (partial(added, new=tags), f"Add tags: {told}"),
        "add_front": (partial(added, new=tags, in_front=True), f"Add tags in front: {told}"),
        "remove": (partial(removed, gone=tags), f"Remove tags: {told}"),
        "replace": (partial(replaced, old=old, new=tags), f"Replace {old} by: {told}"),
        "trigger": (partial(led_by, triggers=tags), f"Put in front: {told}"),
        "dedupe": (deduped, "Remove doubles"),
        "sort": (partial(in_order, kept=kept), "Sort tags"),
    }
    if action not in known:
        raise unusable("action", action, "one of " + ", ".join(ACTIONS))
    change, label = known[action]
    return grammar.on_tags(change), label


def _finding(text: str, instead: str) -> tuple[ChangeLine, str]:
    """Replaces a text wherever it stands."""
    if not text:
        raise unusable("find", text, "a text")
    if "\n" in text + instead:
        raise unusable("find", text, "one line")
    return lambda line: line.replace(text, instead), f"Find {text}, write {instead}"
