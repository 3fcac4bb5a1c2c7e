"""Small images and folders of them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lib_lyco.studio.dataset.listing import Listing, read_listing, view_config
from lib_lyco.studio.dataset.reader import Memory


def put_image(path: Path, size: tuple[int, int] = (40, 30), colour: str = "red", mode: str = "RGB") -> Path:
    """Writes an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def put_text(path: Path, text: str | bytes) -> Path:
    """Writes a caption file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def listing_of(folder: Path, **values: object) -> Listing:
    """The listing of a folder under some options."""
    return read_listing(view_config(folder, values), Memory())
