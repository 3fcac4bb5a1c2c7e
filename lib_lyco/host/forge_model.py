"""The model of Forge and reForge: every layer that a network can change, and which family it is.

Denoisers have the names of their checkpoints there (ldm, SAI); text encoders, whatever the checkpoint
had, are transformers' text models called `clip_l`, `clip_h`, `clip_g` and `t5xxl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.place import HostPlace
from lib_lyco.naming.table import layer_table

_TEXTS: Mapping[Family, Mapping[Component, str]] = {
    "sd1": {"te1": "clip_l"},
    "sd2": {"te1": "clip_h"},
    "sdxl": {"te1": "clip_l", "te2": "clip_g"},
    "sd3": {"te1": "clip_l", "te2": "clip_g", "te3": "t5xxl"},
}


@dataclass(frozen=True, eq=False)
class Roots:
    """What the two patchers of a model hold; a user may give it other text encoders at any time."""

    unet: nn.Module
    """Of the denoiser's patcher: it has the denoiser as `diffusion_model`."""
    texts: nn.Module
    """Of the text encoders' patcher: it has them by name."""

    def is_same(self, other: Roots) -> bool:
        return self.unet is other.unet and self.texts is other.texts


@dataclass(frozen=True, eq=False)
class PatchedLayers:
    """What the applying side needs to know of one loaded checkpoint."""

    family: Family | None
    """None for a base model that no network of ours is made for: Flux, Chroma, SDXL's refiner."""
    targets: Targets
    paths: Mapping[nn.Module, str]
    """Where each target's module is below its patcher's root: patches are addressed by that."""


def read_layers(roots: Roots) -> PatchedLayers:
    """Finds the layers of a model."""
    family = find_family(roots)
    if family is None:
        return PatchedLayers(None, {}, {})
    table = layer_table(family)
    targets: dict[LayerName, tuple[Target, ...]] = {}
    paths: dict[nn.Module, str] = {}
    places = {layer: _place(layer, family, table.host_place(layer)) for layer in table}
    places |= {name: HostPlace(f"diffusion_model.{one.host_path}") for name, one in table.combined.items()}
    for layer, place in places.items():
        root = roots.unet if layer.component == "unet" else roots.texts
        module = _find(root, place.path)
        weight = getattr(module, "weight", None)
        if module is not None and isinstance(weight, nn.Parameter):
            rows = None if place.rows is None else place.rows.range(weight.shape[0])
            targets[layer] = (Target(layer, module, rows=rows, swapped_halves=place.swapped_halves),)
            paths[module] = place.path
    return PatchedLayers(family, targets, paths)


def find_family(roots: Roots) -> Family | None:
    """The family by the parts that only it has."""
    if _find(roots.unet, "diffusion_model.joint_blocks") is not None:
        return "sd3"
    if _find(roots.unet, "diffusion_model.input_blocks") is None:
        return None
    families: tuple[Family, ...] = ("sdxl", "sd2", "sd1")
    for family in families:
        if all(_find(roots.texts, name) is not None for name in _TEXTS[family].values()):
            return family
    return None


def _place(layer: LayerName, family: Family, place: HostPlace) -> HostPlace:
    """The layer's place below its patcher's root; `place` is the one in A1111."""
    if layer.component == "unet":
        return HostPlace(f"diffusion_model.{place.path}", place.rows, swapped_halves=place.swapped_halves)
    return HostPlace(f"{_TEXTS[family][layer.component]}.transformer.{layer.path}")


def _find(root: nn.Module, path: str) -> nn.Module | None:
    try:
        return root.get_submodule(path)
    except AttributeError:
        return None
