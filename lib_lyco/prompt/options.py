"""What may stand behind the name in a tag.

| option | is | source |
| --- | --- | --- |
| `te` | multiplier in the text encoders, 1 if not given | WebUI |
| `unet` | multiplier in the UNet, as `te` if not given | WebUI |
| `dyn` | how many ranks, all if not given | WebUI |
| `lbw` | block weights: a preset, blocks or a list | lora-block-weight |
| `lbwe` | element weights: a preset | lora-block-weight |
| `x` | what `X` in a list of block weights is | lora-block-weight |
| `start`, `stop`, `step` | the steps in which the UNet has it | lora-block-weight |
| `hr`, `hrte`, `hrunet` | multipliers in the second pass of Hires fix | loractl |

An item with exactly one `=` is named. The others are taken by their place: numbers (and schedules) are
te, unet and dyn, in this order (`extra_networks_lora.py` of the WebUI); the first that is no number is
lbw, the next lbwe; and a number behind an unnamed lbw is x. A name beats a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lib_lyco.errors import PromptError
from lib_lyco.prompt.numbers import is_number
from lib_lyco.prompt.problems import did_you_mean

OPTIONS = ("te", "unet", "dyn", "lbw", "lbwe", "x", "start", "stop", "step", "hr", "hrte", "hrunet")
"""Every name left of `=`."""

MEND = "Mend the tag; the others in the prompt work without it."

_NUMBERS = ("te", "unet", "dyn")
_TEXTS = ("lbw", "lbwe")
_ALIASES: Mapping[str, str] = MappingProxyType({"w": "lbw"})
"""lora-block-weight reads `w=` as `lbw=`."""


@dataclass(frozen=True)
class Item:
    """One text between two colons, behind the name."""

    option: str
    """One of OPTIONS; another word as it was written; empty if there is no such place."""
    text: str
    """Its value."""
    named: bool


def place_items(items: Sequence[str]) -> tuple[Item, ...]:
    """Says for each item which option it is. Raises nothing: a mistake is for `check_items` to tell."""
    numbers, texts = list(_NUMBERS), list(_TEXTS)
    placed: list[Item] = []
    for item in items:
        name, equals, text = (part.strip() for part in item.partition("="))
        if equals and "=" not in text:
            placed.append(Item(_ALIASES.get(name, name), text, named=True))
            continue
        text = item.strip()
        places = numbers if not text or is_number(text) or "@" in text or "~" in text else texts
        placed.append(Item(places.pop(0) if places else "", text, named=False))
        if places is texts:
            numbers = ["x"] if placed[-1].option == "lbw" else numbers
    return tuple(placed)


def check_items(placed: Sequence[Item], tag: str) -> dict[str, str]:
    """The value of each option given.

    Raises:
        PromptError: An option is unknown or said twice, or there is one value too many.
    """
    named: dict[str, str] = {}
    for item in placed:
        if item.option == "":
            raise _mistake("There is one value too many in a tag", tag, item.text)
        if item.option not in OPTIONS:
            hint = did_you_mean(item.option, OPTIONS)
            raise _mistake("A tag has an option that does not exist", tag, item.option, hint)
        if item.named and item.option in named:
            raise _mistake("A tag sets an option twice", tag, item.option)
        if item.named:
            named[item.option] = item.text
    return {**{item.option: item.text for item in placed if not item.named}, **named}


def _mistake(what: str, tag: str, got: str, hint: str = "") -> PromptError:
    return PromptError(
        what,
        where=tag,
        got=repr(got),
        expected=f"name, then {':'.join(_NUMBERS)}, or name=value with one of {', '.join(OPTIONS)}",
        remedy=f"{hint} {MEND}".strip(),
    )
