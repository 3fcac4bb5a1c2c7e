"""The canonical name of a base-model layer."""

from __future__ import annotations

from typing import Literal, NamedTuple

Component = Literal["unet", "te1", "te2", "te3"]
"""`unet` is the denoiser (UNet or MMDiT); `te1` is the only text encoder of SD1 and SD2."""

Family = Literal["sd1", "sd2", "sdxl", "sd3"]


class LayerName(NamedTuple):
    """What a layer is called, whatever the file or the model calls it.

    A tuple, because it is a key wherever layers are looked up, and a tuple's hash is the cheapest.

    `path` is the dotted module path of the diffusers UNet or transformer (for `unet`) or of the
    transformers text model (for `te1`, `te2`, `te3`), e.g.
    `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q` or
    `text_model.encoder.layers.3.self_attn.q_proj`. A layer that only exists fused (SD3's qkv, as
    in kohya's SD3 files) has the path of its parts with `qkv`: `transformer_blocks.0.attn.to_qkv`.
    """

    component: Component
    path: str

    def __str__(self) -> str:
        return f"{self.component}:{self.path}"
