"""Stable Diffusion XL, the base model: CLIP-L in its original layout and OpenCLIP-bigG."""

from __future__ import annotations

from lib_lyco.naming.clip import ClipPlan, clip_layers
from lib_lyco.naming.layer import Component
from lib_lyco.naming.place import Layer
from lib_lyco.naming.unet import UNetPlan, unet_layers

UNET = UNetPlan(
    channels=(320, 640, 1280),
    depths=(0, 2, 10),
    mid_depth=10,
    context=2048,
    linear_projection=True,
    vector=2816,
)
TE1 = ClipPlan(num_layers=12, width=768)
TE2 = ClipPlan(num_layers=32, width=1280, projection=True)
HOST_ROOTS: dict[Component, str] = {
    "unet": "model.diffusion_model",
    "te1": "conditioner.embedders.0.transformer",
    "te2": "conditioner.embedders.1.model",
}


def layers() -> tuple[Layer, ...]:
    """Every parametrised layer of the UNet and both text encoders."""
    return (
        *unet_layers(UNET),
        *clip_layers("te1", TE1, open_clip=False),
        *clip_layers("te2", TE2, open_clip=True),
    )
