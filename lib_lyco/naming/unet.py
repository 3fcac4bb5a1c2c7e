"""The layers of a Stable Diffusion UNet, by rule, with their places in the ldm/sgm layout.

Names follow diffusers' `UNet2DConditionModel`; places follow CompVis' and Stability's
`UNetModel`. The correspondence is the published one (kohya's `make_unet_conversion_map`,
ComfyUI's `unet_to_diffusers`): block `i` with two layers and a sampler fills `input_blocks`
3i+1 .. 3i+3, and `output_blocks` 3i .. 3i+2 on the way up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lib_lyco.naming.layer import LayerName
from lib_lyco.naming.place import HostPlace, Layer

_RESNET_PLACES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


@dataclass(frozen=True)
class UNetPlan:
    """The numbers that tell one UNet from another. Every block has two resnets on the way down."""

    channels: tuple[int, ...]
    """Width of each block, top to bottom."""
    depths: tuple[int, ...]
    """Transformer blocks in each attention of a block; 0 for a block without attention."""
    mid_depth: int
    """Transformer blocks in the middle attention."""
    context: int
    """Width of the text states that `attn2` reads."""
    linear_projection: bool
    """Whether `proj_in` and `proj_out` are linear (SD2, SDXL) or 1x1 convs (SD1)."""
    vector: int = 0
    """Width of the pooled and size conditioning that `add_embedding` reads; 0 for none."""
    in_channels: int = 4
    out_channels: int = 4


def unet_layers(plan: UNetPlan) -> Iterator[Layer]:
    """Every parametrised layer, in the order of the forward pass."""
    top, time = plan.channels[0], 4 * plan.channels[0]
    yield _layer("conv_in", "input_blocks.0.0", (top, plan.in_channels, 3, 3))
    yield _layer("time_embedding.linear_1", "time_embed.0", (time, top))
    yield _layer("time_embedding.linear_2", "time_embed.2", (time, time))
    if plan.vector:
        yield _layer("add_embedding.linear_1", "label_emb.0.0", (time, plan.vector))
        yield _layer("add_embedding.linear_2", "label_emb.0.2", (time, time))
    yield from _down(plan)
    yield from _mid(plan)
    yield from _up(plan)
    yield _layer("conv_norm_out", "out.0", (top,))
    yield _layer("conv_out", "out.2", (plan.out_channels, top, 3, 3))


def skip_widths(plan: UNetPlan) -> list[int]:
    """Width of each skip connection in the order in which the way down makes them."""
    widths = [plan.channels[0]]
    for block, width in enumerate(plan.channels):
        num_outputs = 3 if block < len(plan.channels) - 1 else 2
        widths += [width] * num_outputs
    return widths


def _down(plan: UNetPlan) -> Iterator[Layer]:
    before = plan.channels[0]
    for block, (width, depth) in enumerate(zip(plan.channels, plan.depths, strict=True)):
        for j in range(2):
            name, place = f"down_blocks.{block}", f"input_blocks.{3 * block + j + 1}"
            yield from _resnet(plan, f"{name}.resnets.{j}", f"{place}.0", (before, width))
            if depth:
                yield from _attention(plan, f"{name}.attentions.{j}", f"{place}.1", (width, depth))
            before = width
        if block < len(plan.channels) - 1:
            place = f"input_blocks.{3 * block + 3}.0.op"
            yield _layer(f"down_blocks.{block}.downsamplers.0.conv", place, (width, width, 3, 3))


def _mid(plan: UNetPlan) -> Iterator[Layer]:
    width = plan.channels[-1]
    yield from _resnet(plan, "mid_block.resnets.0", "middle_block.0", (width, width))
    yield from _attention(plan, "mid_block.attentions.0", "middle_block.1", (width, plan.mid_depth))
    yield from _resnet(plan, "mid_block.resnets.1", "middle_block.2", (width, width))


def _up(plan: UNetPlan) -> Iterator[Layer]:
    skips = skip_widths(plan)
    before = plan.channels[-1]
    for block in range(len(plan.channels)):
        width, depth = plan.channels[-1 - block], plan.depths[-1 - block]
        for j in range(3):
            name, place = f"up_blocks.{block}", f"output_blocks.{3 * block + j}"
            ends = (before + skips.pop(), width)
            yield from _resnet(plan, f"{name}.resnets.{j}", f"{place}.0", ends)
            if depth:
                yield from _attention(plan, f"{name}.attentions.{j}", f"{place}.1", (width, depth))
            before = width
        if block < len(plan.channels) - 1:
            # the upsampler is the last child of its output block: after the resnet, or the attention
            place = f"output_blocks.{3 * block + 2}.{2 if depth else 1}.conv"
            yield _layer(f"up_blocks.{block}.upsamplers.0.conv", place, (width, width, 3, 3))


def _resnet(plan: UNetPlan, name: str, place: str, ends: tuple[int, int]) -> Iterator[Layer]:
    before, after = ends
    shapes: dict[str, tuple[int, ...]] = {
        "norm1": (before,),
        "conv1": (after, before, 3, 3),
        "time_emb_proj": (after, 4 * plan.channels[0]),
        "norm2": (after,),
        "conv2": (after, after, 3, 3),
    }
    if before != after:
        shapes["conv_shortcut"] = (after, before, 1, 1)
    for leaf, shape in shapes.items():
        yield _layer(f"{name}.{leaf}", f"{place}.{_RESNET_PLACES[leaf]}", shape)


def _attention(plan: UNetPlan, name: str, place: str, size: tuple[int, int]) -> Iterator[Layer]:
    # the attention bodies are called the same in both layouts
    width, depth = size
    projection = (width, width) if plan.linear_projection else (width, width, 1, 1)
    shapes: dict[str, tuple[int, ...]] = {"norm": (width,), "proj_in": projection}
    for n in range(depth):
        shapes |= {f"transformer_blocks.{n}.{leaf}": s for leaf, s in _transformer(plan, width).items()}
    shapes["proj_out"] = projection
    for leaf, shape in shapes.items():
        yield _layer(f"{name}.{leaf}", f"{place}.{leaf}", shape)


def _transformer(plan: UNetPlan, width: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for number, source in ((1, width), (2, plan.context)):
        shapes[f"norm{number}"] = (width,)
        shapes[f"attn{number}.to_q"] = (width, width)
        shapes[f"attn{number}.to_k"] = (width, source)
        shapes[f"attn{number}.to_v"] = (width, source)
        shapes[f"attn{number}.to_out.0"] = (width, width)
    shapes["norm3"] = (width,)
    shapes["ff.net.0.proj"] = (8 * width, width)
    shapes["ff.net.2"] = (width, 4 * width)
    return shapes


def _layer(path: str, place: str, shape: tuple[int, ...]) -> Layer:
    return Layer(LayerName("unet", path), shape, HostPlace(place))
