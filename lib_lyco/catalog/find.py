"""From a name in a tag to a file, for who asks once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lib_lyco.catalog.catalog import Catalog


def find_network(name: str, folders: Sequence[str | os.PathLike[str]]) -> Path:
    """The file that a name in a tag means; `Catalog.find` says how.

    Raises:
        NetworkNotFoundError: No file answers to the name, or several do.
    """
    return Catalog(folders).find(name)
