"""Caption files, read strictly."""

from __future__ import annotations

import codecs
from pathlib import Path

from lib_lyco.errors import DataError

EXTENSIONS = (".txt", ".caption")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GUESSES = ("cp932", "gb18030", "cp1252")


def caption_in(text: str, all_lines: bool = False) -> str:
    """The first line of a text, or all but empty ones."""
    if not text.strip():
        return ""
    lines = [line.strip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line) if all_lines else lines[0]


def read_text(path: Path) -> str:
    """All that stands in a caption file: UTF-8, or UTF-16 with its byte-order mark.

    Raises:
        DataError: The file cannot be read or is in another encoding.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError("A caption file cannot be read.", where=str(path), got=str(error)) from error
    return decoded(raw, path)


def decoded(raw: bytes, path: Path) -> str:
    """The text that a caption file's bytes are. Raises DataError as `read_text`."""
    try:
        text = raw.decode("utf-16" if raw.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "A caption file is not UTF-8.",
            where=f"{path}, byte {error.start}",
            got=_likely_encoding(raw),
            expected="UTF-8",
            remedy="Open it in an editor and save it as UTF-8.",
        ) from error
    if "\0" in text:
        raise DataError(
            "A caption file is not text.", where=str(path), got="zero bytes", expected="UTF-8 text"
        )
    return text


def _likely_encoding(raw: bytes) -> str:
    for encoding in _GUESSES:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return f"perhaps {encoding}: {text.splitlines()[0][:60]!r}"
    return "an unknown encoding"
