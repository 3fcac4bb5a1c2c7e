"""The layers every algorithm is tried on: Linear, 1x1 and strided 3x3 convolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerCase:
    """One layer and an input that fits it."""

    name: str
    layer: nn.Linear | nn.Conv1d | nn.Conv2d
    x: Tensor

    def __str__(self) -> str:
        return self.name


def linear(i: int = 12, o: int = 18, seed: int = 0) -> LayerCase:
    """A Linear with 8 (2x4) token vectors."""
    return _case("linear", lambda: nn.Linear(i, o), (2, 4, i), seed)


def conv1x1(i: int = 12, o: int = 18, seed: int = 1) -> LayerCase:
    """A pointwise convolution."""
    return _case("conv1x1", lambda: nn.Conv2d(i, o, 1), (2, i, 5, 6), seed)


def conv3x3(i: int = 12, o: int = 18, seed: int = 2) -> LayerCase:
    """A downsampler: 3x3, stride 2."""
    return _case("conv3x3", lambda: nn.Conv2d(i, o, 3, stride=2, padding=1), (2, i, 7, 6), seed)


def grouped(i: int = 12, o: int = 18, groups: int = 3, seed: int = 3) -> LayerCase:
    """A dilated 3x3 convolution in groups."""
    return _case(
        "grouped", lambda: nn.Conv2d(i, o, 3, padding=2, dilation=2, groups=groups), (2, i, 7, 6), seed
    )


def all_cases(i: int = 12, o: int = 18) -> tuple[LayerCase, ...]:
    """The three layers of the oracle table."""
    return linear(i, o), conv1x1(i, o), conv3x3(i, o)


def noise(*shape: int, seed: int = 0, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Gaussian noise that depends on nothing but its arguments."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)


def _case(
    name: str, build: Callable[[], nn.Linear | nn.Conv2d], x_shape: tuple[int, ...], seed: int
) -> LayerCase:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = build()
    return LayerCase(name, layer.requires_grad_(False), noise(*x_shape, seed=seed + 100))
