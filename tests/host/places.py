"""Where the WebUI's models keep each layer, by literal tables and the published names of both layouts.

Deliberately not `lib_lyco.naming`: what that says is compared with this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from lib_lyco.naming.layer import Component, Family, LayerName
from tests.dialects.sgm import sgm_path

_ROOTS: Mapping[tuple[Family, Component], str] = {
    ("sd1", "te1"): "cond_stage_model.transformer.",
    ("sd2", "te1"): "cond_stage_model.model.",
    ("sdxl", "te1"): "conditioner.embedders.0.transformer.",
    ("sdxl", "te2"): "conditioner.embedders.1.model.",
}
_OPEN_CLIP = (("sd2", "te1"), ("sdxl", "te2"))
_LEAVES = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_THIRDS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


class Place(NamedTuple):
    """One layer's parameters in the WebUI's state dict."""

    weight: str
    bias: str
    third: int | None = None
    """Which third of the rows it is, where q, k and v are one."""
    transposed: bool = False

    def of(self, state: Mapping[str, Tensor]) -> Tensor:
        """The layer's weight, (o, i, ...)."""
        weight = state[self.weight]
        if self.third is not None:
            weight = weight.chunk(3)[self.third]
        return weight.t() if self.transposed else weight


def place(layer: LayerName, family: Family) -> Place:
    """The layer's place."""
    if layer.component == "unet":
        return _plain(f"model.diffusion_model.{sgm_path(layer.path, family)}")
    root = _ROOTS[family, layer.component]
    if (family, layer.component) not in _OPEN_CLIP:
        return _plain(f"{root}{layer.path}")
    if layer.path == "text_projection":
        return Place(f"{root}text_projection", "", transposed=True)
    number, _, leaf = layer.path.removeprefix("text_model.encoder.layers.").partition(".")
    block = f"{root}transformer.resblocks.{number}"
    if leaf in _THIRDS:
        return Place(f"{block}.attn.in_proj_weight", f"{block}.attn.in_proj_bias", _THIRDS.index(leaf))
    return _plain(f"{block}.{_LEAVES[leaf]}")


def _plain(path: str) -> Place:
    return Place(f"{path}.weight", f"{path}.bias")
