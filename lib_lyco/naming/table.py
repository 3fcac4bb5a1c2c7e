"""Every layer of a base model, and its place in the host's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from lib_lyco.naming import sd1, sd2, sdxl
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.place import HostPlace, Layer, Share


@dataclass(frozen=True)
class LayerTable:
    """All parametrised layers of one family's denoiser and text encoders, in forward order."""

    family: Family
    layers: Mapping[LayerName, Layer]
    host_roots: Mapping[Component, str]
    """Where each component starts in a checkpoint in the host's layout (no trailing dot)."""
    fused: Mapping[LayerName, tuple[Share, ...]]
    """Layers that only some files and models keep in one piece, by the layers they are made of."""

    def __iter__(self) -> Iterator[LayerName]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __contains__(self, layer: object) -> bool:
        return layer in self.layers

    @property
    def components(self) -> tuple[Component, ...]:
        """The denoiser and the text encoders that this family has."""
        return tuple(self.host_roots)

    def of(self, component: Component) -> tuple[LayerName, ...]:
        """The layers of one component."""
        return tuple(layer for layer in self.layers if layer.component == component)

    def shape(self, layer: LayerName) -> tuple[int, ...]:
        """The weight's shape at the published width. Raises KeyError for a layer not of this family."""
        return self.layers[layer].shape

    def host_place(self, layer: LayerName) -> HostPlace:
        """The layer's place below its component's host root. Raises KeyError likewise."""
        return self.layers[layer].place

    def host_root(self, component: Component) -> str:
        """What stands before every place of a component in a checkpoint. Raises KeyError likewise."""
        return self.host_roots[component]


_SOURCES: Mapping[Family, tuple[Callable[[], tuple[Layer, ...]], Mapping[Component, str]]] = {
    "sd1": (sd1.layers, sd1.HOST_ROOTS),
    "sd2": (sd2.layers, sd2.HOST_ROOTS),
    "sdxl": (sdxl.layers, sdxl.HOST_ROOTS),
}


@cache
def layer_table(family: Family) -> LayerTable:
    """The table of one family, built once."""
    build, roots = _SOURCES[family]
    layers = {layer.name: layer for layer in build()}
    return LayerTable(family, MappingProxyType(layers), MappingProxyType(dict(roots)), MappingProxyType({}))
