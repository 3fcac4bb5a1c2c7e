"""What a page sends, looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast, get_args

from lib_lyco.errors import ConfigError, LycoError
from lib_lyco.studio.dataset.tagger import Mode, Wish


def text_of(body: Mapping[str, Any], name: str) -> str:
    """A text. Raises ConfigError if it is none."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise unusable(name, value, "a text")
    return value


def texts_of(body: Mapping[str, Any], name: str) -> list[str]:
    """Texts without spaces around them, empty ones left out. Raises ConfigError if they are none."""
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[Any]", value)):
        raise unusable(name, value, "a list of texts")
    return [one.strip() for one in cast("list[str]", value) if one.strip()]


def names_of(body: Mapping[str, Any]) -> Sequence[str]:
    """Names of images, at least one. Raises ConfigError if there are none."""
    value = body.get("names")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[Any]", value)):
        raise unusable("names", value, "a list of texts")
    if not value:
        raise ConfigError("No image is selected.", remedy="Select one.")
    return cast("list[str]", value)


def texts_by_name(body: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """A text for each image. Raises ConfigError if they are none."""
    value = body.get("texts")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast("list[Any]", value)):
        raise unusable("texts", value, "a list of texts")
    texts = cast("list[str]", value)
    if len(texts) != len(names):
        raise unusable("texts", len(texts), f"{len(names)} texts")
    return dict(zip(names, texts, strict=True))


def wish_of(body: Mapping[str, Any]) -> Wish:
    """What is wanted of a tagger. Raises ConfigError where it cannot be."""
    told = body.get("wish", {})
    if not isinstance(told, dict):
        raise unusable("wish", told, "an object")
    told = cast("dict[str, Any]", told)
    known = {field.name for field in fields(Wish)}
    for name in told.keys() - known:
        raise unusable(name, told[name], "one of " + ", ".join(sorted(known)))
    mode = told.get("mode", "append")
    if mode not in get_args(Mode):
        raise unusable("mode", mode, "one of " + ", ".join(get_args(Mode)))
    return Wish(
        mode=mode,
        threshold=_share(told, "threshold", Wish.threshold),
        character_threshold=_share(told, "character_threshold", Wish.character_threshold),
        spaces=told.get("spaces", True) is True,
        with_characters=told.get("with_characters", True) is True,
        with_series=told.get("with_series", True) is True,
        with_rating=told.get("with_rating", False) is True,
        left_out=tuple(texts_of(told, "left_out")),
        trigger=tuple(texts_of(told, "trigger")),
    )


def unusable(name: str, got: object, expected: str) -> LycoError:
    """The error for a value that cannot be."""
    return ConfigError(f"{name} cannot be this", where=name, got=repr(got)[:80], expected=expected)


def _share(told: Mapping[str, Any], name: str, default: float) -> float:
    value = told.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise unusable(name, value, "a number from 0 to 1")
    return float(value)
