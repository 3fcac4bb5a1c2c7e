"""What users keep beside a network: notes, a description, previews, in the files of the WebUI's builtin.

For `cat.safetensors` (ui_extra_networks.py, extra_networks.py and ui_edit_user_metadata.py of WebUI 1.10):

| file | holds |
| --- | --- |
| `cat.json` | one object; the editor's fields are `description`, `sd version`, `activation text`, `preferred weight`, `negative text`, `notes`; other programs add theirs, which are kept |
| `cat.txt`, else `cat.description.txt` | the description, where `cat.json` has none |
| `cat.png`, `cat.preview.png`, also .jpg .jpeg .webp .gif | the preview |

Ours alone: `cat.preview.1.png`, `cat.preview.2.png`, ... are more previews.
"""  # noqa: E501  a table

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lib_lyco.catalog.scan import IMAGE_SUFFIXES, NetworkFile
from lib_lyco.errors import FileError
from lib_lyco.files.replacing import replace_file

FIELDS: Mapping[str, str] = {
    "description": "description",
    "sd_version": "sd version",
    "activation_text": "activation text",
    "preferred_weight": "preferred weight",
    "negative_text": "negative text",
    "notes": "notes",
}
"""Our name of a field -> the builtin's, in the order in which its editor writes them."""

_MAX_TEXT_BYTES = 1 << 20
"""Of a description: what is longer is no description."""


@dataclass(frozen=True)
class SideFacts:
    """What a card shows of the files beside a network."""

    description: str = ""
    sd_version: str = ""
    """What the user says of the base model: `SD1`, `SD2`, `SDXL`, `Unknown` or nothing."""
    activation_text: str = ""
    preferred_weight: float = 0.0
    """0 for none."""
    negative_text: str = ""
    notes: str = ""
    problem: str | None = None
    """Why the notes cannot be read."""

    def to_json(self) -> str:
        """The facts as text; "" for none, which most networks have."""
        return json.dumps(vars(self)) if self != NOTHING_BESIDE else ""

    @classmethod
    def from_json(cls, text: str) -> SideFacts:
        """Raises ValueError or TypeError where `to_json` of this version did not write it."""
        return cls(**json.loads(text)) if text else NOTHING_BESIDE


NOTHING_BESIDE = SideFacts()
"""What most networks have."""


def read_side(file: NetworkFile) -> SideFacts:
    """Reads the texts beside a network. Raises nothing: what cannot be read is a problem."""
    there = {beside.name for beside in file.beside}
    stem = os.path.splitext(file.place)[0]
    fields: dict[str, object] = {}
    problem = None
    if notes_path(file.path).name in there:
        try:
            fields = read_notes(file.path)
        except FileError as error:
            problem = f"{error.what}: {error.got}"
    values: dict[str, Any] = {name: _text(fields.get(key)) for name, key in FIELDS.items()}
    if fields.get("description") is None:
        texts = (f"{stem}.txt", f"{stem}.description.txt")
        values["description"] = next((_read_text(t) for t in texts if os.path.basename(t) in there), "")
    values["preferred_weight"] = _number(fields.get(FIELDS["preferred_weight"]))
    return SideFacts(**values, problem=problem)


def notes_path(network: Path) -> Path:
    """Where the builtin keeps a network's notes."""
    return Path(os.path.splitext(network)[0] + ".json")


def read_notes(network: Path) -> dict[str, object]:
    """All fields of a network's notes; none where it has no file of them.

    Raises:
        FileError: The file is there and cannot be read.
    """
    path = notes_path(network)
    try:
        value: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(value, dict):
        raise _unreadable(path, f"a JSON {type(value).__name__}, where an object should be")
    return cast("dict[str, object]", value)


def write_notes(network: Path, changes: Mapping[str, object]) -> None:
    """Changes fields of a network's notes and keeps all others.

    The file is as the builtin's editor writes it: UTF-8, four blanks, nothing escaped.

    Args:
        network: The network file.
        changes: By the builtin's names.

    Raises:
        FileError: The notes that are there cannot be read, or the new ones not be written.
    """
    fields = {**read_notes(network), **changes}
    text = json.dumps(fields, indent=4, ensure_ascii=False)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        # half of a surrogate pair, which UTF-8 cannot hold and an escape can
        data = json.dumps(fields, indent=4).encode("ascii")
    replace_file(notes_path(network), data)


def write_preview(network: Path, data: bytes, suffix: str) -> Path:
    """Puts a preview beside a network, where the builtin puts it; one of that suffix is replaced.

    Args:
        network: The network file.
        data: A picture's bytes.
        suffix: One of `IMAGE_SUFFIXES`.

    Raises:
        FileError: It cannot be written, or the suffix is no picture's.
    """
    if suffix not in IMAGE_SUFFIXES:
        raise FileError(
            "A preview cannot have this suffix",
            where=str(network),
            got=repr(suffix),
            expected=", ".join(IMAGE_SUFFIXES),
        )
    path = Path(os.path.splitext(network)[0] + suffix)
    replace_file(path, data)
    return path


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_TEXT_BYTES)
    except OSError:
        return ""


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object) -> float:
    try:
        number = float(cast("Any", value))
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def _unreadable(path: Path, got: str) -> FileError:
    return FileError(
        "The notes beside the network cannot be read",
        where=str(path),
        got=got,
        remedy="Mend the file, or move it away: then new notes can be written.",
    )
