"""The network files below some folders, known by their place alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".safetensors", ".pt", ".ckpt", ".bin")
"""What a network file may end in; the first wins where one name has several."""


@dataclass(frozen=True)
class NetworkFile:
    """A network file in one of the folders, as it was when the folder was read."""

    path: Path
    name: str
    """Path below the folder, without suffix, with `/` between folders; no other file has it."""
    stamp: tuple[int, int] = (0, 0)
    """Time of change (ns) and size: another stamp, another content."""

    @property
    def stem(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]


def list_networks(folders: Sequence[str | os.PathLike[str]]) -> list[NetworkFile]:
    """All network files below the folders: folder by folder, by name inside each.

    Hidden files and folders are left out; links are followed, as the WebUI does. A folder that does
    not exist holds nothing, one inside another is read once. Where an earlier folder has the same
    name, the file's own folder stands before it: `LyCORIS/cat`. Of one name with two suffixes the
    first of `SUFFIXES` counts.
    """
    found: dict[str, NetworkFile] = {}
    seen: set[str] = set()
    for folder in folders:
        root = os.path.abspath(folder)
        names: set[str] = set()
        for entry, below, rank in sorted(_walk(root, seen), key=lambda item: item[1:]):
            del rank
            if below not in names:
                names.add(below)
                name = _free_name(below, root, found)
                status = entry.stat()
                found[name] = NetworkFile(Path(entry.path), name, (status.st_mtime_ns, status.st_size))
    return list(found.values())


def _walk(root: str, seen: set[str]) -> Iterator[tuple[os.DirEntry[str], str, int]]:
    """Network files below a folder, each with its path below it and its suffix's rank.

    Args:
        root: Where to begin.
        seen: Real paths of the folders already read; a link that leads to one of them is not entered.
    """
    pending = [(root, "")]
    while pending:
        folder, below = pending.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(folder):
            stem, suffix = os.path.splitext(entry.name)
            if entry.is_dir():
                pending.append((entry.path, f"{below}{entry.name}/"))
            elif suffix.lower() in SUFFIXES and entry.is_file():
                yield entry, below + stem, SUFFIXES.index(suffix.lower())


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What stands in a folder, without what is hidden; nothing where it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []


def _free_name(below: str, root: str, taken: dict[str, NetworkFile]) -> str:
    """The path below the folder, or what else tells the file from one in an earlier folder."""
    candidates = (below, f"{os.path.basename(root)}/{below}")
    return next((name for name in candidates if name not in taken), f"{root}/{below}".replace(os.sep, "/"))
