"""Shortening the trained change of layers whose norm exceeds a limit (sd-scripts' scale_weight_norms).

With the Frobenius norm n of a layer's change and a limit m: if n > m, each of the k factors that the change
is a product of is multiplied by (m / n)^(1/k), so that the norm is m. sd-scripts
(`networks/lora.py`, apply_max_norm_regularization) does so for LoRA, where k is 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lib_lyco.train.layer import TrainableLayer

_LOW_RANK = ("lora_up", "lora_down")
_FACTORS: Mapping[str, tuple[str, ...]] = {
    # by algorithm: the parameters that share the change; those a layer lacks do not count
    "lora": _LOW_RANK,
    "locon": _LOW_RANK,
    "dylora": ("up_list", "down_list"),
    "loha": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    "lokr": ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"),
    "full": ("weight",),
}
SHRINKABLE = tuple(_FACTORS)
"""Algorithms whose change is such a product."""


@torch.no_grad()
def limit_norms(layers: Iterable[TrainableLayer], limit: float) -> None:
    """Shortens every layer's change to the limit; the host waits for nothing."""
    for layer in layers:
        names = _FACTORS.get(layer.settings.algo)
        if names is not None:
            _shorten(layer, names, limit)


def _shorten(layer: TrainableLayer, names: tuple[str, ...], limit: float) -> None:
    found: dict[str, list[Tensor]] = {}
    for name, parameter in layer.module.named_parameters():
        factor = name.partition(".")[0]
        if factor in names:
            found.setdefault(factor, []).append(parameter)
    norm = layer.delta().norm()
    ratio = (limit / norm.clamp(min=limit)) ** (1 / len(found))
    for parameters in found.values():
        for parameter in parameters:
            parameter.mul_(ratio)
