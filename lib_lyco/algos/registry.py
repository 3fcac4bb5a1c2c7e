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
from lib_lyco.algos.boft import Boft
from lib_lyco.algos.dora import Dora
from lib_lyco.algos.dylora import DyLora
from lib_lyco.algos.extras import Extras
from lib_lyco.algos.full import Full, SetWeight
from lib_lyco.algos.glora import GLora
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.ia3 import Ia3, PeftIa3
from lib_lyco.algos.loha import LoHa
from lib_lyco.algos.lokr import LoKr
from lib_lyco.algos.lora import Lora
from lib_lyco.algos.norm import Norm
from lib_lyco.algos.oft import HistoricOft, Oft
from lib_lyco.algos.oft_input import InputOft
from lib_lyco.algos.tlora import TLora
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
    _recipe(DyLora.decode, "lora_up.weight", "lora_down.weight", "lora_mid.weight"),
    _recipe(LoHa.decode, "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    _recipe(LoKr.decode, "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"),
    _recipe(GLora.decode, "a1.weight", "a2.weight", "b1.weight", "b2.weight"),
    _recipe(TLora.decode, "q_layer.weight", "p_layer.weight", "lambda_layer"),
    _recipe(Boft.decode, "oft_blocks", dims=4),
    _recipe(Oft.decode, "oft_blocks"),
    _recipe(HistoricOft.decode, "oft_diag"),
    _recipe(InputOft.decode, "oft_R.weight"),
    _recipe(Ia3.decode, "on_input"),
    _recipe(PeftIa3.decode, "ia3_l"),
    _recipe(SetWeight.decode, "set_weight"),
    _recipe(Full.decode, "diff", "diff_b"),
    _recipe(Norm.decode, "w_norm", "b_norm"),
)
"""Full stands behind what may carry a `diff_b` of its own; so does Norm behind Full."""

MAGNITUDES = ("dora_scale", "lora_magnitude_vector")
DECOMPOSABLE = (Lora, DyLora, LoHa, LoKr)
"""What DoRA may stand around."""


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
    recipe = next((recipe for recipe in RECIPES if recipe.recognises(parts)), None)
    if recipe is None:
        raise AdapterError(
            "No known algorithm stores such parts.",
            got=", ".join(sorted(parts)) or "nothing",
            remedy="The file may be of a newer kind; run `lyco inspect` on it and report what it says.",
        )
    adapter = recipe.decode(parts, hints)
    if not isinstance(adapter, (Full, Norm)):
        adapter = Extras.around(adapter, parts)
    adapter = _with_magnitude(adapter, parts)
    held = adapter.tensors()
    reason = f"the layer was read as {adapter.algo}, which has no such part"
    return Decoded(adapter, {part: reason for part in parts if part not in held})


def _with_magnitude(adapter: Adapter, parts: Mapping[str, Tensor]) -> Adapter:
    """Puts DoRA around an adapter that may have it, if the layer has a magnitude."""
    core = adapter.inner if isinstance(adapter, Extras) else adapter
    for part in MAGNITUDES:
        if part in parts and isinstance(core, DECOMPOSABLE):
            return Dora(adapter, parts[part], part)
    return adapter
