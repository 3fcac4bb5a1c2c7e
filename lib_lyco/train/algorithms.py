"""The algorithms: how each is computed, and what a file stores of it.

All deltas are (o, i, ...), scale included.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from lib_lyco.train import tlora
from lib_lyco.train.autograd.kronecker import add_kronecker
from lib_lyco.train.autograd.low_rank import add_low_rank, face_split, face_split_pays
from lib_lyco.train.autograd.operation import add_dense, geometry_of
from lib_lyco.train.autograd.scaling import scaled
from lib_lyco.train.layer import Algo, Parts, TrainableLayer
from lib_lyco.train.rank_mask import rank_mask


def _dense(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    """For algorithms that need their delta: it is made in each pass, and not kept between them."""
    geometry = geometry_of(layer.target.module)
    return add_dense(x, y, geometry, lambda: layer.algo.delta(layer), layer.parameters)


def _by_weight(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    """By plain autograd: op(x, delta), or lycoris' own way from the input."""
    module = layer.module
    if layer.settings.bypass_mode:
        return y + module.bypass_forward_diff(x)
    return y + module.op(x, layer.algo.delta(layer).to(x.dtype), None, **module.kw_dict)


def _own_parts(layer: TrainableLayer) -> Parts:
    return dict(layer.module.custom_state_dict())


def _decomposed(layer: TrainableLayer, delta: Tensor) -> Tensor:
    """DoRA (arXiv 2402.09353): the sum's rows rescaled to the trained magnitudes, in float32."""
    if not layer.module.wd:
        return delta
    weight = layer.weight.detach().float()
    return layer.module.apply_weight_decompose(weight + delta) - weight


# LoRA, LoCon


def _low_rank_delta(layer: TrainableLayer) -> Tensor:
    return _decomposed(layer, layer.module.make_weight() * layer.module.scale)


