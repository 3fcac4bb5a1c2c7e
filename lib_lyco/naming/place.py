"""Where a layer lives in the host's model, and what a base model's layer list is made of."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.naming.layer import LayerName


@dataclass(frozen=True)
class RowShare:
    """An equal share of a fused parameter's rows: part `index` of `count`, whatever the width."""

    index: int
    count: int

    def range(self, num_rows: int) -> tuple[int, int]:
        """The half-open row range inside a parameter (or a delta) of `num_rows` rows."""
        size = num_rows // self.count
        return self.index * size, (self.index + 1) * size


@dataclass(frozen=True)
class HostPlace:
    """A layer in a checkpoint in its original layout (ldm, sgm, OpenCLIP, SAI), as the host loads it."""

    path: str
    """Module path below the component's root (see `LayerTable.host_root`); empty for the root itself."""
    rows: RowShare | None = None
    """The share of the parameter's rows that is the layer; None means all of them."""
    weight: str = "weight"
    """Attribute name of the weight at `path`."""
    bias: str = "bias"
    """Attribute name of the bias at `path`; it may be None or absent."""
    transposed: bool = False
    """Whether the parameter is stored (i, o): OpenCLIP multiplies by `text_projection` from the right."""
    swapped_halves: bool = False
    """Whether the halves of the rows stand in the other order: SAI keeps shift before scale where
    diffusers keeps scale before shift."""

    def parameter(self, name: str = "weight") -> str:
        """The parameter's full name below the root: `parameter("bias")` is where the bias lies."""
        leaf = {"weight": self.weight, "bias": self.bias}[name]
        return f"{self.path}.{leaf}" if self.path else leaf


@dataclass(frozen=True)
class Layer:
    """One parametrised layer of a base model."""

    name: LayerName
    shape: tuple[int, ...]
    """The weight at the base model's published width: (o, i), (o, i, k, k), (c,) for a norm or
    (n, d) for an embedding."""
    place: HostPlace


@dataclass(frozen=True)
class Share:
    """What part of a combined layer's delta goes to which layer."""

    layer: LayerName
    delta_rows: RowShare
    """The share of the combined delta's rows."""
    rows: RowShare | None = None
    """The share of the layer's own rows that it changes; None means all of them."""


@dataclass(frozen=True)
class Combined:
    """A layer that a file holds in one piece, or in another row order, and the model does not."""

    name: LayerName
    shares: tuple[Share, ...]
    """Where the rows of its delta go; together all of them, once."""
    shape: tuple[int, ...]
    """The whole weight at the published width."""
    host_path: str
    """The module below the host root that has this very weight."""
