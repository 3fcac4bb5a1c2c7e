"""What a network makes of a weight, in float64, from the published formulas and a file's raw tensors.

It shares nothing with the library, and is read beside `algorithms`, whose rows name these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tests.oracles.sd_scripts import oft_weight

Parts = Mapping[str, Tensor]
Exact = Callable[[Parts, Tensor], Tensor]
"""(a layer's parts, its weight), both in float64 -> its weight with the network at strength 1."""


def lora(p: Parts, weight: Tensor) -> Tensor:
    """W + alpha / r · (up·down + residual), a core between the factors if there is one. Hu et al. 2021."""
    return _of_rank(p, weight, p["lora_down.weight"].shape[0])


def lora_of_peft(p: Parts, weight: Tensor) -> Tensor:
    """The same under PEFT's names, B for up and A for down."""
    return lora({**p, "lora_up.weight": p["lora_B.weight"], "lora_down.weight": p["lora_A.weight"]}, weight)


def cut(rank: int, scale: float) -> Exact:
    """The first ranks of a LoRA, at this multiple of alpha / (all ranks)."""

    def exact(p: Parts, weight: Tensor) -> Tensor:
        return weight + scale * (_of_rank(p, weight, rank) - weight)

    return exact


def _of_rank(p: Parts, weight: Tensor, rank: int) -> Tensor:
    up, down = p["lora_up.weight"].flatten(1), p["lora_down.weight"].flatten(1)
    core = p.get("lora_mid.weight")
    if core is None:
        product = up[:, :rank] @ down[:rank]
    else:
        product = torch.einsum("om,mn...,ni->oi...", up[:, :rank], core[:rank, :rank], down[:rank])
    return weight + _scale(p, down.shape[0]) * (product.reshape(weight.shape) + _residual(p, weight))


def _residual(p: Parts, weight: Tensor) -> Tensor:
    residual = p.get("bias", torch.zeros_like(weight)).clone()
    if "bias_indices" in p:
        residual[tuple(p["bias_indices"].long())] += p["bias_values"]
    return residual


def loha(p: Parts, weight: Tensor) -> Tensor:
    """W + alpha / r · (w1a·w1b) ⊙ (w2a·w2b), each with a core if there is one. Hyeon-Woo et al. 2022."""
    halves = [_product(p[f"hada_w{n}_a"], p[f"hada_w{n}_b"], p.get(f"hada_t{n}")) for n in (1, 2)]
    change = halves[0].reshape(weight.shape) * halves[1].reshape(weight.shape)
    return weight + _scale(p, p["hada_w1_b"].shape[0]) * change


def lokr(p: Parts, weight: Tensor) -> Tensor:
    """W + alpha / r · w1 ⊗ w2; without a rank there is no scale. Yeh et al. 2023."""
    w1, w2, rank = p.get("lokr_w1"), p.get("lokr_w2"), None
    if w1 is None:
        w1, rank = p["lokr_w1_a"] @ p["lokr_w1_b"], p["lokr_w1_b"].shape[0]
    if w2 is None:
        w2 = _product(p["lokr_w2_a"], p["lokr_w2_b"], p.get("lokr_t2"))
        rank = p["lokr_w2_b"].shape[0]
    w2 = w2.reshape(weight.shape[0] // w1.shape[0], weight.shape[1] // w1.shape[1], *weight.shape[2:])
    scale = 1.0 if rank is None else _scale(p, rank)
    return weight + scale * torch.einsum("ab,cd...->acbd...", w1, w2).reshape(weight.shape)


def _product(left: Tensor, right: Tensor, core: Tensor | None) -> Tensor:
    if core is None:
        return left.flatten(1) @ right.flatten(1)
    return torch.einsum("mn...,mo,ni->oi...", core, left, right)


def dora(inner: Exact, axis: int, magnitude: str = "dora_scale") -> Exact:
    """V · d / ‖V‖ by rows (0) or columns (1), V with the inner network. Liu et al. 2024, eq. 5."""

    def exact(p: Parts, weight: Tensor) -> Tensor:
        lines = inner(p, weight).transpose(0, axis)
        flat = lines.flatten(1)
        scaled = flat * p[magnitude].reshape(-1, 1) / flat.norm(dim=1, keepdim=True)
        return scaled.reshape(lines.shape).transpose(0, axis)

    return exact


def glora(p: Parts, weight: Tensor) -> Tensor:
    """W + alpha / r · (b1·b2 + (W·a1)·a2), W's input channel contracted. LyCORIS since 3.0."""
    b1, b2, a1, a2 = (p[f"{part}.weight"].flatten(1) for part in ("b1", "b2", "a1", "a2"))
    turned = torch.einsum("oi...,ir,rj->oj...", weight, a1, a2)
    return weight + _scale(p, a2.shape[0]) * ((b1 @ b2).reshape(weight.shape) + turned)


def glora_rooted(p: Parts, weight: Tensor) -> Tensor:
    """The same with alpha / √r: GLoRA stores the raw alpha of rs-LoRA."""
    return weight + p["a2.weight"].shape[0] ** 0.5 * (glora(p, weight) - weight)


def glora_old(p: Parts, weight: Tensor) -> Tensor:
    """W + alpha / r · (b2·b1 + (W·a2)·a1). LyCORIS before 3.0."""
    change = p["b2.weight"] @ p["b1.weight"] + weight @ p["a2.weight"] @ p["a1.weight"]
    return weight + _scale(p, p["a1.weight"].shape[0]) * change


def ia3(p: Parts, weight: Tensor) -> Tensor:
    """W · (1 + w) by output or input channels. Liu et al. 2022, section 3.3."""
    channels = [-1, 1] if p["on_input"] == 0 else [1, -1]
    return weight * (1 + p["weight"].reshape(channels + [1] * (weight.dim() - 2)))


def full(p: Parts, weight: Tensor) -> Tensor:
    """W + difference."""
    return weight + p.get("diff", p.get("w_norm", torch.zeros_like(weight)))


def replaced(p: Parts, weight: Tensor) -> Tensor:
    """Another weight. ComfyUI's `set_weight`."""
    del weight
    return p["set_weight"]


def tlora(p: Parts, weight: Tensor) -> Tensor:
    """W + alpha / r · (P·diag(λ)·Q - the best approximation of W of rank r). Soboleva et al. 2025."""
    rank = p["q_layer.weight"].shape[0]
    u, values, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    start = (u[:, :rank] * values[:rank]) @ v[:rank]
    trained = (p["p_layer.weight"].flatten(1) * p["lambda_layer"]) @ p["q_layer.weight"].flatten(1)
    return weight + _scale(p, rank) * (trained - start).reshape(weight.shape)


def oft(p: Parts, weight: Tensor) -> Tensor:
    """Rᵀ·W by blocks of rows, then each row's factor. Qiu et al. 2023, arXiv:2306.07280."""
    limit = float(p["alpha"]) if "alpha" in p and p["alpha"] > 0 else float("inf")
    return _factors(p, oft_weight(weight, p["oft_blocks"], limit))


def oft_diag(p: Parts, weight: Tensor) -> Tensor:
    """The same with R itself in the file. LyCORIS of 2023."""
    return (torch.block_diag(*p["oft_diag"]).T @ weight.flatten(1)).reshape(weight.shape)


def boft(p: Parts, weight: Tensor) -> Tensor:
    """R_m ... R_1·W, stage i on rows 2^i·b/2 apart. Liu et al. 2023, arXiv:2311.06243, section 4.1."""
    rows = weight.flatten(1)
    for stage, blocks in enumerate(p["oft_blocks"]):
        q = blocks - blocks.transpose(1, 2)
        eye = torch.eye(q.shape[-1], dtype=q.dtype)
        turn = torch.block_diag(*((eye + one) @ torch.inverse(eye - one) for one in q))
        near = 2**stage * q.shape[-1] // 2
        order = torch.arange(rows.shape[0]).reshape(-1, 2, near).transpose(1, 2).flatten()
        turned = torch.empty_like(rows)
        turned[order] = turn @ rows[order]
        rows = turned
    return _factors(p, rows.reshape(weight.shape))


def _factors(p: Parts, turned: Tensor) -> Tensor:
    return turned * p["rescale"].reshape(-1, *[1] * (turned.dim() - 1)) if "rescale" in p else turned


def oft_of_peft(p: Parts, weight: Tensor) -> Tensor:
    """W·Rᵀ by blocks of inputs, R = I + 2Q + 2Q² + 2Q³ + Q⁴. Qiu et al. 2025, arXiv:2506.19847."""
    vectors = p["oft_R.weight"]
    blocks, size = vectors.shape[0], round((1 + (1 + 8 * vectors.shape[1]) ** 0.5) / 2)
    q = torch.zeros(blocks, size, size, dtype=torch.float64)
    rows, columns = torch.triu_indices(size, size, 1)
    q[:, rows, columns] = vectors
    q = q - q.transpose(1, 2)
    r = torch.eye(size, dtype=torch.float64) + 2 * q + 2 * q @ q + 2 * q @ q @ q + q @ q @ q @ q
    return (weight.flatten(1) @ torch.block_diag(*r).T).reshape(weight.shape)


def _scale(p: Parts, rank: int) -> float:
    if "scale" in p:
        return float(p["scale"])
    return float(p["alpha"]) / rank if "alpha" in p else 1.0
