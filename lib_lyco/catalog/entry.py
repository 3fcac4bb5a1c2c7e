"""One network file of the catalog."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from lib_lyco.catalog.facts import FileFacts
from lib_lyco.catalog.scan import SUFFIXES, NetworkFile
from lib_lyco.catalog.side import SideFacts
from lib_lyco.errors import FileError
from lib_lyco.files.hashes import stated_hash
from lib_lyco.files.header import read_metadata

HashOf = Callable[[Path], "str | None"]
"""The hash of a file that states none, where somebody has computed it before; None otherwise."""


def unknown_hash(path: Path) -> None:
    """For who knows no hash that a file does not state."""
    del path


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

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The header's metadata; none where it cannot be read, for a broken file must not hide others."""
        if self.path.suffix.lower() != SUFFIXES[0]:
            return {}
        try:
            return read_metadata(self.path)
        except FileError:
            return {}

    @property
    def alias(self) -> str:
        """The name under which it was trained (`ss_output_name`), or its file's."""
        stated = self.metadata.get("ss_output_name") if self.facts is None else self.facts.alias
        return stated or self.stem

    @property
    def hash(self) -> str | None:
        """The hash that the file states, else the one computed before; None where nobody has."""
        return self.stated_hash or self._hash_of(self.path)

    @property
    def stated_hash(self) -> str | None:
        """The hash that the file states."""
        return stated_hash(self.metadata) if self.facts is None else self.facts.hash

    def answers_to(self, digits: str) -> bool:
        """Whether one of its hashes begins so; LyCORIS' and kohya's forms differ in `0x`, too."""
        legacy = self.metadata.get("sshs_legacy_hash") if self.facts is None else self.facts.legacy_hash
        return any(text and text.removeprefix("0x").startswith(digits) for text in (self.hash, legacy))
