"""Tags inside a prompt: found, changed, and everything around them left as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lib_lyco.errors import PromptError
from lib_lyco.prompt.options import place_items

KINDS = ("lora", "lyco")
"""The words before the first colon that are ours; both mean the same."""

_TAG = re.compile(r"<(\w+):([^>]+)>")
"""The host's own expression (`modules/extra_networks.py`): no `:`, `>` or quoting inside."""


@dataclass(frozen=True)
class Tag:
    """One tag, its texts as they were written. `str` gives the tag back, character by character."""

    kind: str
    name: str
    options: tuple[str, ...] = ()
    """What stands between the colons behind the name."""

    def __post_init__(self) -> None:
        """Raises PromptError where the texts cannot stand in a tag."""
        if _TAG.fullmatch(str(self)) is None or any(":" in text for text in (self.name, *self.options)):
            raise PromptError(
                "A text cannot stand in a tag", got=repr(str(self)), expected="text without : and > in it"
            )

    def __str__(self) -> str:
        return f"<{':'.join((self.kind, self.name, *self.options))}>"

    def with_name(self, name: str) -> Tag:
        """The same options for another network."""
        return replace(self, name=name)

    def with_strength(self, text: str) -> Tag:
        """With one multiplier for text encoders and UNet."""
        changed = self._set("te", text)
        return changed._set("unet", text) if changed._says("unet") else changed

    def with_option(self, option: str, text: str) -> Tag:
        """With another value of one option, in its old place if it has one; the others keep theirs."""
        changed = self
        if option == "te" and not self._says("unet"):
            # without a value of its own the UNet would follow
            changed = self._set("unet", self._value("te") or "1")
        return changed._set(option, text)

    def without_option(self, option: str) -> Tag:
        """Without one option; those that were known by their place behind it get their names."""
        placed = place_items(self.options)
        options: list[str] = []
        is_gone = False
        for item, text in zip(placed, self.options, strict=True):
            if item.option == option:
                is_gone = is_gone or not item.named
            else:
                options.append(f"{item.option}={item.text}" if is_gone and not item.named else text)
        return replace(self, options=tuple(options))

    def _says(self, option: str) -> bool:
        return any(item.option == option for item in place_items(self.options))

    def _value(self, option: str) -> str:
        given = [item for item in place_items(self.options) if item.option == option]
        return max(given, key=lambda item: item.named).text if given else ""

    def _set(self, option: str, text: str) -> Tag:
        placed = place_items(self.options)
        options = list(self.options)
        found = [place for place, item in enumerate(placed) if item.option == option]
        if not found:
            # a first strength needs no name where no unnamed value would be taken for another
            bare = option == "te" and all(item.named for item in placed)
            options = [text, *options] if bare else [*options, f"{option}={text}"]
        else:
            place = max(found, key=lambda place: placed[place].named)
            options[place] = f"{option}={text}" if placed[place].named else text
        return replace(self, options=tuple(options))


class PlacedTag(NamedTuple):
    """A tag and where it stands in its prompt."""

    start: int
    end: int
    """Behind its last character."""
    tag: Tag


def read_tag(text: str) -> Tag:
    """The tag that a text is.

    Raises:
        PromptError: The text is no tag.
    """
    match = _TAG.fullmatch(text)
    if match is None:
        raise PromptError("This is no tag", got=repr(text), expected="<lora:name> or <lora:name:0.8>")
    return _tag(match)


def find_tags(text: str, kinds: Sequence[str] = KINDS) -> list[Tag]:
    """The tags of some kinds in a prompt, in their order."""
    return [placed.tag for placed in place_tags(text, kinds)]


def place_tags(text: str, kinds: Sequence[str] = KINDS) -> list[PlacedTag]:
    """As `find_tags`, each with its place."""
    return [
        PlacedTag(match.start(), match.end(), _tag(match))
        for match in _TAG.finditer(text)
        if match[1] in kinds
    ]


def map_tags(text: str, change: Callable[[Tag], Tag | None], kinds: Sequence[str] = KINDS) -> str:
    """The prompt with its tags of some kinds changed, or taken out where the change gives None."""

    def changed(match: re.Match[str]) -> str:
        if match[1] not in kinds:
            return match[0]
        tag = change(_tag(match))
        return "" if tag is None else str(tag)

    return _TAG.sub(changed, text)


def _tag(match: re.Match[str]) -> Tag:
    name, *options = match[2].split(":")
    return Tag(match[1], name, tuple(options))
