"""What a network makes of a weight, in float64, from the published formulas and a file's raw tensors.

It shares nothing with the library, and is read beside `algorithms`, whose rows name these functions.
The inner products are Hu et al. 2021 (LoRA), Hyeon-Woo et al. 2022 and Yeh et al. 2023 (LoHa, LoKr).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Exact = Callable[[Mapping[str, Tensor], Tensor], Tensor]
"""(a layer's parts, its weight), both in float64 -> its weight with the network at strength 1."""


def lora(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W + alpha / r · up·down, the core between them if there is one."""
    return _of_rank(p, weight, p["lora_down.weight"].shape[0])


def cut(rank: int, scale: float) -> Exact:
    """The first ranks of a LoRA, at this multiple of alpha / (all ranks)."""

    def exact(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
        return weight + scale * (_of_rank(p, weight, rank) - weight)

    return exact


def _of_rank(p: Mapping[str, Tensor], weight: Tensor, rank: int) -> Tensor:
    up, down = p["lora_up.weight"].flatten(1), p["lora_down.weight"].flatten(1)
    core = p.get("lora_mid.weight")
    if core is None:
        product = up[:, :rank] @ down[:rank]
    else:
        product = torch.einsum("om,mn...,ni->oi...", up[:, :rank], core[:rank, :rank], down[:rank])
    return weight + _scale(p, down.shape[0]) * product.reshape(weight.shape)


def loha(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W + alpha / r · (w1a·w1b) ⊙ (w2a·w2b)."""
    halves = [p[f"hada_w{n}_a"] @ p[f"hada_w{n}_b"] for n in (1, 2)]
    return weight + _scale(p, p["hada_w1_b"].shape[0]) * (halves[0] * halves[1]).reshape(weight.shape)


def lokr(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W + alpha / r · w1 ⊗ (w2a·w2b), each column of kernel positions beside its input."""
    w1, rows = p["lokr_w1"], p["lokr_w2_a"]
    w2 = (rows @ p["lokr_w2_b"]).reshape(rows.shape[0], -1, *weight.shape[2:])
    product = torch.einsum("ab,cd...->acbd...", w1, w2)
    return weight + _scale(p, rows.shape[1]) * product.reshape(weight.shape)


def dora(inner: Exact, magnitude: str = "dora_scale") -> Exact:
    """V · d / ‖V‖ by output rows, V the weight with the inner network. Liu et al. 2024, eq. 5."""

    def exact(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
        rows = inner(p, weight).flatten(1)
        return (rows * p[magnitude].reshape(-1, 1) / rows.norm(dim=1, keepdim=True)).reshape(weight.shape)

    return exact


def glora_new(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W + alpha / r · (b1·b2 + (W·a1)·a2), W's input channel contracted. LyCORIS since 3.0."""
    support = p["b1.weight"] @ p["b2.weight"].flatten(1)
    turned = torch.einsum("oi...,ir,rj->oj...", weight, p["a1.weight"], p["a2.weight"])
    return weight + _scale(p, p["a2.weight"].shape[0]) * (support.reshape(weight.shape) + turned)


def glora_rooted(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """The same with alpha / √r: GLoRA stores the raw alpha of rs-LoRA."""
    return weight + p["a2.weight"].shape[0] ** 0.5 * (glora_new(p, weight) - weight)


def glora_old(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W + alpha / r · (b2·b1 + (W·a2)·a1). LyCORIS before 3.0."""
    change = p["b2.weight"] @ p["b1.weight"] + weight @ p["a2.weight"] @ p["a1.weight"]
    return weight + _scale(p, p["a1.weight"].shape[0]) * change


def ia3_rows(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W · (1 + w) by output channels. Liu et al. 2022, section 3.3."""
    return weight * (1 + p["weight"].reshape(-1, *[1] * (weight.dim() - 1)))


def tlora(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W + alpha / r · (P·diag(λ)·Q − the best approximation of W of rank r). Soboleva et al. 2025."""
    rank = p["q_layer.weight"].shape[0]
    u, values, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    start = (u[:, :rank] * values[:rank]) @ v[:rank]
    trained = (p["p_layer.weight"].flatten(1) * p["lambda_layer"]) @ p["q_layer.weight"].flatten(1)
    return weight + _scale(p, rank) * (trained - start).reshape(weight.shape)


def oft_of_peft(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """W · Rᵀ by blocks of inputs, R = I + 2Q + 2Q² + 2Q³ + Q⁴. Qiu et al. 2025, arXiv:2506.19847."""
    vectors = p["oft_R.weight"]
    blocks, size = vectors.shape[0], round((1 + (1 + 8 * vectors.shape[1]) ** 0.5) / 2)
    q = torch.zeros(blocks, size, size, dtype=torch.float64)
    rows, columns = torch.triu_indices(size, size, 1)
    q[:, rows, columns] = vectors
    q = q - q.transpose(1, 2)
    r = torch.eye(size, dtype=torch.float64) + 2 * q + 2 * q @ q + 2 * q @ q @ q + q @ q @ q @ q
    return (weight.flatten(1) @ torch.block_diag(*r).T).reshape(weight.shape)


def residual(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """A LoRA with LyCORIS' sparse residual, which counts before the scale."""
    dense = torch.sparse_coo_tensor(p["bias_indices"].long(), p["bias_values"], weight.shape).to_dense()
    return lora(p, weight) + _scale(p, p["lora_down.weight"].shape[0]) * dense


def replaced(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """Another weight. ComfyUI's `set_weight`."""
    del weight
    return p["set_weight"]


def unchanged(p: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """The weight as it is: the network only has to do with the bias."""
    del p
    return weight


def _scale(p: Mapping[str, Tensor], rank: int) -> float:
    return float(p["alpha"]) / rank if "alpha" in p else 1.0
