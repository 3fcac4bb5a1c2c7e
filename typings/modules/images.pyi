from typing import Any

from PIL import Image

def read_info_from_image(image: Image.Image) -> tuple[str | None, dict[str, Any]]:
    """The infotext, and what else the picture says."""

def save_image_with_geninfo(image: Image.Image, geninfo: str | None, filename: str) -> None: ...
def resize_image(resize_mode: int, im: Image.Image, width: int, height: int) -> Image.Image:
    """Mode 2 fits it in, and fills the rest up with its edges."""
