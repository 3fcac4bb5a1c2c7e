"""The base model in use, as far as the picker needs to know it."""

from __future__ import annotations

from dataclasses import dataclass

from modules import sd_models

from lib_lyco.host.forge import is_patched, patched_family
from lib_lyco.host.models import find_family
from lib_lyco.naming.detect import TITLES
from lib_lyco.naming.layer import Family


@dataclass(frozen=True)
class Base:
    """A loaded checkpoint. The fields are what the page gets."""

    family: Family | None = None
    """None for one that no network of ours is made for, and where none is loaded."""
    title: str | None = None
    """For people: "Stable Diffusion 1"."""
    checkpoint: str | None = None
    """Its title in the WebUI's list."""


def base_in_use() -> Base:
    """Looks at the model that is loaded; loads none."""
    model = sd_models.model_data.sd_model
    if model is None:
        return Base()
    family = patched_family(model) if is_patched(model) else find_family(model)
    # Forge's stand-in for a model that is not loaded yet has none
    info = getattr(model, "sd_checkpoint_info", None)
    return Base(family, TITLES[family] if family else None, info.title if info else None)
