"""Of which family a base model is that nobody has opened yet: told by its file's header."""

from __future__ import annotations

from pathlib import Path

from lib_lyco.errors import LycoError
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.naming.layer import Family
from lib_lyco.studio.workplace import Base


class Families:
    """The families of files, each read once as long as it stays the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int], Family | None] = {}

    def find(self, base: Base) -> Family | None:
        """The family; None where a header does not tell it, or tells of what is not trained here."""
        path = base.path
        if base.family or path is None or path.suffix.lower() != ".safetensors":
            return base.family
        try:
            key = (path, path.stat().st_mtime_ns)
        except OSError:
            return None
        if key not in self._known:
            self._known[key] = _read(path)
        return self._known[key]


def _read(path: Path) -> Family | None:
    try:
        return open_checkpoint(path).plan.family
    except LycoError:  # what is wrong with it is told by the check, and by the run
        return None
