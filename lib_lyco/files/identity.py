"""Which content a file has: what the file system says of it, and a hash where that is no proof."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO

from lib_lyco.files.access import unreadable

TICK_NS = 3_000_000_000
"""A file changed less than this before it was looked at may change again without a new time: FAT
counts in steps of two seconds."""

_BLOCK = 4 << 20
_THREADS = 4


@dataclass(frozen=True)
class FileState:
    """What the file system says about a file; another content nearly always shows here."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def at(cls, path: str | Path) -> FileState:
        """Raises FileError where the system refuses to say."""
        try:
            return cls._from(os.stat(path))
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error

    @classmethod
    def of(cls, file: BinaryIO) -> FileState:
        return cls._from(os.fstat(file.fileno()))

    @classmethod
    def _from(cls, found: os.stat_result) -> FileState:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_settled(self, now_ns: int) -> bool:
        """Whether another content would show in another state.

        Some network drives and FUSE file systems number no files; there two files of one size, copied
        at once, have one state.
        """
        return self.inode != 0 and now_ns - max(self.mtime_ns, self.ctime_ns) > TICK_NS

    def content_id(self, header: memoryview) -> str:
        """An identity for the content of a settled file, from its state and its first bytes."""
        return hashlib.sha256(repr(astuple(self)).encode() + header).hexdigest()


def hash_content(content: memoryview) -> str:
    """An identity for a content, whatever file it is from: SHA-256 over the SHA-256 of each block.

    The blocks are hashed on several threads: this looks at every byte, and takes its time.
    """

    def digest(start: int) -> bytes:
        return hashlib.sha256(content[start : start + _BLOCK]).digest()

    with ThreadPoolExecutor(_THREADS) as pool:
        digests = b"".join(pool.map(digest, range(0, len(content), _BLOCK)))
    return hashlib.sha256(digests + len(content).to_bytes(8, "little")).hexdigest()