def _low_rank(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    module = layer.module
    if module.wd:
        return _dense(layer, x, y)
    down, up = module.lora_down.weight, module.lora_up.weight.flatten(1)
    if layer.settings.use_scalar:
        up = up * module.scalar
    if module.tucker:
        # the 1x1 convolution first; what follows is a LoCon on its output
        x = functional.conv2d(x, down.to(x.dtype))
        down = module.lora_mid.weight
    mask = rank_mask(layer, x, y)
    return add_low_rank(x, y, (down, up), module.scale, geometry_of(layer.target.module), mask)


# LoHa (arXiv 2108.06098), LoKr (arXiv 2212.10650)


def _product_delta(layer: TrainableLayer) -> Tensor:
    """get_weight has the scale already."""
    return _decomposed(layer, layer.module.get_weight(layer.module.shape) * layer.module.scalar)


def _loha(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    module = layer.module
    kernel = layer.weight.shape[1:]
    if (
        module.wd
        or module.tucker
        or not face_split_pays(layer.settings.rank, len(layer.weight), kernel.numel())
    ):
        return _dense(layer, x, y)
    first = module.hada_w1_a
    if layer.settings.use_scalar:
        first = first * module.scalar
    down, up = face_split((first, module.hada_w1_b), (module.hada_w2_a, module.hada_w2_b))
    factors = (down.view(-1, *kernel), up)
    return add_low_rank(x, y, factors, module.scale, geometry_of(layer.target.module))


def _lokr(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    module = layer.module
    if module.wd:
        return _dense(layer, x, y)
    first = module.lokr_w1 if module.use_w1 else module.lokr_w1_a @ module.lokr_w1_b
    if layer.settings.use_scalar:
        first = first * module.scalar
    geometry = geometry_of(layer.target.module)
    return add_kronecker(x, y, (first, _second_factor(layer)), module.scale, geometry)


def _second_factor(layer: TrainableLayer) -> Tensor:
    """w2, (k, n, ...), from its own factors where it has some."""
    module = layer.module
    if module.use_w2:
        return module.lokr_w2
    if module.tucker:
        tucker = module.lokr_t2, module.lokr_w2_a, module.lokr_w2_b
        return torch.einsum("ij...,ip,jr->pr...", *tucker).contiguous()
    product = module.lokr_w2_a @ module.lokr_w2_b
    return product.view(len(product), -1, *layer.weight.shape[2:])


def _lokr_parts(layer: TrainableLayer) -> Parts:
    """Readers take scale 1 where both factors are whole; what was trained with goes into one."""
    parts = _own_parts(layer)
    if layer.module.use_w1 and layer.module.use_w2:
        parts["lokr_w1"] = parts["lokr_w1"] * layer.module.scale
        parts["alpha"] = torch.tensor(float(layer.module.lora_dim))
    return parts


# IA3 (arXiv 2205.05638)


def _ia3_delta(layer: TrainableLayer) -> Tensor:
    return layer.module.make_weight(diff=True)


def _ia3(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    """On the output side y + w (y - bias); on the input side op(w x, W)."""
    base, vector = layer.target.module, layer.module.weight
    axis = 1 if isinstance(base, nn.Conv2d) else -1
    if not layer.module.train_input:
        return scaled(y, vector, axis, getattr(base, layer.target.bias, None))
    along = vector.flatten().to(x.dtype)
    part = x * (along if axis == -1 else along.view(1, -1, 1, 1))
    return y + layer.module.op(part, layer.weight.to(x.dtype), None, **layer.module.kw_dict)


def _ia3_input(layer: TrainableLayer, x: Tensor) -> Tensor:
    return scaled(x, layer.module.weight, 1 if isinstance(layer.target.module, nn.Conv2d) else -1)


def _ia3_parts(layer: TrainableLayer) -> Parts:
    return {"weight": layer.module.weight, "on_input": layer.module.on_input}


# DyLoRA (arXiv 2210.07558)


def _dylora_factors(layer: TrainableLayer) -> tuple[Tensor, Tensor, float]:
    """Down (r', i·k·k), up (o, r') and scale of the ranks in use; only the last block learns."""
    module, settings = layer.module, layer.settings
    block = module.block_count - 1 if layer.block is None else layer.block
    downs, ups = (
        [part.detach() for part in factors[:block]] for factors in (module.down_list, module.up_list)
    )
    down = torch.cat([*downs, module.down_list[block]])
    up = torch.cat([*ups, module.up_list[block]], dim=1)
    return down, up, (settings.alpha or settings.rank) / (block + 1)


def _dylora_delta(layer: TrainableLayer) -> Tensor:
    down, up, scale = _dylora_factors(layer)
    return (up @ (down * scale)).view(layer.module.shape)


def _dylora(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    down, up, scale = _dylora_factors(layer)
    factors = (down.view(len(down), *layer.weight.shape[1:]), up)
    return add_low_rank(x, y, factors, scale, geometry_of(layer.target.module))


def _dylora_parts(layer: TrainableLayer) -> Parts:
    """A LoRA: training scales rank r' = (b + 1) · block by alpha / (b + 1) = alpha · block / r',
    so alpha · block is the alpha with which every reader's alpha / r' is right at every rank."""
    parts = _own_parts(layer)
    kernel_ones = (1 for _ in layer.module.shape[2:])
    parts["lora_up.weight"] = parts["lora_up.weight"].view(*parts["lora_up.weight"].shape, *kernel_ones)
    parts["alpha"] = layer.module.alpha * layer.module.block_size
    return parts


def _dylora_taken(layer: TrainableLayer, parts: Parts) -> Parts:
    """A LoRA's factors as the blocks that learn apart."""
    size = layer.settings.block_size
    downs = parts["lora_down.weight"].flatten(1).split(size)
    ups = parts["lora_up.weight"].flatten(1).split(size, dim=1)
    return {
        **{f"down_list.{index}": down for index, down in enumerate(downs)},
        **{f"up_list.{index}": up for index, up in enumerate(ups)},
    }


# GLoRA (arXiv 2306.07967)


def _glora_delta(layer: TrainableLayer) -> Tensor:
    """s · (b1·b2 + (W·a1)·a2), in lycoris' names, in which a1 and b1 are up. Its own make_weight
    applies s twice in 4.1."""
    module = layer.module
    a1, a2, b1, b2 = (getattr(module, name).weight.float().flatten(1) for name in ("a1", "a2", "b1", "b2"))
    by_weight = torch.einsum("oi...,ij->oj...", layer.weight.detach().float(), a1 @ a2)
    return ((b1 @ b2).view(module.shape) + by_weight) * module.scale * module.scalar


def _glora_parts(layer: TrainableLayer) -> Parts:
    """lycoris stores the raw alpha also with rs-LoRA; readers compute alpha / r."""
    return _own_parts(layer) | {"alpha": torch.tensor(layer.module.scale * layer.module.lora_dim)}


# OFT (arXiv 2306.07280), BOFT (arXiv 2311.06243)


def _rotated_delta(layer: TrainableLayer) -> Tensor:
    return layer.module.get_diff_weight()[0]


def _oft_parts(layer: TrainableLayer) -> Parts:
    parts = {"oft_blocks": layer.module.oft_blocks, "alpha": layer.module.alpha}
    return parts | ({"rescale": layer.module.rescale} if layer.module.rescaled else {})


# the whole weight; norms


def _full_delta(layer: TrainableLayer) -> Tensor:
    return layer.module.weight


def _full(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    module = layer.module
    bias = None if module.bias is None else module.bias.to(x.dtype)
    return y + module.op(x, module.weight.to(x.dtype), bias, **module.kw_dict)


def _full_parts(layer: TrainableLayer) -> Parts:
    module = layer.module
    return {"diff": module.weight} | ({} if module.bias is None else {"diff_b": module.bias})


def _full_taken(layer: TrainableLayer, parts: Parts) -> Parts:
    del layer
    names = {"diff": "weight", "diff_b": "bias"}
    return {names[part]: tensor for part, tensor in parts.items() if part in names}


def _norm_delta(layer: TrainableLayer) -> Tensor:
    return layer.module.w_norm


def _norm(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
    """The norm without its own weight and bias, by the trained differences."""
    module = layer.module
    weight, bias = module.w_norm.to(x.dtype), module.b_norm.to(x.dtype)
    return y + module.op(x, weight=weight, bias=bias, **module.kw_dict)


def _norm_parts(layer: TrainableLayer) -> Parts:
    return {"w_norm": layer.module.w_norm, "b_norm": layer.module.b_norm}


_LOW_RANK = Algo(
    "locon:LoConModule",
    _low_rank_delta,
    _own_parts,
    _low_rank,
    _by_weight,
    drops_ranks=True,
    scaled=("lora_up",),
)
ALGORITHMS: Mapping[str, Algo] = {
    "lora": _LOW_RANK,
    "locon": _LOW_RANK,
    "loha": Algo("loha:LohaModule", _product_delta, _own_parts, _loha, _by_weight, scaled=("hada_w1_a",)),
    "lokr": Algo(
        "lokr:LokrModule", _product_delta, _lokr_parts, _lokr, _by_weight, scaled=("lokr_w1", "lokr_w1_a")
    ),
    "ia3": Algo("ia3:IA3Module", _ia3_delta, _ia3_parts, _ia3, _by_weight, scale_input=_ia3_input),
    "dylora": Algo(
        "dylora:DyLoraModule",
        _dylora_delta,
        _dylora_parts,
        _dylora,
        _by_weight,
        scaled=("up_list",),
        taken=_dylora_taken,
    ),
    "tlora": Algo(
        "tlora:TLoraModule",
        tlora.delta,
        tlora.stored,
        tlora.forward,
        tlora.plain,
        drops_ranks=True,
        scaled=("lambda_layer", "base_lambda"),
        taken=tlora.taken,
        frozen=tlora.FROZEN,
    ),
    "full": Algo("full:FullModule", _full_delta, _full_parts, _full, _full, taken=_full_taken),
    "glora": Algo("glora:GLoRAModule", _glora_delta, _glora_parts, _dense, _by_weight, scaled=("a2", "b2")),
    "diag-oft": Algo("diag_oft:DiagOFTModule", _rotated_delta, _oft_parts, _dense, _by_weight),
    "boft": Algo("boft:ButterflyOFTModule", _rotated_delta, _oft_parts, _dense, _by_weight),
    "norm": Algo("norms:NormModule", _norm_delta, _norm_parts, _norm, _norm),
}
