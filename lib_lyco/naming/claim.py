"""What a file's metadata claims about its base model.

Sources of the values: kohya sd-scripts (`ss_base_model_version`, `ss_v2`), OneTrainer (`sdxl_`),
ai-toolkit (`sd_1.5`, JSON `true`), Stability's modelspec (`modelspec.architecture`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lib_lyco.naming.layer import Family

REFINER = "the SDXL refiner"

_FAMILIES: tuple[tuple[str, Family], ...] = (
    ("sdxl", "sdxl"),
    ("stable-diffusion-xl-v1-base", "sdxl"),
    ("sd_v1", "sd1"),
    ("sd_1", "sd1"),
    ("sd1", "sd1"),
    ("stable-diffusion-v1", "sd1"),
    ("sd_v2", "sd2"),
    ("sd_2", "sd2"),
    ("sd2", "sd2"),
    ("stable-diffusion-v2", "sd2"),
    ("sd3", "sd3"),
    ("stable-diffusion-3", "sd3"),
    ("stable-diffusion-v3", "sd3"),
)
_OTHERS: tuple[tuple[str, str], ...] = (
    ("stable-diffusion-xl-v1-refiner", REFINER),
    ("stable-cascade", "Stable Cascade"),
    ("flux", "Flux"),
    ("chroma", "Chroma"),
    ("lumina", "Lumina 2"),
    ("hunyuan", "Hunyuan"),
    ("pixart", "PixArt"),
    ("wan", "Wan"),
    ("qwen", "Qwen-Image"),
    ("hidream", "HiDream"),
    ("anima", "Anima"),
)


@dataclass(frozen=True)
class Claim:
    """One entry of the metadata, understood: exactly one of `family` and `other` is set."""

    family: Family | None
    other: str | None
    entry: str
    """`name = value`, as the file has it."""


def read_claim(metadata: Mapping[str, str]) -> Claim | None:
    """The first entry that names a base model we have heard of, or None."""
    for name in ("ss_base_model_version", "modelspec.architecture"):
        value = metadata.get(name, "")
        lowered = value.lower()
        for start, family in _FAMILIES:
            if lowered.startswith(start):
                return Claim(family, None, f"{name} = {value}")
        for start, other in _OTHERS:
            if lowered.startswith(start):
                return Claim(None, other, f"{name} = {value}")
    if metadata.get("ss_v2", "").lower() == "true":
        return Claim("sd2", None, f"ss_v2 = {metadata['ss_v2']}")
    return None
