"""What other tools write for one layer of a base model, mostly by lycoris-lora's own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from torch import Tensor

from tests.end_to_end.tiny import scatter
from tests.oracles.layers import noise
from tests.oracles.lycoris import saved

Parts = dict[str, Tensor]
Make = Callable[[Any, int], Parts]
"""(a torch module with the layer's own weights, a seed) -> what a file has for the layer."""


def trained(build: Callable[[Any], Any], scale: float = 0.1) -> Make:
    """What lycoris' module saves after a training that was all noise."""

    def make(layer: Any, seed: int) -> Parts:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build(layer)
        scatter(module, scale)
        return saved(module)

    return make


def made(scale: float = 0.1, **shapes: Callable[[Any], tuple[int, ...]]) -> Make:
    """Noise in these shapes, each from the layer's weight's; `__` in a name stands for a dot."""

    def make(layer: Any, seed: int) -> Parts:
        return {
            part.replace("__", "."): noise(*shape(layer.weight.shape), seed=seed * 31 + index, scale=scale)
            for index, (part, shape) in enumerate(shapes.items())
        }

    return make


def but(make: Make, *without: str, **values: Tensor | Callable[[Parts], Tensor]) -> Make:
    """The same with parts left out or put in: a tensor, or a function of the parts."""

    def changed(layer: Any, seed: int) -> Parts:
        before = make(layer, seed)
        parts = {part: value for part, value in before.items() if part not in without}
        for part, value in values.items():
            parts[part.replace("__", ".")] = value.clone() if isinstance(value, Tensor) else value(before)
        return parts

    return changed


def stored_as(make: Make, dtype: torch.dtype) -> Make:
    """The same, saved in another dtype, as most files are."""
    return lambda layer, seed: {part: value.to(dtype) for part, value in make(layer, seed).items()}


def reshaped(make: Make, shape_of: Callable[[Tensor], tuple[int, ...]]) -> Make:
    """The same factors with other dims."""
    return lambda layer, seed: {
        part: value.reshape(shape_of(value)) if value.dim() > 1 else value
        for part, value in make(layer, seed).items()
    }


def lora_module(layer: Any, **options: Any) -> Any:
    """Rank 4, alpha 2: half the product counts, as in the next two."""
    return LoConModule("m", layer, lora_dim=4, alpha=2, **options)


def loha_module(layer: Any, **options: Any) -> Any:
    return LohaModule("m", layer, lora_dim=4, alpha=2, **options)


def lokr_module(layer: Any, dim: int = 4, alpha: int = 2, **options: Any) -> Any:
    return LokrModule("m", layer, lora_dim=dim, alpha=alpha, **options)


def oft_module(layer: Any, **options: Any) -> Any:
    build: Any = DiagOFTModule
    return build("m", layer, lora_dim=8, **options)


def boft_module(layer: Any, **options: Any) -> Any:
    build: Any = ButterflyOFTModule
    return build("m", layer, lora_dim=4, **options)


def full(layer: Any, seed: int) -> Parts:
    return {"diff": noise(*layer.weight.shape, seed=seed, scale=0.02)}


def bias(layer: Any, seed: int) -> Parts:
    return {"diff_b": noise(layer.weight.shape[0], seed=seed + 500, scale=0.1)}


def both(*makes: Make) -> Make:
    def make(layer: Any, seed: int) -> Parts:
        parts: Parts = {}
        for one in makes:
            parts |= one(layer, seed)
        return parts

    return make


def sparse(layer: Any, seed: int) -> Parts:
    shape = layer.weight.shape
    places = torch.stack([(torch.arange(16) * 7 + seed) % size for size in shape])
    places[0], places[1] = torch.arange(16), torch.arange(16) * 2 % shape[1]
    return {
        "bias_indices": places.to(torch.int16),
        "bias_values": noise(16, seed=seed, scale=0.5),
        "bias_size": torch.tensor(shape, dtype=torch.int16),
    }
