"""The UNet's blocks as sd-scripts numbers them, for ranks and learning rates of their own.

SD1 and SD2 have 25: the input blocks 0 to 11, the middle block 12, the output blocks 13 to 24; of
those, 0, 3, 6, 9, 10, 11, 13, 14 and 15 have no attention. SDXL has 23: the embeddings 0, the input
blocks 1 to 9, the three layers of the middle block 10 to 12, the output blocks 13 to 21, the end 22
(sd-scripts, `networks/lora.py`, get_block_index).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib_lyco.errors import ConfigError
from lib_lyco.naming.blocks import host_path
from lib_lyco.naming.layer import Family, LayerName


@dataclass(frozen=True)
class _Count:
    """How many blocks a family has; `edge` is 1 where what lies outside of them counts as two more."""

    side: int
    mid: int
    edge: int

    @property
    def total(self) -> int:
        return 2 * (self.side + self.edge) + self.mid


_COUNTS: Mapping[Family, _Count] = {
    "sd1": _Count(12, 1, 0),
    "sd2": _Count(12, 1, 0),
    "sdxl": _Count(9, 3, 1),
}


def _count(family: Family) -> _Count:
    if family not in _COUNTS:
        raise ConfigError(
            "Ranks and learning rates by block are for SD1, SD2 and SDXL.",
            where="block_dims, down_lr_weight",
            got=family,
            remedy="Leave them out.",
        )
    return _COUNTS[family]


def num_blocks(family: Family) -> int:
    """How many block ranks and block rates a family has: 25, for SDXL 23.

    Raises:
        ConfigError: The family has no such blocks.
    """
    return _count(family).total


def block_of(layer: LayerName, family: Family) -> int | None:
    """The number of a layer's block, from 0; None for a layer of a text encoder.

    Embeddings and the first convolution count to the first block, the last norm and convolution to
    the last one, also for SD1, where sd-scripts has no number for them.

    Raises:
        ConfigError: The family has no such blocks.
        KeyError: The family has no such layer.
    """
    count = _count(family)
    if layer.component != "unet":
        return None
    head, *rest = host_path(layer, family).split(".")
    if head == "input_blocks":
        return count.edge + int(rest[0])
    if head == "middle_block":
        return count.edge + count.side + (int(rest[0]) if count.mid > 1 else 0)
    if head == "output_blocks":
        return count.edge + count.side + count.mid + int(rest[0])
    return count.total - 1 if head == "out" else 0


_Curve = Callable[[float], float]
_CURVES: Mapping[str, _Curve] = {
    # of i / (n - 1), from the first block of a side to its last
    "sine": lambda share: math.sin(math.pi / 2 * share),
    "cosine": lambda share: math.sin(math.pi / 2 * (1 - share)),
    "linear": lambda share: share,
    "reverse_linear": lambda share: 1 - share,
    "zeros": lambda share: 0.0,
}


@dataclass(frozen=True)
class BlockWeights:
    """What the learning rate of each UNet block is multiplied by, as the options give it.

    A side is a curve's name with an optional `+b` (`sine`, `cosine+0.25`), or numbers with commas: a
    blank is 0, missing ones at the end are 1. An empty text is 1 everywhere.
    """

    down: str = ""
    mid: str = ""
    up: str = ""
    zero_threshold: float = 0.0
    """A weight up to this, inclusive, is 0: the block gets no adapters."""

    def __bool__(self) -> bool:
        return bool(self.down or self.mid or self.up)

    def by_block(self, family: Family) -> tuple[float, ...]:
        """The weight of every block, by its number.

        Raises:
            ConfigError: A text is neither a curve nor numbers, or has too many of them.
        """
        count = _count(family)
        down = self._side("down_lr_weight", self.down, count.side)
        mid = self._side("mid_lr_weight", self.mid, count.mid)
        up = self._side("up_lr_weight", self.up, count.side)
        edge = (1.0,) * count.edge
        return (*edge, *down, *mid, *up, *edge)

    def _side(self, name: str, text: str, length: int) -> tuple[float, ...]:
        if not text:
            return (1.0,) * length
        weights = parse_weights(name, text, length)
        if len(weights) > length:
            raise ConfigError(
                "There are more weights than blocks.",
                where=name,
                got=f"{len(weights)} weights",
                expected=f"at most {length}",
                remedy="Remove the surplus ones; they would have no effect.",
            )
        padded = weights + (1.0,) * (length - len(weights))
        return tuple(weight if weight > self.zero_threshold else 0.0 for weight in padded)


def parse_weights(name: str, text: str, length: int) -> tuple[float, ...]:
    """The weights that a text stands for, at most as many as it names itself.

    Args:
        name: The option.
        text: A curve or numbers.
        length: How many blocks a curve spans.

    Raises:
        ConfigError: It is neither.
    """
    curve, _, base = text.partition("+")
    shape = _CURVES.get(curve.strip())
    try:
        if shape is not None:
            offset = float(base) if base else 0.0
            return tuple(shape(index / max(1, length - 1)) + offset for index in range(length))
        weights = tuple(float(part) if part.strip() else 0.0 for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            "A block weight cannot be understood.",
            where=name,
            got=repr(text),
            expected="numbers with commas, or one of " + ", ".join(_CURVES) + ", with +number behind it",
        ) from error
    if any(not 0 <= weight < math.inf for weight in weights):
        raise ConfigError("A block weight is not positive.", where=name, got=text, expected="0 or more")
    return weights
