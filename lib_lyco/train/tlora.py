"""T-LoRA: the noisier a picture, the fewer ranks learn from it (arXiv 2507.05964).

W' = W + s · (P·diag(λ)·Q - P₀·diag(λ₀)·Q₀), where P₀, λ₀, Q₀ are where training started: singular vectors
of the weight, or of a random matrix (section 3.3). With M = diag(1, ..., 1, 0, ..., 0), which keeps the
ranks that act at a timestep, between the factors (equations 5 and 6), that is a LoRA of twice the rank,

    [Pλ - P₀λ₀ , P₀λ₀] · M · [Q ; Q - Q₀]

which is how it is computed and stored here. Both halves are 0 at the start, and nothing large is taken
from something as large: a small change outlives half precision. And every reader of a LoRA reads the file,
on any base model; of T-LoRA's own form (LyCORIS 4) P₀, λ₀, Q₀ are not a part, so that a reader has to
decompose the same weight again, and of random matrices never can.

Convolutions are taken as matrices, (o, i·k·k). LyCORIS, and the paper, have all ranks act on text encoders'
layers when they are asked for them: a text has no timestep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lib_lyco.train.autograd.low_rank import add_low_rank
from lib_lyco.train.autograd.operation import geometry_of
from lib_lyco.train.layer import Parts, TrainableLayer
from lib_lyco.train.rank_mask import rank_mask

FROZEN = {"p_layer.weight": "base_p", "lambda_layer": "base_lambda", "q_layer.weight": "base_q"}
"""Parameters, and P₀, λ₀, Q₀."""


def active_ranks(timestep: int, total: int, rank: int, min_rank: int, exponent: float) -> int:
    """How many ranks act at a timestep of 0 to `total` - 1 (equation 5; the exponent is their code's)."""
    least = min(min_rank, rank)
    return min(rank, int(((total - timestep) / total) ** exponent * (rank - least)) + least)


def active_mask(counts: Sequence[int], rank: int) -> Tensor:
    """(b, r): 1 for the ranks that act on each sample, else 0."""
    return (torch.arange(rank) < torch.tensor(counts).view(-1, 1)).float()


def _factors(layer: TrainableLayer) -> tuple[Tensor, Tensor]:
    """Down (2r, i·k·k) and up (o, 2r), float32."""
    module = layer.module
    start = module.base_p * module.base_lambda
    up = module.p_layer.weight.float() * module.lambda_layer.float()
    down = module.q_layer.weight.float()
    return torch.cat((down, down - module.base_q)), torch.cat((up - start, start), dim=1)


def delta(layer: TrainableLayer) -> Tensor:
    """The change with all ranks."""
    down, up = _factors(layer)
    return (up @ (down * layer.module.scale)).view(layer.weight.shape)


def forward(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    """As a LoRA of twice the rank."""
    down, up = _factors(layer)
    mask = _mask(layer, x, rank_mask(layer, x, y))
    if mask is not None:
        mask = torch.cat((mask, mask), dim=1 if isinstance(layer.target.module, nn.Conv2d) else -1)
    factors = (down.view(len(down), *layer.weight.shape[1:]), up)
    return add_low_rank(x, y, factors, layer.module.scale, geometry_of(layer.target.module), mask)


def _mask(layer: TrainableLayer, x: Tensor, dropped: Tensor | None) -> Tensor | None:
    if layer.active is None:
        return dropped
    assert len(layer.active) == len(x), "a pass through the UNet has one row for each sample"
    ones = (1,) * (x.dim() - 2)
    is_conv = isinstance(layer.target.module, nn.Conv2d)
    active = layer.active.to(x.dtype)
    active = active.view(*active.shape, *ones) if is_conv else active.view(len(active), *ones, -1)
    return active if dropped is None else dropped * active


def plain(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    """By lycoris' own way from the input, sample by sample, since its mask is one for all of them."""
    base = layer.target.module
    parts: list[Tensor] = []
    for index, sample in enumerate(x.float().split(1)):
        mask = None if layer.active is None else layer.active[index : index + 1]
        if isinstance(base, nn.Conv2d):
            geometry = geometry_of(base)
            assert geometry is not None
            patches = (base.kernel_size, geometry.dilation, geometry.padding, geometry.stride)
            sample = functional.unfold(sample, *patches).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            parts.append(_bypassed(layer.module, sample, mask))
    change = torch.cat(parts)
    if isinstance(base, nn.Conv2d):
        change = change.transpose(1, 2)
    return y + change.reshape(y.shape).to(y.dtype)


def _bypassed(module: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    """lycoris looks its mask up in a table of the whole process; here it is handed over."""
    if mask is None:
        return module.bypass_forward_diff(x)
    module._get_mask = mask.to
    try:
        return module.bypass_forward_diff(x)
    finally:
        del module._get_mask


def stored(layer: TrainableLayer) -> Parts:
    """A LoRA of twice the rank, and with twice the alpha the same scale."""
    down, up = _factors(layer)
    ones = (1,) * (layer.weight.dim() - 2)
    return {
        "lora_down.weight": down.view(len(down), *layer.weight.shape[1:]),
        "lora_up.weight": up.view(*up.shape, *ones),
        "alpha": torch.tensor(float(layer.module.scale * len(down))),
    }


def taken(layer: TrainableLayer, parts: Parts) -> Parts:
    """The factors of a file as `stored` writes it, or of LyCORIS' own, by the module's names.

    What of λ is in Pλ is not known any more: columns of P get the length 1 that they started with.
    """
    module: Any = layer.module
    if "lambda_layer" in parts:
        return parts | {name: getattr(module, name) for name in FROZEN.values()}
    rank = layer.settings.rank
    down, up = parts["lora_down.weight"].flatten(1).float(), parts["lora_up.weight"].flatten(1).float()
    if len(down) != 2 * rank:
        raise ValueError(f"rank {len(down)} of its LoRA, which is twice that of a T-LoRA")
    start = up[:, rank:]
    p, values = _unit(up[:, :rank] + start)
    base_p, base_values = _unit(start)
    return {
        "p_layer.weight": p,
        "lambda_layer": values,
        "q_layer.weight": down[:rank],
        "base_p": base_p,
        "base_lambda": base_values,
        "base_q": down[:rank] - down[rank:],
    }


def _unit(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of length 1 and their lengths, (1, r)."""
    lengths = columns.norm(dim=0, keepdim=True).clamp(min=1e-6)
    return columns / lengths, lengths
