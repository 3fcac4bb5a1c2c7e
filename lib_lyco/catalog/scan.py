"""The network files below some folders, and what stands beside each, known by directory entries alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".safetensors", ".pt", ".ckpt", ".bin")
"""What a network file may end in; the first wins where one name has several."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
"""What a preview may end in (the WebUI's `default_allowed_preview_extensions`), the first preferred."""

_TEXTS = (".json", ".txt", ".description.txt")
_PREVIEW = re.compile(r"(?P<stem>.+)\.preview(?:\.(?P<number>\d{1,4}))?", re.DOTALL)
_NO_TEXT = re.compile("[\ud800-\udfff]")
"""How Python spells bytes of a name that the file system's encoding does not know."""

Stamp = tuple[int, int]
"""Time of change (ns) and size: another stamp, another content."""


class Beside(NamedTuple):
    """A file beside a network: notes, a description, a preview."""

    name: str
    stamp: Stamp


class NetworkFile(NamedTuple):
    """A network file in one of the folders, as it was when the folder was read."""

    place: str
    """Its path."""
    name: str
    """Path below the folder, without suffix, with `/` between folders; no other file has it."""
    stamp: Stamp = (0, 0)
    created: float = 0.0
    """Seconds since 1970: when it was made, or where the system does not keep that, when its entry
    last changed."""
    beside: tuple[Beside, ...] = ()
    """The texts, then the previews, the preferred one first."""
    folder: str = ""
    """Where it lies, for people: the networks folder's name and the path below, with `/`."""

    @property
    def path(self) -> Path:
        return Path(self.place)

    @property
    def stem(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Listing:
    """One reading of the folders."""

    files: list[NetworkFile] = field(default_factory=list[NetworkFile])
    """Folder by folder, by name inside each."""
    folders: dict[str, int] = field(default_factory=dict[str, int])
    """Each folder -> its time of change (ns) before it was read, as `modified_at`."""
    problems: list[str] = field(default_factory=list[str])
    """Folders that could not be read, and why."""


class _Found(NamedTuple):
    """A network file below one of the folders, before it has a name."""

    below: str
    rank: int
    entry: os.DirEntry[str]
    beside: tuple[Beside, ...]
    folder: str


def list_networks(folders: Sequence[str | os.PathLike[str]]) -> list[NetworkFile]:
    """As `list_folders`, the files alone."""
    return list_folders(folders).files


def list_folders(folders: Sequence[str | os.PathLike[str]]) -> Listing:
    """All network files below the folders: folder by folder, by name inside each.

    Hidden folders count and links are followed, as in the WebUI. A folder that does not exist holds
    nothing, one inside another is read once. Where an earlier folder has the same name, the file's own
    folder stands before it: `LyCORIS/cat`. Of one name with two suffixes the first of `SUFFIXES` counts.
    """
    listing = Listing()
    taken: set[str] = set()
    seen: set[str] = set()
    labels: set[str] = set()
    for folder in folders:
        root = os.path.abspath(folder)
        label = _label(root, labels)
        labels.add(label)
        names: set[str] = set()
        for found in sorted(_walk(root, label, seen, listing), key=lambda item: item[:2]):
            if found.below not in names:
                names.add(found.below)
                name = _free_name(found.below, root, taken)
                taken.add(name)
                listing.files.append(_file(found, name))
    return listing


def _file(found: _Found, name: str) -> NetworkFile:
    try:
        status = found.entry.stat()
    except OSError:
        # a link that leads nowhere is a file with a problem, which is found when it is read
        return NetworkFile(found.entry.path, name, beside=found.beside, folder=found.folder)
    stamp = (status.st_mtime_ns, status.st_size)
    # Windows' and, since Python 3.12, its own word for it; elsewhere ctime is the nearest there is
    created: float = getattr(status, "st_birthtime", status.st_ctime)
    return NetworkFile(found.entry.path, name, stamp, created, found.beside, found.folder)


def _walk(root: str, label: str, seen: set[str], listing: Listing) -> Iterator[_Found]:
    """Network files below a folder.

    Args:
        root: Where to begin.
        label: What people know it by.
        seen: Real paths of the folders already read; a link that leads to one of them is not entered.
        listing: Gets the folders read, and those that could not be.
    """
    pending = [(root, "")]
    while pending:
        folder, below = pending.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        entries = _entries(folder, listing)
        files: list[os.DirEntry[str]] = []
        for entry in entries:
            if entry.is_dir():
                pending.append((entry.path, f"{below}{readable(entry.name)}/"))
            else:
                files.append(entry)
        yield from _networks(files, below, f"{label}/{below}".rstrip("/"))


def _networks(files: Sequence[os.DirEntry[str]], below: str, folder: str) -> Iterator[_Found]:
    """The network files among one folder's files, each with what stands beside it."""
    networks: list[tuple[os.DirEntry[str], str, int]] = []
    by_name = {entry.name: entry for entry in files}
    previews: dict[str, list[tuple[int, int, str]]] = {}
    for name, entry in by_name.items():
        stem, suffix = os.path.splitext(name)
        suffix = suffix.lower()
        if suffix in SUFFIXES:
            networks.append((entry, stem, SUFFIXES.index(suffix)))
        elif suffix in IMAGE_SUFFIXES:
            order = IMAGE_SUFFIXES.index(suffix)
            previews.setdefault(stem, []).append((-2, order, name))
            match = _PREVIEW.fullmatch(stem)
            if match is not None:
                number = int(match["number"] or -1)
                previews.setdefault(match["stem"], []).append((number, order, name))
    for entry, stem, rank in networks:
        names = [name for suffix in _TEXTS if (name := stem + suffix) in by_name]
        names += [name for _, _, name in sorted(previews.get(stem, ()))]
        beside = tuple(Beside(name, stamp) for name in names if (stamp := _stamp(by_name[name])))
        yield _Found(below + readable(stem), rank, entry, beside, folder)


def _entries(folder: str, listing: Listing) -> list[os.DirEntry[str]]:
    """What stands in a folder, without what macOS leaves beside files; nothing where it may not be read."""
    listing.folders[folder] = modified_at(folder)
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith("._")]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        listing.problems.append(f"The folder {folder} cannot be read: {error}")
        return []


