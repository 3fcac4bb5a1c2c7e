"""Writing a network file so that a failure at any moment leaves the old file as it was."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.files.layout import Layout, lay_out


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file under a temporary name beside `path`, then puts it in its place.

    The folder is made if it does not exist. The same tensors and metadata, in the same order,
    make the same bytes.

    Raises:
        FileError: The disk is full, the folder may not be written, another program holds the old
            file, or the format cannot hold a tensor. What was at `path` before is still there.
    """
    target = Path(path)
    layout = lay_out(tensors, metadata)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _demand_space(target, layout.size)
        with open(temporary, "xb") as file:
            _write(file, layout)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        raise _unwritable(target, layout.size, error) from error
    finally:
        # After success nothing is there under this name any more.
        _remove(temporary)


def _write(file: BinaryIO, layout: Layout) -> None:
    file.write(layout.header)
    for data in layout.data():
        file.write(data)
    file.flush()
    # Before the rename, or a power cut could leave the new name with no content.
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder; its rename is journaled
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except (OSError, ValueError):
        # The write's own error is the one to tell; a leftover is named `.*.tmp` and read by nobody.
        return


def _demand_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise FileError(
            "The disk has no room for the file",
            where=str(target),
            got=f"{free} bytes free",
            expected=f"{needed} bytes",
            remedy="Free some space and save again; the file that was there before is untouched.",
        )


def _unwritable(target: Path, needed: int, error: Exception) -> FileError:
    return FileError(
        "The file could not be written",
        where=str(target),
        got=f"{error}; {_free_space(target)}",
        expected=f"{needed} bytes of room and the right to write there",
        remedy="Mend that and save again; the file that was there before is untouched.",
    )


def _free_space(target: Path) -> str:
    try:
        return f"{shutil.disk_usage(target.parent).free} bytes free"
    except (OSError, ValueError):
        return "free space unknown"
