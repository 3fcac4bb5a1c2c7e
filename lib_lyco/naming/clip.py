"""The layers of a CLIP text encoder, by rule, with their places in either published layout.

Names follow transformers' `CLIPTextModel` as network files spell them, with the `text_model.`
that transformers 5 no longer shows for the model without projection. Places follow either the
same layout (SD1, SDXL's first encoder, SD3) or OpenCLIP's (SD2, SDXL's second), where q, k and v are
the thirds of `attn.in_proj_weight`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.naming.place import HostPlace, Layer, RowShare

_VOCABULARY = 49408
_POSITIONS = 77

_OPEN_CLIP_LEAVES = {
    "layer_norm1": "ln_1",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_OPEN_CLIP_ENDS = {
    "text_model.embeddings.token_embedding": HostPlace("token_embedding"),
    "text_model.embeddings.position_embedding": HostPlace("", weight="positional_embedding"),
    "text_model.final_layer_norm": HostPlace("ln_final"),
    "text_projection": HostPlace("", weight="text_projection", transposed=True),
}


@dataclass(frozen=True)
class ClipPlan:
    """The numbers that tell one CLIP text encoder from another. The MLP is four times as wide."""

    num_layers: int
    width: int
    projection: bool = False
    """Whether the model ends in `text_projection` (a model with pooled output)."""


def clip_layers(component: Component, plan: ClipPlan, *, open_clip: bool) -> Iterator[Layer]:
    """Every parametrised layer, in the order of the forward pass; `open_clip` chooses the places."""
    place: Callable[[str], HostPlace] = open_clip_place if open_clip else HostPlace
    for path, shape in _shapes(plan).items():
        yield Layer(LayerName(component, path), shape, place(path))


def open_clip_place(path: str) -> HostPlace:
    """Where OpenCLIP keeps the layer that transformers calls `path`."""
    if path in _OPEN_CLIP_ENDS:
        return _OPEN_CLIP_ENDS[path]
    number, leaf = path.removeprefix("text_model.encoder.layers.").split(".", 1)
    block = f"transformer.resblocks.{number}"
    if leaf in _OPEN_CLIP_LEAVES:
        return HostPlace(f"{block}.{_OPEN_CLIP_LEAVES[leaf]}")
    third = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj").index(leaf)
    return HostPlace(f"{block}.attn", RowShare(third, 3), weight="in_proj_weight", bias="in_proj_bias")


def _shapes(plan: ClipPlan) -> dict[str, tuple[int, ...]]:
    width = plan.width
    shapes: dict[str, tuple[int, ...]] = {
        "text_model.embeddings.token_embedding": (_VOCABULARY, width),
        "text_model.embeddings.position_embedding": (_POSITIONS, width),
    }
    for n in range(plan.num_layers):
        block = f"text_model.encoder.layers.{n}"
        shapes[f"{block}.layer_norm1"] = (width,)
        for leaf in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{block}.self_attn.{leaf}"] = (width, width)
        shapes[f"{block}.layer_norm2"] = (width,)
        shapes[f"{block}.mlp.fc1"] = (4 * width, width)
        shapes[f"{block}.mlp.fc2"] = (width, 4 * width)
    shapes["text_model.final_layer_norm"] = (width,)
    if plan.projection:
        shapes["text_projection"] = (width, width)
    return shapes
