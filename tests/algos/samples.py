"""Made-up parts of every algorithm for any layer, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.oracles.layers import noise

Parts = dict[str, Tensor]
Make = Callable[[tuple[int, ...], int, int], Parts]
"""(weight shape, rank, seed) -> parts. Shapes have o and i divisible by 6 (o by 12)."""


def _columns(shape: tuple[int, ...]) -> int:
    return torch.Size(shape[1:]).numel()


def _noise(seed: int, scale: float = 0.1, **shapes: tuple[int, ...]) -> Parts:
    return {
        part.replace("__", "."): noise(*shape, seed=seed + index, scale=scale)
        for index, (part, shape) in enumerate(shapes.items())
    }


def lora(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    ones = (1,) * (len(shape) - 2)
    factors = _noise(seed, lora_up__weight=(shape[0], rank, *ones), lora_down__weight=(rank, *shape[1:]))
    return {**factors, "alpha": torch.tensor(1.5)}


def tucker(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    ones = (1,) * (len(shape) - 2)
    return _noise(
        seed,
        lora_up__weight=(shape[0], rank, *ones),
        lora_down__weight=(rank, shape[1], *ones),
        lora_mid__weight=(rank, rank, *shape[2:]),
    )


def residual(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    return {**lora(shape, rank, seed), "bias": noise(*shape, seed=seed + 9), "diff_b": noise(shape[0])}


def sparse_residual(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    sparse = {
        "bias_indices": torch.stack([torch.arange(5) * (size - 1) // 4 for size in shape]).to(torch.int16),
        "bias_values": noise(5, seed=seed + 9),
        "bias_size": torch.tensor(shape, dtype=torch.int16),
    }
    return {**lora(shape, rank, seed), **sparse}


def loha(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    o, columns = shape[0], _columns(shape)
    factors = _noise(
        seed,
        scale=0.4,
        hada_w1_a=(o, rank),
        hada_w1_b=(rank, columns),
        hada_w2_a=(o, rank),
        hada_w2_b=(rank, columns),
    )
    return {**factors, "alpha": torch.tensor(-2, dtype=torch.int64)}


def loha_tucker(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    o, i, *kernel = shape
    return _noise(
        seed,
        scale=0.4,
        hada_w1_a=(rank, o),
        hada_w1_b=(rank, i),
        hada_t1=(rank, rank, *kernel),
        hada_w2_a=(rank, o),
        hada_w2_b=(rank, i),
        hada_t2=(rank, rank, *kernel),
    )


def lokr_whole(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    o, i, *kernel = shape
    factors = _noise(seed, scale=0.3, lokr_w1=(3, 2), lokr_w2=(o // 3, i // 2, *kernel))
    return {**factors, "alpha": torch.tensor(9.0)}


def lokr_split(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    o, i = shape[0], _columns(shape)
    return _noise(
        seed,
        scale=0.3,
        lokr_w1_a=(o // 3, rank),
        lokr_w1_b=(rank, 2),
        lokr_w2_a=(3, rank),
        lokr_w2_b=(rank, i // 2),
    )


def lokr_tucker(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    o, i, *kernel = shape
    return _noise(
        seed,
        scale=0.3,
        lokr_w1=(2, 3),
        lokr_t2=(rank, rank, *kernel),
        lokr_w2_a=(rank, o // 2),
        lokr_w2_b=(rank, i // 3),
    )


def full(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    return _noise(seed, diff=shape, diff_b=(shape[0],))


def glora(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    o, i = shape[:2]
    return _noise(
        seed,
        a1__weight=(i, rank),
        a2__weight=(rank, i),
        b1__weight=(o, rank),
        b2__weight=(rank, *shape[1:]),
    )


def ia3(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    return {"weight": noise(shape[0], seed=seed, scale=0.1), "on_input": torch.tensor(0)}


def oft(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    parts = _noise(seed, oft_blocks=(shape[0] // 6, 6, 6))
    return {**parts, "rescale": 1 + noise(shape[0], *[1] * (len(shape) - 1), seed=seed, scale=0.1)}


def oft_diag(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    return {"oft_diag": torch.eye(6) + noise(shape[0] // 6, 6, 6, seed=seed, scale=0.02)}


def boft(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    return _noise(seed, oft_blocks=(2, shape[0] // 6, 6, 6))


def input_oft(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    return _noise(seed, oft_R__weight=(_columns(shape) // 6, 15))


def dora(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    magnitude = 1 + noise(shape[0], *[1] * (len(shape) - 1), seed=seed, scale=0.1)
    return {**lora(shape, rank, seed), "dora_scale": magnitude}


def dora_columns(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    magnitude = 1 + noise(1, shape[1], *[1] * (len(shape) - 2), seed=seed, scale=0.1)
    return {**loha(shape, rank, seed), "dora_scale": magnitude}


def set_weight(shape: tuple[int, ...], rank: int, seed: int) -> Parts:
    del rank
    return _noise(seed, scale=0.3, set_weight=shape)


ADDITIVE: dict[str, Make] = {
    make.__name__: make
    for make in (
        lora,
        tucker,
        residual,
        sparse_residual,
        loha,
        loha_tucker,
        lokr_whole,
        lokr_split,
        lokr_tucker,
        full,
    )
}
WEIGHT_DEPENDENT: dict[str, Make] = {
    make.__name__: make
    for make in (glora, ia3, oft, oft_diag, boft, input_oft, dora, dora_columns, set_weight)
}
ALL = {**ADDITIVE, **WEIGHT_DEPENDENT}
