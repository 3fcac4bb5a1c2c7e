"""The parameter slice that an adapter edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from lib_lyco.naming.layer import LayerName


@dataclass(frozen=True)
class Target:
    """One place where the delta of a layer goes.

    A plain layer is its module's whole `weight`. A layer that the model keeps fused with others
    (q, k and v in OpenCLIP's `in_proj_weight`, SD3's `qkv`) is a row slice of the fused parameter.
    A fused layer whose model keeps the parts apart has one target per part, each taking
    `delta_rows` of the adapter's delta.
    """

    layer: LayerName
    module: nn.Module
    """Owner of the parameter; hooks, where needed, go on this instance."""
    weight: str = "weight"
    """Attribute name of the weight parameter, shape (o, i, ...)."""
    bias: str = "bias"
    """Attribute name of the bias parameter; the attribute may be None or absent."""
    rows: tuple[int, int] | None = None
    """Half-open row range of the parameter that belongs to the layer; None means all."""
    delta_rows: tuple[int, int] | None = None
    """Half-open row range of the adapter's delta that goes here; None means all."""
    transposed: bool = False
    """Whether the parameter is stored (i, o), as OpenCLIP's `text_projection`."""
    swapped_halves: bool = False
    """Whether the halves of the layer's rows stand in the other order (SAI's last modulation)."""
    master: str | None = None
    """Attribute name of a finer copy of the weight, a tensor on any device that the model need not
    have; merges start from it while the weight is stored in 8 bits."""
    master_bias: str | None = None
    """The same for the bias."""


Targets = Mapping[LayerName, tuple[Target, ...]]
"""Every adaptable layer of a base model."""
