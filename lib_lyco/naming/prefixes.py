"""What stands before a layer's path in a file, and which component it means, as data.

Sources: kohya sd-scripts and LyCORIS (`lora_unet`, `lora_te*`, `oft_unet`, `lycoris`), diffusers
(`unet`, `transformer`, `text_encoder*`), OneTrainer (`lora_transformer`, ORIGINAL's `clip_l`,
`clip_g`, `t5`, COMFY's `text_encoders.*.transformer`), ComfyUI (`diffusion_model`). In
OneTrainer's Flux files `lora_te2` is T5; no family here has T5 as its second encoder.
"""

from __future__ import annotations

from lib_lyco.naming.layer import Component, Family

FILE_PREFIXES: dict[str, tuple[Component, ...]] = {
    "lora_unet_": ("unet",),
    "lora_te_": ("te1",),
    "lora_te1_": ("te1",),
    "lora_te2_": ("te2",),
    "lora_te3_": ("te3",),
    "oft_unet_": ("unet",),
    "oft_te_": ("te1",),
    "oft_te1_": ("te1",),
    "oft_te2_": ("te2",),
    # the wrapper does not say what it wrapped: a denoiser nearly always
    "lycoris_": ("unet", "te1"),
    "lora_transformer_": ("unet",),
    "unet.": ("unet",),
    # also the root of SD1's text encoder inside the host, hence the second guess
    "transformer.": ("unet", "te1"),
    "text_encoder.": ("te1",),
    "text_encoder_2.": ("te2",),
    "text_encoder_3.": ("te3",),
    "diffusion_model.": ("unet",),
    "text_encoders.clip_l.transformer.": ("te1",),
    "text_encoders.clip_h.transformer.": ("te1",),
    "text_encoders.clip_g.transformer.": ("te2",),
    "text_encoders.t5xxl.transformer.": ("te3",),
    "clip_l.": ("te1",),
    "clip_g.": ("te2",),
    "t5.": ("te3",),
}
"""Prefix -> the components it can mean, likeliest first. Several prefixes may fit one stem."""

BARE: tuple[Component, ...] = ("unet", "te1")
"""What a stem without any prefix can mean: PEFT saved straight from the module, or bare sgm names."""

KOHYA_PREFIXES: dict[Family, dict[Component, str]] = {
    "sd1": {"unet": "lora_unet", "te1": "lora_te"},
    "sd2": {"unet": "lora_unet", "te1": "lora_te"},
    "sdxl": {"unet": "lora_unet", "te1": "lora_te1", "te2": "lora_te2"},
    "sd3": {"unet": "lora_unet", "te1": "lora_te1", "te2": "lora_te2", "te3": "lora_te3"},
}
"""How kohya's sd-scripts call each component of a family."""
