"""Weights by block and by element: what multiplies a network's strength, layer by layer.

| `lbw=` | is |
| --- | --- |
| `1,0,0,...` | 12, 17, 20, 26 or 61 numbers, one for each block of a list (`block_names.LISTS`) |
| `IN05-OUT05`, `NOT MID OUT`, ... | 1 in these blocks, 0 in the others (`block_names`) |

In a list `X` is the number given by `x=` in the tag, 1 where there is none, and `X+0.2` and `X-0.2` are
relative to it. `R` and `U`, random numbers in sd-webui-lora-block-weight, are refused: the tag in
a picture's infotext could not bring the picture back.

| `lbwe=` | is |
| --- | --- |
| `IN05-OUT05:attn:0.5` | blocks, words of which the layer's path must contain one, and the weight |
| `:NOT attn1 ff:0` | every block; layers that contain none of the words |

Several are separated by commas; the last one about a layer gives its weight, in place of the block's
(`ratiodealer` of that extension). A colon cannot stand in a tag, so they have a name in the presets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lib_lyco.errors import PromptError
from lib_lyco.prompt.block_names import LENGTHS, LISTS, NAMES, read_blocks
from lib_lyco.prompt.numbers import is_number, read_number

_INHERITED = re.compile(r"X(?:([+-])(\d+\.?\d*|\.\d+))?")


@dataclass(frozen=True)
class ElementRule:
    """One weight for some layers of some blocks, in place of the block's own."""

    blocks: frozenset[str]
    """The names of the blocks it is about."""
    words: tuple[str, ...]
    """Such as `attn2` or `proj`: the layer's path contains one of them; none means every layer."""
    ratio: float
    """The layer's weight."""
    negated: bool = False
    """Whether it is about the layers that contain none of the words."""

    def holds(self, block: str, layer: str) -> bool:
        """Whether it is about a layer. `layer` as in `BlockWeights.weight_of`."""
        if block not in self.blocks:
            return False
        text = _flat(layer)
        return not self.words or any(_flat(word) in text for word in self.words) != self.negated


@dataclass(frozen=True)
class BlockWeights:
    """The weight of every layer of a network. Equal weights are equal objects, so they can be keys."""

    weights: tuple[tuple[str, float], ...]
    """(block, weight), in the order of `block_names.NAMES`; a block that is not named has 0."""
    elements: tuple[ElementRule, ...] = ()
    """The last one that is about a layer gives its weight."""

    def weight_of(self, block: str, layer: str) -> float:
        """The weight of a layer.

        Args:
            block: One of `block_names.NAMES`.
            layer: The layer's path in the WebUI's own model, since the words that people write are
                parts of it: `input_blocks.4.1.transformer_blocks.0.attn2.to_k`. Dots and
                underscores mean the same.
        """
        for rule in reversed(self.elements):
            if rule.holds(block, layer):
                return rule.ratio
        return self._by_block.get(block, 0.0)

    @cached_property
    def _by_block(self) -> dict[str, float]:
        return dict(self.weights)


EVERYWHERE = BlockWeights(tuple((name, 1.0) for name in NAMES))
"""Weight 1 in every block."""


def read_block_weights(text: str, inherited: float = 1.0) -> BlockWeights:
    """Reads what stands behind `lbw=`, other than a preset's name.

    Args:
        text: A list of numbers, or blocks.
        inherited: What `X` in a list is.

    Raises:
        PromptError: It is neither; `where` is left to the caller, who knows the tag.
    """
    if not text.strip():
        raise PromptError("there are none", expected=f"{LENGTHS} values, or blocks: IN05-OUT05")
    values = text.split(",")
    if len(values) == 1 and not is_number(text):
        return _weigh({name: 1.0 for name in read_blocks(text)})
    if len(values) not in LISTS:
        raise PromptError(
            "a list has a value for each of its blocks",
            got=f"{len(values)}: {text}",
            expected=f"{LENGTHS} values, or blocks: IN05-OUT05",
        )
    numbers = [_list_value(value.strip(), inherited) for value in values]
    return _weigh(dict(zip(LISTS[len(values)], numbers, strict=True)))


def read_elements(text: str) -> tuple[ElementRule, ...]:
    """Reads rules `blocks:words:weight`, separated by commas.

    Raises:
        PromptError: One of them cannot be read; `where` is left to the caller.
    """
    return tuple(_element_rule(rule) for rule in text.split(","))


def _weigh(weights: dict[str, float]) -> BlockWeights:
    return BlockWeights(tuple((name, weights[name]) for name in NAMES if weights.get(name, 0.0) != 0.0))


def _element_rule(text: str) -> ElementRule:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) != 3:
        raise PromptError(
            "it is no rule", got=repr(text), expected="blocks:words:weight, such as IN05-OUT05:attn:0"
        )
    words: Sequence[str] = parts[1].split()
    negated = words[:1] == ["NOT"]
    return ElementRule(
        read_blocks(parts[0]), tuple(words[1:] if negated else words), read_number(parts[2]), negated
    )


def _list_value(text: str, inherited: float) -> float:
    match = _INHERITED.fullmatch(text)
    if match is not None:
        return inherited + read_number(f"{match[1]}{match[2]}") if match[1] else inherited
    if text in ("R", "U"):
        raise PromptError(
            f"{text} is random, and nothing could make the same picture again",
            got=repr(text),
            expected="a number, or X for the one given by x= in the tag",
        )
    return read_number(text)


def _flat(text: str) -> str:
    return text.replace(".", "_")
