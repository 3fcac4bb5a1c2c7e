"""What was computed about a file, kept while the file stays as it is. The host keeps it on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .paths_internal import data_path

cache_dir: str = str(Path(data_path, "cache"))
_sections: dict[str, dict[str, Any]] = {}


def cache(subsection: str) -> dict[str, Any]:
    """A dictionary of its own for each subsection."""
    return _sections.setdefault(subsection, {})


def cached_data_for_file(subsection: str, title: str, filename: str, func: Callable[[], Any]) -> Any:
    """func's answer, computed again when the file is newer."""
    entries, changed = cache(subsection), Path(filename).stat().st_mtime
    if title not in entries or entries[title]["mtime"] < changed:
        entries[title] = {"mtime": changed, "value": func()}
    return entries[title]["value"]


def dump_cache() -> None:
    """Nothing to write."""
