"""Pictures of networks: where the page finds them, and new ones on their way to a file."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

from PIL import Image

from lib_lyco.catalog.card import Card, Preview
from lib_lyco.errors import FileError

PAGE = "lora"
"""The WebUI's routes ask pages by their name."""

_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif"}
)
"""What PIL calls a kind of picture -> what its file ends in."""
_MAX_BYTES = 64 << 20


def preview_link(card: Card, preview: Preview) -> str:
    """The address of a preview: the WebUI's own routes, which serve nothing outside of pages' folders."""
    if preview.path is None:
        return f"./sd_extra_networks/cover-images?page={PAGE}&item={quote(card.name)}&index={preview.cover}"
    # as bytes: a name need not be text
    place = quote(os.fsencode(preview.path.as_posix()))
    return f"./sd_extra_networks/thumb?filename={place}&mtime={preview.mtime}"


def read_picture(url: str) -> tuple[bytes, str]:
    """The bytes of a picture in a data URL, and what its file shall end in.

    Raises:
        FileError: It holds no picture of a kind that pages can show.
    """
    head, _, text = url.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise _no_picture(f"{head[:40]!r}")
    if len(text) > _MAX_BYTES:
        raise FileError(
            "The picture is too large", got=f"{len(text)} bytes", expected=f"{_MAX_BYTES} at most"
        )
    try:
        data = base64.b64decode(text, validate=True)
        with Image.open(io.BytesIO(data)) as picture:
            kind = picture.format or ""
            picture.verify()
    # what PIL raises for bad bytes depends on the kind: OSError, SyntaxError, ValueError, struct.error, ...
    except Exception as error:  # noqa: BLE001
        raise _no_picture(f"{type(error).__name__}: {error}") from error
    if kind not in _SUFFIXES:
        raise _no_picture(kind)
    return data, _SUFFIXES[kind]


def _no_picture(got: str) -> FileError:
    return FileError("This is no picture that can be a preview", got=got, expected=", ".join(_SUFFIXES))
