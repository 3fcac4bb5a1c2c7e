"""Stable Diffusion 1.x: one CLIP-L text encoder in its original layout."""

from __future__ import annotations

from lib_lyco.naming.clip import ClipPlan, clip_layers
from lib_lyco.naming.layer import Component
from lib_lyco.naming.place import Layer
from lib_lyco.naming.unet import UNetPlan, unet_layers

UNET = UNetPlan(
    channels=(320, 640, 1280, 1280),
    depths=(1, 1, 1, 0),
    mid_depth=1,
    context=768,
    linear_projection=False,
)
TE1 = ClipPlan(num_layers=12, width=768)
HOST_ROOTS: dict[Component, str] = {"unet": "model.diffusion_model", "te1": "cond_stage_model.transformer"}


def layers() -> tuple[Layer, ...]:
    """Every parametrised layer of the UNet and the text encoder."""
    return (*unet_layers(UNET), *clip_layers("te1", TE1, open_clip=False))
