"""The plan of a base model, read off the shapes in its file.

One rule serves the published models, the embedded one and made-up ones of any width: block widths,
depths, layer counts and conditioning widths all show in the shapes. What does not show (numbers of
heads, what the denoiser predicts) is in `settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from lib_lyco.models.vae_layers import VAE_ROOT, VaePlan
from lib_lyco.naming.clip import ClipPlan
from lib_lyco.naming.layer import Component, Family
from lib_lyco.naming.table import layer_table
from lib_lyco.naming.unet import UNetPlan

Shapes = Mapping[str, tuple[int, ...]]

UNET_ROOT = "model.diffusion_model"
GROUPS = 32
"""Groups of every group norm: widths are multiples of it."""


@dataclass(frozen=True)
class ModelPlan:
    """The numbers of one base model."""

    family: Family
    unet: UNetPlan
    texts: Mapping[Component, ClipPlan]
    """Text encoders, in order; OpenCLIP's last resblock, where nothing reads it, is not counted."""
    vae: VaePlan


def read_plan(shapes: Shapes, family: Family) -> ModelPlan:
    """The plan that the shapes of a checkpoint's tensors tell.

    Raises:
        KeyError: A tensor that the plan is read off is missing; the argument is its full name.
        IndexError: Such a tensor has fewer dims than it must have.
    """
    roots = layer_table(family).host_roots
    texts: dict[Component, ClipPlan] = {}
    for component, root in roots.items():
        if component != "unet":
            texts[component] = text_plan(shapes, root, open_clip=is_open_clip(family, component))
    if family == "sd2":
        texts = {c: ClipPlan(p.num_layers - 1, p.width) for c, p in texts.items()}
    return ModelPlan(family, unet_plan(shapes, roots["unet"]), texts, vae_plan(shapes))


def is_open_clip(family: Family, component: Component) -> bool:
    """Whether the text encoder stands in OpenCLIP's layout in a checkpoint (and uses its plain GELU)."""
    return (family, component) in (("sd2", "te1"), ("sdxl", "te2"))


def unet_plan(shapes: Shapes, root: str = UNET_ROOT) -> UNetPlan:
    """The denoiser's numbers. Raises KeyError as `read_plan`."""
    channels: list[int] = []
    depths: list[int] = []
    for block in count():
        # the first of a block's two resnets; the strict comparison of all names covers the rest
        convolution = shapes.get(f"{root}.input_blocks.{3 * block + 1}.0.out_layers.3.weight")
        if convolution is None:
            break
        channels.append(convolution[0])
        depths.append(_num_children(shapes, f"{root}.input_blocks.{3 * block + 1}.1.transformer_blocks"))
    if not channels:
        raise KeyError(f"{root}.input_blocks.1.0.out_layers.3.weight")
    attention = f"{root}.middle_block.1"
    vector = shapes.get(f"{root}.label_emb.0.0.weight")
    return UNetPlan(
        channels=tuple(channels),
        depths=tuple(depths),
        mid_depth=_num_children(shapes, f"{attention}.transformer_blocks"),
        context=shapes[f"{attention}.transformer_blocks.0.attn2.to_k.weight"][1],
        linear_projection=len(shapes[f"{attention}.proj_in.weight"]) == 2,
        vector=vector[1] if vector else 0,
        in_channels=shapes[f"{root}.input_blocks.0.0.weight"][1],
        out_channels=shapes[f"{root}.out.2.weight"][0],
    )


def text_plan(shapes: Shapes, root: str, *, open_clip: bool) -> ClipPlan:
    """A text encoder's numbers, all of its layers counted. Raises KeyError as `read_plan`."""
    if open_clip:
        num_layers = _num_children(shapes, f"{root}.transformer.resblocks")
        width = shapes[f"{root}.token_embedding.weight"][1]
        return ClipPlan(num_layers, width, projection=f"{root}.text_projection" in shapes)
    num_layers = _num_children(shapes, f"{root}.text_model.encoder.layers")
    return ClipPlan(num_layers, shapes[f"{root}.text_model.embeddings.token_embedding.weight"][1])


def vae_plan(shapes: Shapes, root: str = VAE_ROOT) -> VaePlan:
    """The autoencoder's numbers. Raises KeyError as `read_plan`."""
    num_levels = _num_children(shapes, f"{root}.encoder.down")
    if not num_levels:
        raise KeyError(f"{root}.encoder.down.0.block.0.conv2.weight")
    return VaePlan(
        channels=tuple(
            shapes[f"{root}.encoder.down.{i}.block.0.conv2.weight"][0] for i in range(num_levels)
        ),
        layers_per_block=_num_children(shapes, f"{root}.encoder.down.0.block"),
        latent_channels=shapes[f"{root}.decoder.conv_in.weight"][1],
    )


def _num_children(shapes: Shapes, parent: str) -> int:
    """How many numbered children 0, 1, ... a module has."""
    numbers = {key[len(parent) + 1 :].split(".", 1)[0] for key in shapes if key.startswith(f"{parent}.")}
    return next(n for n in count() if str(n) not in numbers)
