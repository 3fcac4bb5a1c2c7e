"""How large the file of a training will be, by the shapes in the base model's file alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from lib_lyco.models.base import BaseModel
from lib_lyco.models.checkpoint import Checkpoint, open_checkpoint
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.forecast.network import forecast_file
from lib_lyco.train.forecast.weightless import Weightless
from lib_lyco.train.precision import DTYPES

_EMBEDDINGS = ("token_embedding", "position_embedding")
_MATRIX, _KERNEL = 2, 4
"""Dims of a Linear's weight and of a convolution's."""


@dataclass(frozen=True)
class _Shapes:
    """What `make_network` needs of a base model."""

    family: Family
    layers: Targets
    device: torch.device = torch.device("meta")

    def targets(self) -> Targets:
        return self.layers


def file_size(config: TrainConfig, base: Path) -> int:
    """Bytes of the network file, without its metadata. Needs no package that loads base models.

    Args:
        config: What is trained.
        base: The base model; of safetensors only the header is read.

    Raises:
        LycoError: The file is no base model, or the options do not fit it.
    """
    checkpoint = open_checkpoint(base)
    model = _Shapes(checkpoint.plan.family, _targets(checkpoint))
    with Weightless():
        network = make_network(config, cast(BaseModel, model), resumed=True)
    file = forecast_file(network, model.family, DTYPES[config.save_precision])
    return file.tensors + file.index


def _targets(checkpoint: Checkpoint) -> Targets:
    """Every Linear and convolution; norms are left out, being too small to be seen in the size."""
    found: dict[LayerName, tuple[Target, ...]] = {}
    for part, sources in checkpoint.sources.items():
        for name, source in sources.items():
            path, _, kind = name.rpartition(".")
            is_layer = kind == "weight" and len(source.shape) in (_MATRIX, _KERNEL)
            if part == "vae" or not is_layer or path.endswith(_EMBEDDINGS):
                continue
            layer = LayerName(part, path)
            found[layer] = (Target(layer, _hollow(source.shape)),)
    return found


def _hollow(shape: tuple[int, ...]) -> nn.Module:
    """A module of a weight's shape, (o, i) or (o, i, h, w), without a value."""
    out, into, *kernel = shape
    with torch.device("meta"):
        if not kernel:
            return nn.Linear(into, out, bias=False)
        return nn.Conv2d(into, out, (kernel[0], kernel[1]), bias=False)
