"""Uploaded images, captions and zips of them: what is taken, and why the rest is not.

Nothing that an upload says is believed: names are looked at before anything is written, a zip's sizes are
counted while it is unpacked, and an image has to open as one.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from PIL import Image

from lib_lyco.errors import DataError, FileError, LycoError, one_line
from lib_lyco.studio.dataset.duplicates import file_hash
from lib_lyco.train.data.caption import EXTENSIONS as CAPTION_EXTENSIONS
from lib_lyco.train.data.caption import read_text
from lib_lyco.train.data.header import BROKEN, read_header, readable_extensions, unreadable

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
"""Names, and signs in names, that Windows has other meanings for."""
_MAX_NAME, _MAX_DEPTH = 180, 4
_BLOCK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, ValueError)
"""What zipfile raises on files that are no whole zip. RuntimeError: a password."""


@dataclass(frozen=True)
class Limits:
    """How much one upload may bring."""

    files: int = 20_000
    file_bytes: int = 512 << 20
    all_bytes: int = 16 << 30
    ratio: int = 200
    """Of unpacked to packed bytes, of a file above `free_bytes`: images hardly shrink in a zip."""
    free_bytes: int = 4 << 20


@dataclass
class Received:
    """What became of an upload."""

    saved: list[str] = field(default_factory=list[str])
    """Names below the folder."""
    refused: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Names as they came, each with the reason."""


def receive(upload: Path, name: str, folder: Path, limits: Limits | None = None) -> Received:
    """Takes an uploaded file, or all that is in a zip, into a folder.

    Args:
        upload: The file as it came.
        name: What its sender calls it.
        folder: Where images and captions go; it is made if need be.
        limits: How much there may be of it.

    Raises:
        FileError: The folder cannot be made or written, or the zip is damaged or too large as a whole.
    """
    received, limits = Received(), limits or Limits()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith(".zip"):
            _unpack(upload, folder, received, limits)
        else:
            with upload.open("rb") as file:
                _take(file, name, folder, received, limits.file_bytes)
    except OSError as error:
        raise FileError("An upload cannot be kept.", where=str(folder), got=str(error)) from error
    return received


def safe_name(name: str) -> PurePosixPath:
    """The path of a file below a folder, as any system can have it.

    Raises:
        DataError: It leads out of the folder, or is no name for a file.
    """
    text = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", text):
        raise _refused("Its name leads out of the folder")
    if not parts or len(parts) > _MAX_DEPTH:
        raise _refused("Its name is empty, or has too many folders in it")
    for part in parts:
        strange = any(unicodedata.category(letter) in ("Cc", "Cs", "Cf") for letter in part)
        if strange or _FORBIDDEN.search(part) or _RESERVED.fullmatch(part) or part != part.strip(". "):
            raise _refused("Its name cannot be had on every system")
        if len(part.encode()) > _MAX_NAME:
            raise _refused("Its name is too long")
    return PurePosixPath(*parts)


def _unpack(upload: Path, folder: Path, received: Received, limits: Limits) -> None:
    try:
        with zipfile.ZipFile(upload) as archive:
            _demand_small(archive, limits)
            common = _common_folder(archive)
            for entry in _files(archive, received):
                packed = max(1, entry.compress_size)
                if entry.file_size > limits.free_bytes and entry.file_size / packed > limits.ratio:
                    received.refused.append((entry.filename, "It unpacks to far more than an image would."))
                    continue
                name, most = entry.filename.removeprefix(common), min(limits.file_bytes, entry.file_size)
                try:
                    with archive.open(entry) as file:
                        _take(file, name, folder, received, most)
                except _DAMAGED as error:
                    received.refused.append((entry.filename, f"It cannot be unpacked: {error}"))
    except _DAMAGED as error:
        raise FileError(
            "The zip is damaged, or packed in a way that cannot be read.",
            got=str(error),
            remedy="Pack it again, without a password.",
        ) from error


def _demand_small(archive: zipfile.ZipFile, limits: Limits) -> None:
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if len(entries) > limits.files or total > limits.all_bytes:
        raise FileError(
            "The zip holds too much.",
            got=f"{len(entries)} files, {total >> 20} MB",
            expected=f"at most {limits.files} files and {limits.all_bytes >> 20} MB",
            remedy="Upload it in parts.",
        )


def _files(archive: zipfile.ZipFile, received: Received) -> Iterator[zipfile.ZipInfo]:
    """The files in a zip that may be looked at; what a system has put beside them is left out silently."""
    for entry in archive.infolist():
        parts = entry.filename.replace("\\", "/").split("/")
        if entry.is_dir() or "__MACOSX" in parts or any(re.match(r"\.[^.]", part) for part in parts):
            continue
        if parts[-1].lower() in ("thumbs.db", "desktop.ini"):
            continue
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            received.refused.append((entry.filename, "It is no file, but a link or a device."))
        elif entry.flag_bits & 1:
            received.refused.append((entry.filename, "It has a password."))
        else:
            yield entry


def _common_folder(archive: zipfile.ZipFile) -> str:
    """The folder that all of a zip lies in, if it is one without a number of repeats in its name."""
    firsts = {entry.filename.split("/")[0] for entry in archive.infolist() if "/" in entry.filename}
    is_whole = all("/" in entry.filename for entry in archive.infolist())
    first = next(iter(firsts), "")
    return f"{first}/" if is_whole and len(firsts) == 1 and not re.match(r"\d+(\.\d+)?_", first) else ""


def _take(file: IO[bytes], name: str, folder: Path, received: Received, most: int) -> None:
    """Writes one file under a temporary name, looks at it, and keeps or deletes it."""
    temporary: Path | None = None
    try:
        place = safe_name(name)
        kind = place.suffix.lower()
        if kind not in readable_extensions() and kind not in CAPTION_EXTENSIONS:
            raise _refused(f"It is no image that can be read ({kind or 'no extension'})")
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(folder.resolve()):
            raise _refused("Its name leads out of the folder")
        temporary = target.with_name(f".{os.urandom(6).hex()}.upload{kind}")
        _copy(file, temporary, most)
        _demand_whole(temporary, kind)
        _keep(temporary, target)
        received.saved.append(place.as_posix())
    except LycoError as error:
        told = type(error)(error.what.rstrip("."), got=error.got, remedy=error.remedy)
        received.refused.append((name, one_line(told)))
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _copy(file: IO[bytes], target: Path, most: int) -> None:
    size = 0
    with target.open("xb") as out:
        while block := file.read(_BLOCK):
            size += len(block)
            if size > most:
                raise _refused("It is larger than it may be")
            out.write(block)


def _demand_whole(path: Path, kind: str) -> None:
    """Raises DataError where a file is not what its name says."""
    if kind in CAPTION_EXTENSIONS:
        read_text(path)
        return
    read_header(path)
    try:
        with Image.open(path) as image:
            image.load()
    except BROKEN as error:
        raise unreadable(path, error) from error


def _keep(temporary: Path, target: Path) -> None:
    """Raises DataError where there is another file of that name; nothing is overwritten."""
    if not target.exists():
        shutil.move(temporary, target)
    elif file_hash(target) != file_hash(temporary):
        raise _refused("There is another file of that name", "Rename one of them.")


def _refused(why: str, remedy: str = "") -> DataError:
    return DataError(f"{why}.", remedy=remedy)