def modified_at(folder: str) -> int:
    """When an entry of a folder came, went or was renamed (ns); -1 where there is no such folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except (OSError, ValueError):
        return -1


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        status = entry.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def readable(name: str) -> str:
    """A file's name as text that can be shown, sent and stored; a byte that is no text becomes `%E9`."""
    return _NO_TEXT.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", name)


def _label(root: str, taken: set[str]) -> str:
    """The folder's own name, numbered where an earlier one has it."""
    name = readable(os.path.basename(root)) or "networks"
    return next(label for n in range(1, len(taken) + 2) if (label := _numbered(name, n)) not in taken)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} ({number})"


def _free_name(below: str, root: str, taken: set[str]) -> str:
    """The path below the folder, or what else tells the file from one in an earlier folder."""
    candidates = (below, f"{readable(os.path.basename(root))}/{below}")
    name = next((name for name in candidates if name not in taken), None)
    return name or f"{readable(root)}/{below}".replace(os.sep, "/")


def folder_tree(files: Mapping[str, int]) -> list[FolderNode]:
    """The folders that hold networks, as a tree.

    Args:
        files: Folder, as `NetworkFile.folder` -> how many networks lie in it itself.
    """
    top = FolderNode("", "")
    for folder, count in sorted(files.items(), key=lambda item: item[0].casefold()):
        node = top
        for part in folder.split("/"):
            node.count += count
            node = node.child(part)
        node.count += count
    return top.children


@dataclass
class FolderNode:
    """A folder, for the tree beside the cards."""

    name: str
    path: str
    """As `NetworkFile.folder`, which a query may ask for."""
    count: int = 0
    """Networks in it and below."""
    children: list[FolderNode] = field(default_factory=list["FolderNode"])

    def child(self, name: str) -> FolderNode:
        """The folder of that name in this one, made where it is not there yet."""
        found = next((node for node in self.children if node.name == name), None)
        if found is None:
            found = FolderNode(name, f"{self.path}/{name}".lstrip("/"))
            self.children.append(found)
        return found
