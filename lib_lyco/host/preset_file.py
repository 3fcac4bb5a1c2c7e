"""The user's file of block presets, read again whenever it has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lib_lyco.errors import PromptError
from lib_lyco.prompt.presets import BUILT_IN, Presets, read_presets


class PresetFile:
    """The presets of a file whose place is an option.

    Args:
        path: Asked at each reading; empty for none.
    """

    def __init__(self, path: Callable[[], str]) -> None:
        self._path = path
        self._read: tuple[tuple[str, int, int], Presets] | None = None

    def read(self) -> Presets:
        """The presets as the file has them now. Raises nothing: a mistake is a problem in them."""
        place = self._path().strip()
        if not place:
            return BUILT_IN
        path = Path(place)
        try:
            found = path.stat()
            state = (place, found.st_mtime_ns, found.st_size)
            if self._read is None or self._read[0] != state:
                self._read = (state, read_presets(path.read_text(encoding="utf-8"), path.name))
        except (OSError, UnicodeDecodeError) as error:
            problem = PromptError("The file of block presets cannot be read", where=place, got=str(error))
            return Presets(problems=(problem,))
        return self._read[1]
