"""Stable Diffusion 2.x: one OpenCLIP-H text encoder.

Its last resblock is not part of the transformers model (23 layers of 24): nothing reads it.
"""

from __future__ import annotations

from lib_lyco.naming.clip import ClipPlan, clip_layers
from lib_lyco.naming.layer import Component
from lib_lyco.naming.place import Layer
from lib_lyco.naming.unet import UNetPlan, unet_layers

UNET = UNetPlan(
    channels=(320, 640, 1280, 1280),
    depths=(1, 1, 1, 0),
    mid_depth=1,
    context=1024,
    linear_projection=True,
)
TE1 = ClipPlan(num_layers=23, width=1024)
HOST_ROOTS: dict[Component, str] = {"unet": "model.diffusion_model", "te1": "cond_stage_model.model"}


def layers() -> tuple[Layer, ...]:
    """Every parametrised layer of the UNet and the text encoder."""
    return (*unet_layers(UNET), *clip_layers("te1", TE1, open_clip=True))
