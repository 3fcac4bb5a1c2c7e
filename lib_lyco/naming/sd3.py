"""Stable Diffusion 3: the MMDiT, two CLIP text encoders and T5, all in transformers' layout.

The table is that of SD3 Medium, which the host loads, with what SD3.5 Medium adds on the same 24
blocks: `attn2` in the first thirteen and norms of queries and keys. Names follow diffusers'
`SD3Transformer2DModel`, places Stability's `MMDiT`; the correspondence is the one published in
diffusers' `convert_sd3_transformer_checkpoint_to_diffusers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from lib_lyco.naming.clip import ClipPlan, clip_layers
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.naming.place import Combined, HostPlace, Layer, RowShare, Share
from lib_lyco.naming.t5 import t5_layers

NUM_BLOCKS = 24
NUM_DUAL_BLOCKS = 13
WIDTH = 1536
HEAD_WIDTH = 64
POOLED = 2048
CONTEXT = 4096
TE1 = ClipPlan(num_layers=12, width=768, projection=True)
TE2 = ClipPlan(num_layers=32, width=1280, projection=True)
HOST_ROOTS: dict[Component, str] = {
    "unet": "model.diffusion_model",
    "te1": "text_encoders.clip_l.transformer",
    "te2": "text_encoders.clip_g.transformer",
    "te3": "text_encoders.t5xxl.transformer",
}

_ENDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "pos_embed.proj": ("x_embedder.proj", (WIDTH, 16, 2, 2)),
    "time_text_embed.timestep_embedder.linear_1": ("t_embedder.mlp.0", (WIDTH, 256)),
    "time_text_embed.timestep_embedder.linear_2": ("t_embedder.mlp.2", (WIDTH, WIDTH)),
    "time_text_embed.text_embedder.linear_1": ("y_embedder.mlp.0", (WIDTH, POOLED)),
    "time_text_embed.text_embedder.linear_2": ("y_embedder.mlp.2", (WIDTH, WIDTH)),
    "context_embedder": ("context_embedder", (WIDTH, CONTEXT)),
    "proj_out": ("final_layer.linear", (64, WIDTH)),
}
_STREAMS = {
    # the image's stream, then the text's: name of the part in diffusers -> in SAI's block
    "x_block": {
        "norm1.linear": "adaLN_modulation.1",
        "attn.to_out.0": "attn.proj",
        "ff.net.0.proj": "mlp.fc1",
        "ff.net.2": "mlp.fc2",
        "attn.norm_q": "attn.ln_q",
        "attn.norm_k": "attn.ln_k",
    },
    "context_block": {
        "norm1_context.linear": "adaLN_modulation.1",
        "attn.to_add_out": "attn.proj",
        "ff_context.net.0.proj": "mlp.fc1",
        "ff_context.net.2": "mlp.fc2",
        "attn.norm_added_q": "attn.ln_q",
        "attn.norm_added_k": "attn.ln_k",
    },
}
_ATTENTIONS = {
    "attn.to_qkv": ("x_block.attn", ("attn.to_q", "attn.to_k", "attn.to_v")),
    "attn.to_added_qkv": (
        "context_block.attn",
        ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    ),
}
_DUAL_ATTENTION = {"attn2.to_qkv": ("x_block.attn2", ("attn2.to_q", "attn2.to_k", "attn2.to_v"))}
_LAST_LACKS = ("norm1_context.linear", "attn.to_add_out", "ff_context.net.0.proj", "ff_context.net.2")
"""The last block drops the text after its attention; its text modulation is among `_SWAPPED`."""
_SWAPPED = {
    f"transformer_blocks.{NUM_BLOCKS - 1}.norm1_context": (
        f"joint_blocks.{NUM_BLOCKS - 1}.context_block.adaLN_modulation.1"
    ),
    "norm_out": "final_layer.adaLN_modulation.1",
}
"""Modulations that only shift and scale: SAI keeps the shift's rows first, diffusers the scale's."""


def layers() -> tuple[Layer, ...]:
    """Every parametrised layer of the MMDiT and the three text encoders."""
    return (
        *_mmdit(),
        *clip_layers("te1", TE1, open_clip=False),
        *clip_layers("te2", TE2, open_clip=False),
        *t5_layers(),
    )


def combined() -> Iterator[Combined]:
    """The weights that SAI's layout has in one piece or in another order, as kohya's files do.

    Fused attention is called as diffusers calls its own fused projections (`to_qkv`,
    `to_added_qkv`); a modulation in SAI's row order is called `shift_scale`.
    """
    for block in range(NUM_BLOCKS):
        name, place = f"transformer_blocks.{block}", f"joint_blocks.{block}"
        for fused, (attention, parts) in _attentions(block).items():
            shares = tuple(
                Share(LayerName("unet", f"{name}.{part}"), RowShare(i, 3)) for i, part in enumerate(parts)
            )
            path = LayerName("unet", f"{name}.{fused}")
            yield Combined(path, shares, (3 * WIDTH, WIDTH), f"{place}.{attention}.qkv")
    first, second = RowShare(0, 2), RowShare(1, 2)
    for name, place in _SWAPPED.items():
        linear = LayerName("unet", f"{name}.linear")
        shares = (Share(linear, first, second), Share(linear, second, first))
        yield Combined(LayerName("unet", f"{name}.shift_scale"), shares, (2 * WIDTH, WIDTH), place)


def _mmdit() -> Iterator[Layer]:
    for path, (place, shape) in _ENDS.items():
        yield Layer(LayerName("unet", path), shape, HostPlace(place))
    for block in range(NUM_BLOCKS):
        yield from _block(block)
    for name, place in _SWAPPED.items():
        path = LayerName("unet", f"{name}.linear")
        yield Layer(path, (2 * WIDTH, WIDTH), HostPlace(place, swapped_halves=True))


def _block(block: int) -> Iterator[Layer]:
    name, place = f"transformer_blocks.{block}", f"joint_blocks.{block}"
    last = block == NUM_BLOCKS - 1
    for stream, parts in _STREAMS.items():
        for part, leaf in parts.items():
            if not (last and part in _LAST_LACKS):
                path = LayerName("unet", f"{name}.{part}")
                yield Layer(path, _shape(part), HostPlace(f"{place}.{stream}.{leaf}"))
    if block < NUM_DUAL_BLOCKS:
        for part in ("to_out.0", "norm_q", "norm_k"):
            leaf = _STREAMS["x_block"][f"attn.{part}"].removeprefix("attn.")
            path = LayerName("unet", f"{name}.attn2.{part}")
            yield Layer(path, _shape(part), HostPlace(f"{place}.x_block.attn2.{leaf}"))
    for attention, parts in _attentions(block).values():
        for i, part in enumerate(parts):
            qkv = HostPlace(f"{place}.{attention}.qkv", RowShare(i, 3))
            yield Layer(LayerName("unet", f"{name}.{part}"), (WIDTH, WIDTH), qkv)


def _attentions(block: int) -> dict[str, tuple[str, tuple[str, ...]]]:
    return _ATTENTIONS | _DUAL_ATTENTION if block < NUM_DUAL_BLOCKS else _ATTENTIONS


def _shape(part: str) -> tuple[int, ...]:
    if part.endswith(".linear"):
        return (6 * WIDTH, WIDTH)
    if part.endswith("net.0.proj"):
        return (4 * WIDTH, WIDTH)
    if part.endswith("net.2"):
        return (WIDTH, 4 * WIDTH)
    if "norm_" in part:
        return (HEAD_WIDTH,)
    return (WIDTH, WIDTH)
