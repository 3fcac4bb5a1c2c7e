"""Base models that are none of ours, by what only their files have: to say "made for Flux"."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        # searched in flattened stems; the first that matches any stem wins: narrower models first
        ("Chroma", r"distilled_guidance_layer"),
        ("HiDream", r"(double|single)_stream_blocks_\d"),
        ("Qwen-Image", r"transformer_blocks_(\d+_(img|txt)_(mod|mlp)|(3[89]|[45]\d)_attn_)"),
        ("Flux", r"(double|single)_blocks_\d|single_transformer_blocks_\d"),
        ("Lumina 2 or Z-Image", r"(noise|context)_refiner_\d"),
        ("Wan", r"(^|^lora_unet_|^lycoris_|^diffusion_model_|^transformer_)blocks_\d+_(self|cross)_attn_"),
        ("PixArt or LTX Video", r"adaln_single|caption_projection"),
        ("Stable Cascade", r"^lora_prior_"),
        (
            "Stable Diffusion 3.5 Large",
            r"(joint|transformer)_blocks_(2[4-9]|3[0-7])_(x_block|context_block|attn)_",
        ),
        ("Flux", r"^lora_te2_encoder_block_"),  # OneTrainer's T5, in a file of text encoders only
    )
)


def foreign_by_names(flat_stems: Iterable[str]) -> tuple[str, str] | None:
    """The foreign model's name and the stem that gave it away, or None. Stems come flattened."""
    stems = tuple(flat_stems)
    for name, mark in _MARKS:
        for stem in stems:
            if mark.search(stem):
                return name, stem
    return None
