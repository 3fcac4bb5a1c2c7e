"""Tags in a prompt as the page gets them, and edited: the page knows no grammar of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lib_lyco.errors import PromptError, one_line
from lib_lyco.prompt.edit import PlacedTag, Tag, place_tags
from lib_lyco.prompt.options import place_items
from lib_lyco.prompt.presets import Presets
from lib_lyco.prompt.request import NetworkRequest
from lib_lyco.prompt.schedule import Schedule
from lib_lyco.prompt.tags import parse_request

CardIdOf = Callable[[str], "str | None"]
"""A tag's name -> the id of the card that it means, if there is one."""


def describe_tags(prompt: str, presets: Presets, card_id: CardIdOf) -> list[dict[str, Any]]:
    """The tags of a prompt in their order, with their places in UTF-16 units."""
    return [_describe(prompt, placed, presets, card_id) for placed in place_tags(prompt)]


def edit_tag(prompt: str, at: int, text: str, change: Callable[[Tag], Tag | None]) -> str:
    """The prompt with one of its tags changed, or taken out where the change gives None.

    Args:
        prompt: The prompt.
        at: The tag's place among the tags.
        text: What the tag is thought to be.
        change: What to do with it; may raise PromptError.

    Raises:
        PromptError: Another tag stands there, or the change cannot be made.
    """
    tags = place_tags(prompt)
    if not 0 <= at < len(tags) or str(tags[at].tag) != text:
        raise PromptError("The prompt has changed meanwhile", where=text, remedy="Try again.")
    start, end, tag = tags[at]
    changed = change(tag)
    return f"{prompt[:start]}{'' if changed is None else changed}{prompt[end:]}"


def changed_tag(tag: Tag, name: str | None, options: Mapping[str, str | None]) -> Tag:
    """The tag with another name, and some options set or, with None, taken out."""
    for option, value in options.items():
        tag = tag.without_option(option) if value is None else tag.with_option(option, value)
    return tag if name is None else tag.with_name(name)


def _describe(prompt: str, placed: PlacedTag, presets: Presets, card_id: CardIdOf) -> dict[str, Any]:
    tag = placed.tag
    request, problem = _read(tag, presets)
    start = _units(prompt[: placed.start])
    return {
        "start": start,
        "end": start + _units(str(tag)),
        "text": str(tag),
        "kind": tag.kind,
        "name": tag.name.strip(),
        "card_id": card_id(tag.name),
        "te": request.te.points[0][1],
        "unet": request.unet.points[0][1],
        "muted": all(_is_nothing(one) for one in (request.te, request.unet)),
        "options": {item.option: item.text for item in _by_rank(tag)},
        "schedule": _points(request.unet),
        "window": _window(request.unet),
        "problem": problem,
    }


def _read(tag: Tag, presets: Presets) -> tuple[NetworkRequest, str | None]:
    """What the tag asks for; one that cannot be read counts as if it were its name alone."""
    try:
        return parse_request((tag.name, *tag.options), str(tag), presets), None
    except PromptError as error:
        return NetworkRequest(tag.name.strip()), one_line(error)


def _by_rank(tag: Tag) -> Sequence[Any]:
    """The options given, those with a name last: they count."""
    return sorted(place_items(tag.options), key=lambda item: item.named)


def _is_nothing(strength: Schedule) -> bool:
    return all(value == 0 for _, value in strength.points)


def _points(strength: Schedule) -> list[tuple[float, float]] | None:
    """(position, value) where the value varies."""
    values = {value for _, value in strength.points}
    return list(strength.points) if len(values) > 1 else None


def _window(strength: Schedule) -> tuple[int, int | None] | None:
    window = strength.window
    return None if window is None else (window.start, window.stop)


def _units(text: str) -> int:
    """Its length as JavaScript counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
