"""From a name in a tag to a file in the networks folders."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lib_lyco.errors import FileError, NetworkNotFoundError
from lib_lyco.files.hashes import stated_hash
from lib_lyco.files.header import read_metadata

SUFFIXES = (".safetensors", ".pt", ".ckpt", ".bin")
"""What a network file may end in; the first wins where one name has several."""

_HASH = re.compile(r"(0x)?[0-9a-f]{8,64}")
_NUM_SUGGESTIONS = 3


@dataclass(frozen=True)
class NetworkFile:
    """A network file in one of the folders, known by its place alone."""

    path: Path
    name: str
    """Path below the folder, without suffix, with `/` between folders."""

    @property
    def stem(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]


def list_networks(folders: Sequence[str | os.PathLike[str]]) -> list[NetworkFile]:
    """All network files below the folders: folder by folder, by name inside each.

    Hidden files and folders are left out; links are followed, as the WebUI does. A folder that does
    not exist holds nothing. Of files with equal names in two folders the first folder's counts,
    of one name with two suffixes the first of `SUFFIXES`.
    """
    found: dict[str, NetworkFile] = {}
    for folder in folders:
        root = Path(folder)
        files = [NetworkFile(path, _name(path, root)) for path in _walk(root)]
        for file in sorted(files, key=lambda file: (file.name, SUFFIXES.index(file.path.suffix.lower()))):
            found.setdefault(file.name, file)
    return list(found.values())


def find_network(name: str, folders: Sequence[str | os.PathLike[str]]) -> Path:
    """The file that a name in a tag means. Reads headers only, and those only for an alias or a hash.

    Tried in this order: path below a folder, file name, alias (`ss_output_name`), the beginning of
    the hash that the file states for itself (8 digits or more). The suffix may be written or left
    out; upper and lower case count only where that decides. Only files found below the folders can
    answer, so no name leads out of them.

    Raises:
        NetworkNotFoundError: No file answers to the name, or several do.
    """
    files = list_networks(folders)
    wanted = _tidy(name)
    for key in (_by_path, _by_stem):
        chosen = _one(wanted, [(key(file), file) for file in files])
        if chosen is not None:
            return chosen.path
    metadata = [(_metadata(file), file) for file in files]
    aliases = [(entry.get("ss_output_name", ""), file) for entry, file in metadata]
    chosen = _one(wanted, aliases)
    if chosen is None and _HASH.fullmatch(wanted.lower()):
        # LyCORIS' form and kohya's differ in the `0x` alone where people copy them
        digits = wanted.lower().removeprefix("0x")
        stated = [((stated_hash(entry) or "").removeprefix("0x"), file) for entry, file in metadata]
        chosen = _one(
            digits, [(digits if text.startswith(digits) else text, file) for text, file in stated]
        )
    if chosen is None:
        raise _unknown(wanted, [file.name for file in files] + [alias for alias, _ in aliases], folders)
    return chosen.path


def _walk(root: Path) -> Iterator[Path]:
    """Network files below a folder; a folder that links to one above it is not entered again."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(folder, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.suffix.lower() in SUFFIXES)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _tidy(name: str) -> str:
    """The name without suffix, with `/` for Windows' `\\`."""
    tidy = name.strip().replace("\\", "/")
    suffix = PurePosixPath(tidy).suffix
    return tidy[: -len(suffix)] if suffix.lower() in SUFFIXES else tidy


def _by_path(file: NetworkFile) -> str:
    return file.name


def _by_stem(file: NetworkFile) -> str:
    return file.stem


def _metadata(file: NetworkFile) -> dict[str, str]:
    """A file's metadata; none where it cannot be read, for a broken file must not hide the others."""
    if file.path.suffix.lower() != SUFFIXES[0]:
        return {}
    try:
        return read_metadata(file.path)
    except FileError:
        return {}


def _one(wanted: str, candidates: list[tuple[str, NetworkFile]]) -> NetworkFile | None:
    """The one file whose text is wanted: as written, else whatever its case. None if there is none."""
    exact = [file for text, file in candidates if text == wanted]
    found = exact or [file for text, file in candidates if text.casefold() == wanted.casefold()]
    if len(found) > 1:
        names = sorted(file.name for file in found)
        raise NetworkNotFoundError(
            f"Several networks answer to {wanted!r}",
            got=", ".join(names),
            remedy=f"Write the path below the folder, such as <lora:{names[0]}>.",
        )
    return found[0] if found else None


def _unknown(
    wanted: str, names: list[str], folders: Sequence[str | os.PathLike[str]]
) -> NetworkNotFoundError:
    spellings = {
        text.casefold(): name for name in names for text in (name, name.rpartition("/")[2]) if text
    }
    close = difflib.get_close_matches(wanted.casefold(), spellings, _NUM_SUGGESTIONS)
    likely = list(dict.fromkeys(spellings[text] for text in close))
    return NetworkNotFoundError(
        f"There is no network called {wanted!r}",
        where=", ".join(str(folder) for folder in folders) or "no folder given",
        got=f"{len(set(names) - {''})} other names",
        remedy=f"Did you mean {' or '.join(likely)}?" if likely else "Check the name, or the folders.",
    )
