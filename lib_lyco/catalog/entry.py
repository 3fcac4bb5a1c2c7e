"""One network file of the catalog."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from lib_lyco.catalog.facts import FileFacts
from lib_lyco.catalog.scan import SUFFIXES, NetworkFile
from lib_lyco.catalog.side import SideFacts
from lib_lyco.errors import FileError
from lib_lyco.files.hashes import stated_hash
from lib_lyco.files.header import read_metadata

HashOf = Callable[[NetworkFile], "str | None"]
"""The hash of a file that states none, where somebody has computed it before; None otherwise. It is asked
for every file when somebody searches for a hash, so it may not go to the disk each time."""


def unknown_hash(file: NetworkFile) -> None:
    """For who knows no hash that a file does not state."""
    del file


class _Stated(NamedTuple):
    """What names need of the metadata, which is far larger."""

    alias: str
    hash: str | None
    legacy_hash: str


class CatalogEntry:
    """One network file. What its header says is read when first asked for, unless it is given."""

    def __init__(
        self,
        file: NetworkFile,
        hash_of: HashOf = unknown_hash,
        facts: FileFacts | None = None,
        side: SideFacts | None = None,
    ) -> None:
        self.file = file
        self.name = file.name
        """Unique: the path below its folder."""
        self.facts = facts
        """What the index has of the file; None as long as it has not been read for the index."""
        self.side = side
        """What the index has of the files beside it."""
        self._hash_of = hash_of

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def stem(self) -> str:
        """The file's name without folders and suffix; others may have the same."""
        return self.file.stem

    @cached_property
    def id(self) -> str:
        """Stands for the path where paths may not be told."""
        return hashlib.sha256(os.fsencode(self.file.place)).hexdigest()[:20]

    @property
    def metadata(self) -> dict[str, str]:
        """The header's metadata; none where it cannot be read, for a broken file must not hide others.

        It is read each time: a collection's metadata are larger than many a memory.
        """
        if self.path.suffix.lower() != SUFFIXES[0]:
            return {}
        try:
            return read_metadata(self.path)
        except FileError:
            return {}

    @property
    def alias(self) -> str:
        """The name under which it was trained (`ss_output_name`), or its file's."""
        return self._stated.alias or self.stem

    @property
    def hash(self) -> str | None:
        """The hash that the file states, else the one computed before; None where nobody has."""
        return self.stated_hash or self._hash_of(self.file)

    @property
    def stated_hash(self) -> str | None:
        """The hash that the file states."""
        return self._stated.hash

    def answers_to(self, digits: str) -> bool:
        """Whether one of its hashes begins so; LyCORIS' and kohya's forms differ in `0x`, too."""
        hashes = (self.hash, self._stated.legacy_hash)
        return any(text and text.removeprefix("0x").startswith(digits) for text in hashes)

    @property
    def _stated(self) -> _Stated | FileFacts:
        return self._read_stated if self.facts is None else self.facts

    @cached_property
    def _read_stated(self) -> _Stated:
        metadata = self.metadata
        legacy = metadata.get("sshs_legacy_hash", "")
        return _Stated(metadata.get("ss_output_name", ""), stated_hash(metadata), legacy)
