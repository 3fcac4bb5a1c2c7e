"""What may stand behind the name in a tag: one row per option.

| written | is |
| --- | --- |
| `<lora:name>` | both multipliers 1 |
| `<lora:name:0.8>` | both 0.8 |
| `<lora:name:0.8:0.5>` | text encoders 0.8, UNet 0.5 |
| `<lora:name:0.8:0.5:16>` | and only the first 16 ranks |
| `<lora:name:te=0.8:unet=0.5:dyn=16>` | the same, in any order; a name beats a place |

The rules are the WebUI's (`extra_networks_lora.py`): the UNet's multiplier defaults to the text
encoders', however that was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lib_lyco.errors import PromptError
from lib_lyco.prompt.schedule import EXPECTED, Schedule, read_schedule


@dataclass(frozen=True)
class Option:
    """One thing that can be set in a tag."""

    name: str
    """Left of `=`."""
    read: Callable[[str], Schedule | int]
    """The value of its text. Raises ValueError or PromptError where it has none."""
    expected: str
    """What the text must look like, for messages."""


def _rank(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


TE = Option("te", read_schedule, EXPECTED)
UNET = Option("unet", read_schedule, EXPECTED)
DYN = Option("dyn", _rank, "a whole number from 1 on")

BY_PLACE = (TE, UNET, DYN)
"""The options that need no name, in their order."""

OPTIONS = MappingProxyType({option.name: option for option in BY_PLACE})


def read_options(items: Sequence[str], tag: str) -> dict[str, Schedule | int]:
    """Reads what stands behind the name.

    Args:
        items: The texts between the colons. An item with exactly one `=` is named.
        tag: The whole tag, for messages.

    Returns:
        Option name -> value, of those given.

    Raises:
        PromptError: An option is unknown, said twice, one too many, or its value cannot be read.
    """
    placed: dict[str, str] = {}
    named: dict[str, str] = {}
    for item in items:
        name, equals, text = (part.strip() for part in item.partition("="))
        if not equals or "=" in text:
            _demand(len(placed) < len(BY_PLACE), "There is one number too many in a tag", tag, item)
            placed[BY_PLACE[len(placed)].name] = item.strip()
        else:
            _demand(name in OPTIONS, "A tag has an option that does not exist", tag, name)
            _demand(name not in named, "A tag sets an option twice", tag, name)
            named[name] = text
    return {name: _value(OPTIONS[name], text, tag) for name, text in {**placed, **named}.items()}


def _value(option: Option, text: str, tag: str) -> Schedule | int:
    try:
        return option.read(text)
    except (ValueError, PromptError) as error:
        raise PromptError(
            f"The {option.name} of a tag cannot be read",
            where=tag,
            got=repr(text),
            expected=option.expected,
            remedy="Mend the tag; the others in the prompt work without it.",
        ) from error


def _demand(holds: bool, what: str, tag: str, got: str) -> None:
    if not holds:
        raise PromptError(
            what,
            where=tag,
            got=repr(got),
            expected=f"name, then {':'.join(option.name for option in BY_PLACE)}, or each as name=value",
            remedy="Mend the tag; the others in the prompt work without it.",
        )
