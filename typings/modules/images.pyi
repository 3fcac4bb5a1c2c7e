from typing import Any

from PIL import Image

def read_info_from_image(image: Image.Image) -> tuple[str | None, dict[str, Any]]:
    """The infotext, and what else the picture says."""

def save_image_with_geninfo(image: Image.Image, geninfo: str | None, filename: str) -> None: ...
