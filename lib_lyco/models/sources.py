"""Which tensor of a checkpoint becomes which parameter of diffusers' and transformers' modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.models.plan import ModelPlan, is_open_clip
from lib_lyco.models.vae_layers import VAE_ROOT, VaePlan, vae_layers
from lib_lyco.naming.clip import clip_layers
from lib_lyco.naming.layer import Component
from lib_lyco.naming.place import HostPlace, Layer
from lib_lyco.naming.table import layer_table
from lib_lyco.naming.unet import unet_layers

Part = Component | Literal["vae"]
"""What a base model file is made of."""

_BARE_WEIGHTS = ("text_model.embeddings.", "text_projection")
_BIASLESS_ENDS = (".to_q", ".to_k", ".to_v")


@dataclass(frozen=True)
class Source:
    """Where one parameter comes from."""

    key: str
    """Full key in the checkpoint, in today's spelling."""
    place: HostPlace
    shape: tuple[int, ...]
    """As the module wants it."""

    def fit(self, tensor: Tensor, path: Path, dtype: torch.dtype) -> Tensor:
        """The parameter out of the checkpoint's tensor, in `dtype`; shares memory where it can.

        Raises:
            ModelError: The shape is not what the rest of the model asks for.
        """
        found = tensor
        if self.place.rows is not None:
            start, end = self.place.rows.range(tensor.shape[0])
            found = tensor[start:end]
        if self.place.transposed:
            found = found.t().contiguous()
        # 1x1 convs and linears hold the same numbers; older tools swapped one for the other
        if _without_ones(found.shape) != _without_ones(self.shape):
            raise ModelError(
                "A tensor of the base model has the wrong shape",
                where=f"{self.key} in {path}",
                got=str(tuple(found.shape)),
                expected=str(self.shape),
            )
        return found.reshape(self.shape).to(dtype)


def part_sources(plan: ModelPlan) -> dict[Part, dict[str, Source]]:
    """Every parameter of every part, by its name in the part's module."""
    sources: dict[Part, dict[str, Source]] = {"vae": dict(vae_sources(plan.vae))}
    for component, root in layer_table(plan.family).host_roots.items():
        sources[component] = dict(_layer_sources(plan_layers(plan, component), root))
    return sources


def plan_layers(plan: ModelPlan, component: Component) -> Iterable[Layer]:
    """The layers of one component at this model's widths."""
    if component == "unet":
        return unet_layers(plan.unet)
    return clip_layers(component, plan.texts[component], open_clip=is_open_clip(plan.family, component))


def has_bias(layer: Layer) -> bool:
    """Whether the layer's module has a bias: all but embeddings, projections and attention inputs."""
    path = layer.name.path
    if layer.name.component == "unet":
        return not path.endswith(_BIASLESS_ENDS)
    return not path.startswith(_BARE_WEIGHTS)


def _layer_sources(layers: Iterable[Layer], root: str) -> Iterator[tuple[str, Source]]:
    for layer in layers:
        path, place = layer.name.path, layer.place
        yield f"{path}.weight", Source(f"{root}.{place.parameter()}", place, layer.shape)
        if has_bias(layer):
            yield f"{path}.bias", Source(f"{root}.{place.parameter('bias')}", place, layer.shape[:1])


def vae_sources(plan: VaePlan) -> Iterator[tuple[str, Source]]:
    """Every parameter of the autoencoder, by its name in diffusers' `AutoencoderKL`."""
    for layer in vae_layers(plan):
        place = HostPlace(f"{VAE_ROOT}.{layer.place}")
        yield f"{layer.path}.weight", Source(place.parameter(), place, layer.shape)
        yield f"{layer.path}.bias", Source(place.parameter("bias"), place, layer.shape[:1])


def _without_ones(shape: Iterable[int]) -> tuple[int, ...]:
    head, *kernel = shape
    return (head, *(size for size in kernel if size != 1))


def merged_keys(sources: Mapping[Part, Mapping[str, Source]]) -> set[str]:
    """The keys that a whole checkpoint has."""
    return {source.key for part in sources.values() for source in part.values()}
