"""Files that are none of ours, by what only they have: to say "made for Flux", or "an embedding"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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

EMBEDDING_HOME = "Put it into the WebUI's embeddings folder, and the name of the file into the prompt."
EMBEDDING = f"It is a textual-inversion embedding, no network. {EMBEDDING_HOME}"
"""For people: what a file is of which `is_embedding` holds."""

_EMBEDDING_KEYS = frozenset({"emb_params", "clip_l", "clip_g", "t5xxl"})
"""The WebUI's word in safetensors, and those of SDXL's and SD3's embeddings, by text encoder."""
_PARAMETERS = "string_to_param."
"""The WebUI's in files of torch.save."""
_TEXT_WIDTHS = (768, 1024, 1280)


def is_embedding(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a file holds vectors for a word of the prompt, and nothing else.

    diffusers calls its one tensor as the word itself, `<cat>`; so any name does that is no path.
    """
    if len(shapes) == 1:
        ((key, shape),) = shapes.items()
        if "." not in key and 1 <= len(shape) <= 2 and shape[-1] in _TEXT_WIDTHS:
            return True
    return bool(shapes) and all(key in _EMBEDDING_KEYS or key.startswith(_PARAMETERS) for key in shapes)


def foreign_by_names(flat_stems: Iterable[str]) -> tuple[str, str] | None:
    """The foreign model's name and the stem that gave it away, or None. Stems come flattened."""
    stems = tuple(flat_stems)
    for name, mark in _MARKS:
        for stem in stems:
            if mark.search(stem):
                return name, stem
    return None
