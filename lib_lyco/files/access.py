"""Opening files: what the operating system refuses becomes an error of ours, in one place."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lib_lyco.errors import FileError


@contextmanager
def reading(path: Path) -> Generator[BinaryIO, None, None]:
    """Opens a regular, non-empty file for reading bytes, unbuffered.

    Raises:
        FileError: The path is missing, a folder, a device, empty, or may not be read; also when
            reading fails inside the `with` block.
    """
    try:
        # Asked before opening: opening a named pipe would wait for a writer forever.
        status = os.stat(path)
        _demand_file(path, status)
        with open(path, "rb", buffering=0) as file:
            yield file
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL character.
        raise unreadable(path, error) from error


def read_into(file: BinaryIO, buffer: memoryview, path: Path) -> None:
    """Fills `buffer` from the file's position; one system call may bring less than asked for.

    Raises:
        FileError: The file ends before the buffer is full.
    """
    filled = 0
    while filled < len(buffer):
        count = file.readinto(buffer[filled:])  # type: ignore[attr-defined]
        if not count:
            raise FileError(
                "The file ended while it was read",
                where=str(path),
                got=f"{filled} bytes",
                expected=f"{len(buffer)} bytes",
                remedy="Copy or download the file again; something may still be writing it.",
            )
        filled += count


def read_exactly(file: BinaryIO, count: int, path: Path) -> bytearray:
    """Returns the next `count` bytes. Raises FileError where the file has fewer."""
    data = bytearray(count)
    read_into(file, memoryview(data), path)
    return data


def unreadable(path: str | Path, error: Exception) -> FileError:
    """The error for a file that the operating system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return FileError("There is no such file", where=str(path), remedy="Check the name and the folder.")
    if isinstance(error, PermissionError):
        return FileError(
            "The file may not be read",
            where=str(path),
            got=str(error),
            remedy="Give this user the right to read it, or close the program that holds it.",
        )
    return FileError("The file cannot be read", where=str(path), got=str(error))


def _demand_file(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise FileError("This is a folder, not a file", where=str(path), expected="a network file")
    if not stat.S_ISREG(status.st_mode):
        raise FileError(
            "This is a device or a pipe, not a file", where=str(path), expected="a network file"
        )
    if status.st_size == 0:
        raise FileError(
            "The file is empty",
            where=str(path),
            got="0 bytes",
            remedy="Copy or download it again.",
        )
