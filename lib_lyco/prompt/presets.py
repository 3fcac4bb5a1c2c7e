"""Named block weights: those everybody has, and the user's own from a text file.

The file has the form of sd-webui-lora-block-weight's `lbwpresets.txt` and `elempresets.txt`, and may hold
both kinds:

```
# what follows is a comment
FACE:1,0,0,0,0,0,0,0,1,1,1,0,0,0,0,0,0
DEEP:IN05-OUT05
SOFT:X,1,1,1,1,1,1,1,1,1,1,1,X,X,X,X,X

HALFATTN:IN05-OUT05:attn:0.5,MID:attn:0
BASE:attn:0.5
```

A line of three parts belongs to the elements above it, up to an empty line. A user's preset takes the
place of a built-in one with its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lib_lyco.errors import PromptError
from lib_lyco.prompt.block_names import FLUX, NAMES
from lib_lyco.prompt.block_weights import (
    EVERYWHERE,
    BlockWeights,
    ElementRule,
    read_block_weights,
    read_elements,
)
from lib_lyco.prompt.numbers import is_number
from lib_lyco.prompt.problems import at, did_you_mean

_RANGES: Mapping[str, str] = MappingProxyType(
    {
        "INS": "BASE IN00-IN04",
        "IND": "BASE IN05-IN11",
        "INALL": "BASE IN",
        "MIDD": "BASE IN05-OUT06",
        "OUTD": "BASE OUT00-OUT06",
        "OUTS": "BASE OUT07-OUT11",
        "OUTALL": "BASE OUT",
        "XLINS": "BASE IN00-IN05",
        "XLIND": "BASE IN06-IN08",
        "XLMIDD": "BASE IN06-OUT02",
        "XLOUTD": "BASE OUT00-OUT02",
        "XLOUTS": "BASE OUT03-OUT08",
    }
)
_BLOCKS: Mapping[str, BlockWeights | str] = MappingProxyType(
    {
        "NONE": BlockWeights(()),
        "ALL": EVERYWHERE,
        "ALL0.5": BlockWeights(tuple((name, 0.5) for name in NAMES)),
        **{name: read_block_weights(text) for name, text in _RANGES.items()},
        "FLUXALL": BlockWeights(tuple((name, 1.0) for name in FLUX)),
    }
)
"""The names and meanings of sd-webui-lora-block-weight's `DEF_WEIGHT_PRESET`. Its lists of 17 say nothing
about the blocks without attention, which a LoCon has, nor about OUT00 to OUT02, where much of SDXL's
attention is; here these count to their neighbours. The names with XL part SDXL's blocks likewise: deep
is where its transformers have ten layers."""

_ELEMENTS: Mapping[str, tuple[ElementRule, ...]] = MappingProxyType(
    {
        "ATTNDEEPON": read_elements("IN05-OUT05:attn:1"),
        "ATTNDEEPOFF": read_elements("IN05-OUT05:attn:0"),
        "PROJDEEPOFF": read_elements("IN05-OUT05:proj:0"),
    }
)
"""That extension's `ELEMPRESETS`."""


@dataclass(frozen=True)
class Presets:
    """What names in `lbw=` and `lbwe=` mean."""

    blocks: Mapping[str, BlockWeights | str] = field(default_factory=lambda: _BLOCKS)
    """Name -> the weights, or a text for `read_block_weights`, which may have X in it."""
    elements: Mapping[str, tuple[ElementRule, ...]] = field(default_factory=lambda: _ELEMENTS)
    problems: tuple[PromptError, ...] = ()
    """One for each line of the user's file that cannot be read; such a line defines nothing."""

    def weights(self, text: str, inherited: float = 1.0) -> BlockWeights:
        """The block weights of what stands behind `lbw=`.

        Raises:
            PromptError: It is neither a preset nor block weights; `where` is left to the caller.
        """
        preset = self.blocks.get(text, text)
        if isinstance(preset, BlockWeights):
            return preset
        try:
            return read_block_weights(preset, inherited)
        except PromptError as error:
            if not re.fullmatch(r"[^\s,-]+", text) or is_number(text):
                raise
            raise PromptError(
                f"{text!r} is neither a preset of block weights nor a block",
                got=repr(text),
                expected="the name of a preset, blocks such as IN05-OUT05, or a list of numbers",
                remedy=did_you_mean(text, (*self.blocks, *NAMES)),
            ) from error

    def rules(self, text: str) -> tuple[ElementRule, ...]:
        """The rules of what stands behind `lbwe=`.

        Raises:
            PromptError: There is no such preset; `where` is left to the caller.
        """
        if text in self.elements:
            return self.elements[text]
        raise PromptError(
            f"{text!r} is no preset of element weights",
            got=repr(text),
            expected=f"one of {', '.join(self.elements)}",
            remedy=did_you_mean(text, self.elements),
        )


BUILT_IN = Presets()


def read_presets(text: str, file: str = "presets") -> Presets:
    """The built-in presets and those of a user's file. Raises nothing.

    Args:
        text: The file's text.
        file: What the file is called in problems.
    """
    definitions = _Definitions()
    problems: list[PromptError] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        try:
            definitions.take(line.strip())
        except PromptError as error:
            place = f"{file}, line {number}: {line.strip()}"
            problems.append(at(error, "A preset cannot be read", place, "The other lines work without it."))
    return Presets(
        MappingProxyType({**_BLOCKS, **definitions.blocks}),
        MappingProxyType({**_ELEMENTS, **definitions.elements}),
        tuple(problems),
    )


class _Definitions:
    """What the lines of a file have defined so far."""

    def __init__(self) -> None:
        self.blocks: dict[str, str] = {}
        self.elements: dict[str, tuple[ElementRule, ...]] = {}
        self._above = ""
        """The element preset that a line of three parts belongs to."""

    def take(self, line: str) -> None:
        """Understands a line. Raises PromptError, with a clause only, where it cannot."""
        content = line.partition("#")[0].strip()
        colons = content.partition(",")[0].count(":")
        if colons == 2 and self._above:
            self.elements[self._above] += read_elements(content)
            return
        if line.startswith("#"):
            return
        self._above = ""
        if not content:
            return
        name, _, value = (part.strip() for part in content.partition(":"))
        if not name or colons not in (1, 3):
            raise PromptError(
                "it has no such form", expected="NAME:1,0,..., NAME:IN05-OUT05 or NAME:IN05-OUT05:attn:0"
            )
        if colons == 1:
            read_block_weights(value)
            self.blocks[name] = value
        else:
            self.elements[name] = read_elements(value)
            self._above = name
