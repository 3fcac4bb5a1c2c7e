"""Every layer of a base model, and its place in the host's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from lib_lyco.naming import sd1, sd2, sd3, sdxl
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.place import Combined, HostPlace, Layer


@dataclass(frozen=True)
class LayerTable:
    """All parametrised layers of one family's denoiser and text encoders, in forward order."""

    family: Family
    layers: Mapping[LayerName, Layer]
    host_roots: Mapping[Component, str]
    """Where each component starts in a checkpoint in the host's layout (no trailing dot)."""
    combined: Mapping[LayerName, Combined]
    """Names beyond `layers` that files use for several layers in one piece: SD3's fused attention."""

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
        """The weight's shape at the published width, also of a combined layer.

        Raises:
            KeyError: The family has no such layer.
        """
        combined = self.combined.get(layer)
        return combined.shape if combined else self.layers[layer].shape

    def host_place(self, layer: LayerName) -> HostPlace:
        """The layer's place below its component's host root. Raises KeyError likewise."""
        return self.layers[layer].place

    def host_root(self, component: Component) -> str:
        """What stands before every place of a component in a checkpoint. Raises KeyError likewise."""
        return self.host_roots[component]


_LAYERS: Mapping[Family, Callable[[], tuple[Layer, ...]]] = {
    "sd1": sd1.layers,
    "sd2": sd2.layers,
    "sdxl": sdxl.layers,
    "sd3": sd3.layers,
}
_HOST_ROOTS: Mapping[Family, Mapping[Component, str]] = {
    "sd1": sd1.HOST_ROOTS,
    "sd2": sd2.HOST_ROOTS,
    "sdxl": sdxl.HOST_ROOTS,
    "sd3": sd3.HOST_ROOTS,
}


@cache
def layer_table(family: Family) -> LayerTable:
    """The table of one family, built once."""
    layers = {layer.name: layer for layer in _LAYERS[family]()}
    combined = {layer.name: layer for layer in sd3.combined()} if family == "sd3" else {}
    return LayerTable(family, layers, _HOST_ROOTS[family], combined)
