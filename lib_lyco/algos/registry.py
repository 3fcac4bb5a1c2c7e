"""One layer's parts become its adapter.

To add an algorithm: write its file, then give it a line in `RECIPES`. The first recipe with a
mark among the parts decodes the layer; marks of different algorithms do not overlap but where
stated, so the order only decides between algorithms mixed up in one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.lora import Lora
from lib_lyco.errors import AdapterError


@dataclass(frozen=True)
class Decoded:
    """What became of one layer's parts: each is held by the adapter or left over."""

    adapter: Adapter
    leftover: Mapping[str, str]
    """Parts the adapter does not hold -> why."""


@dataclass(frozen=True)
class Recipe:
    """How an algorithm is recognised and decoded."""

    decode: Callable[[Mapping[str, Tensor], Hints], Adapter]
    marks: frozenset[str]
    """Any one of these parts says that the layer is of this algorithm."""
    dims: int | None = None
    """How many dims the marking part has, where two algorithms share its name."""

    def recognises(self, parts: Mapping[str, Tensor]) -> bool:
        """Whether a mark is there."""
        found = self.marks & parts.keys()
        return any(self.dims is None or parts[part].dim() == self.dims for part in found)


def _recipe(
    decode: Callable[[Mapping[str, Tensor], Hints], Adapter], *marks: str, dims: int | None = None
) -> Recipe:
    return Recipe(decode, frozenset(marks), dims)


RECIPES: tuple[Recipe, ...] = (
    _recipe(Lora.decode, "lora_up.weight", "lora_down.weight", "lora_mid.weight"),
)


def decode(parts: Mapping[str, Tensor], hints: Hints) -> Decoded:
    """Understands one layer.

    Args:
        parts: The layer's tensors by canonical part name.
        hints: What the file's metadata adds.

    Returns:
        The adapter, and each part that it does not hold with the reason.

    Raises:
        AdapterError: No algorithm has such parts, or the parts of one do not form an adapter.
    """
    for recipe in RECIPES:
        if recipe.recognises(parts):
            adapter = recipe.decode(parts, hints)
            break
    else:
        raise AdapterError(
            "No known algorithm stores such parts.",
            got=", ".join(sorted(parts)) or "nothing",
            remedy="The file may be of a newer kind; run `lyco inspect` on it and report what it says.",
        )
    held = adapter.tensors()
    reason = f"the layer was read as {adapter.algo}, which has no such part"
    return Decoded(adapter, {part: reason for part in parts if part not in held})
