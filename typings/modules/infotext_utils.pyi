from typing import Any

from PIL import Image

def image_from_url_text(filedata: Any) -> Image.Image:
    """A picture of a gallery."""
