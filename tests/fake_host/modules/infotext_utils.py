"""The text below a picture, written and read."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

from PIL import Image

PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


class PasteField(tuple[Any, Any]):
    """A component and where its value comes from in a pasted text."""

    def __new__(cls, component: Any, target: Any, *, api: str | None = None) -> PasteField:
        del api
        return super().__new__(cls, (component, target))


def quote(text: object) -> str:
    """In quotes where commas, colons or line ends would be misread."""
    words = str(text)
    return json.dumps(words, ensure_ascii=False) if any(mark in words for mark in ",\n:") else words


def unquote(text: str) -> Any:
    """Undoes `quote`."""
    return json.loads(text) if text[:1] == text[-1:] == '"' else text


def parse_generation_parameters(x: str, skip_fields: list[str] | None = None) -> dict[str, Any]:
    """The parameters by name, the texts as Prompt and Negative prompt."""
    *lines, last = x.strip().split("\n")
    if len(PARAMETER.findall(last)) < 3:
        lines, last = [*lines, last], ""
    prompt, _, negative = "\n".join(lines).partition("Negative prompt:")
    found = {key: unquote(value) for key, value in PARAMETER.findall(last)}
    found |= {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    found.setdefault("Hires prompt", "")
    return {key: value for key, value in found.items() if key not in (skip_fields or [])}


def image_from_url_text(filedata: str) -> Image.Image:
    """A picture of a gallery, in base64."""
    return Image.open(io.BytesIO(base64.b64decode(filedata.partition(",")[2])))
