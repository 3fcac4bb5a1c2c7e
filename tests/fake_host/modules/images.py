"""Pictures and their infotexts."""

from __future__ import annotations

from typing import Any

from PIL import Image, PngImagePlugin


def read_info_from_image(image: Image.Image) -> tuple[str | None, dict[str, Any]]:
    """The infotext, and what else the picture says."""
    items: dict[Any, Any] = dict(image.info)
    return items.pop("parameters", None), items


def save_image_with_geninfo(image: Image.Image, geninfo: str | None, filename: str) -> None:
    """As a file, with its infotext."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", str(geninfo))
    image.save(filename, pnginfo=info)
