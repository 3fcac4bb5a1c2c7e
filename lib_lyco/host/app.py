"""The one owner of the extension's state inside the WebUI, from script load to script unload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lib_lyco.apply.wanted import Mode
from lib_lyco.network.cache import NetworkCache
from lib_lyco.network.network import Network
from lib_lyco.prompt.request import NetworkRequest


class Options(Protocol):
    """The options that the engine reads, always as they are now. `host/options.py` has them."""

    @property
    def own_lora(self) -> bool:
        """Whether `<lora:>` is ours; `<lyco:>` always is."""
        ...

    @property
    def mode(self) -> Mode:
        """Merge or bypass; the builtin's `lora_functional` means bypass."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Budget for merged weights that are not in use."""
        ...

    @property
    def report(self) -> str:
        """What goes into a picture's comment: `problems`, `always` or `never`."""
        ...

    @property
    def bundled_ti_to_infotext(self) -> bool:
        """Whether an embedding that comes with a network names it among the TI hashes."""
        ...


class Catalog(Protocol):
    """The networks on disk."""

    def find(self, name: str) -> Path:
        """The file a tag's name means. Raises NetworkNotFoundError."""
        ...


@dataclass(frozen=True)
class AppliedState:
    """What the last activation did, for the API and whoever reports. Replaced whole, never changed."""

    model: str = ""
    """Title of the checkpoint."""
    hires: bool = False
    """Whether it was for the second pass of hires fix."""
    requested: tuple[tuple[NetworkRequest, Network], ...] = ()
    """The tags whose network was found, in their order."""
    lines: tuple[str, ...] = ()
    """One per network: what was applied."""
    problems: tuple[str, ...] = ()
    backup_bytes: int = 0
    """Memory held by the originals of what is merged."""
    parked_bytes: int = 0
    """Memory held by merged weights kept for later."""


class HostApp:
    """What the features share. They hold it in closures; nothing of it is in a module.

    Args:
        options: The options, read live.
        catalog: The networks on disk.
        cache: The networks in memory.
    """

    def __init__(self, options: Options, catalog: Catalog, cache: NetworkCache) -> None:
        self.options = options
        self.catalog = catalog
        self.cache = cache
        self.applied = AppliedState()
        self.after_begin: list[Callable[[object, AppliedState], None]] = []
        """Called after each activation for a picture with the host's `p`, and what was applied."""
        self._undo: list[Callable[[], None]] = []

    def load(self, name: str) -> Network:
        """The network that a tag's name means.

        Raises:
            LycoError: There is none, or its file cannot be read.
        """
        return self.cache.load(self.catalog.find(name))

    def at_unload(self, undo: Callable[[], None]) -> None:
        """Remembers how to take something back when the host unloads its scripts."""
        self._undo.append(undo)

    def close(self) -> None:
        """Takes everything back, the last first."""
        while self._undo:
            self._undo.pop()()
