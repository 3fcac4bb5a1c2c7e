"""The one owner of the extension's state inside the WebUI, from script load to script unload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib_lyco.catalog.index import Index
from lib_lyco.errors import NetworkNotFoundError
from lib_lyco.host.applied import AppliedState
from lib_lyco.host.engine import Engine, Listener
from lib_lyco.host.fields import Fields
from lib_lyco.host.options import Options
from lib_lyco.host.preset_file import PresetFile
from lib_lyco.host.sessions import Load
from lib_lyco.host.watcher import Watcher
from lib_lyco.network.cache import NetworkCache
from lib_lyco.network.network import Network
from lib_lyco.prompt.presets import Presets
from lib_lyco.prompt.request import NetworkRequest

RUN_SIGN = "@"
"""With which the name of a run's network begins."""


def catalog_only(name: str) -> Network:
    """There are no runs."""
    raise NetworkNotFoundError("There is no run in this WebUI", where=name)


class HostApp:
    """What the features share. They hold it in closures; nothing of it is in a module.

    Args:
        options: The options, read live.
        catalog: The networks on disk.
        popup: Shows a message in a corner of the page.
        editor_fields: Makes the fields of a card's editor.
        training_page: Makes the page of the training tab.
    """

    def __init__(
        self,
        options: Options,
        catalog: Index,
        popup: Callable[[str], None],
        editor_fields: Callable[[], Fields],
        training_page: Callable[[], Any],
    ) -> None:
        self.options = options
        self.catalog = catalog
        self.popup = popup
        self.editor_fields = editor_fields
        self.training_page = training_page
        self.run_network: Load = catalog_only
        """Loads the network of a run, whose name begins with a sign that no file is asked for by."""
        self.stand_ins: dict[str, Path] = {}
        """Names that mean another file for a moment; used under the host's lock."""
        self.watcher = Watcher(catalog)
        """Keeps the catalog up to date."""
        self.cache = NetworkCache(options.cache_bytes)
        """The networks in memory."""
        self._cache_bytes = options.cache_bytes
        self._presets = PresetFile(lambda: options.block_presets)
        self.engine = Engine(options, self._presets.read, self.load)
        self.engine.advisers.append(self._tell_others)
        self._undo: list[Callable[[], None]] = []

    @property
    def after_begin(self) -> list[Listener]:
        """Called after each activation for a picture, with the host's `p` and what was applied."""
        return self.engine.listeners

    @property
    def applied(self) -> AppliedState:
        """What the last activation did."""
        return self.engine.applied

    @property
    def presets(self) -> Presets:
        """Block weights by name, the user's file included, as they are now."""
        return self._presets.read()

    def load(self, name: str) -> Network:
        """The network that a tag's name means.

        Raises:
            LycoError: There is none, or its file cannot be read.
        """
        if self._cache_bytes != self.options.cache_bytes:
            self._cache_bytes = self.options.cache_bytes
            self.cache = NetworkCache(self._cache_bytes)
        if name.startswith(RUN_SIGN):
            return self.run_network(name)
        return self.cache.load(self.stand_ins.get(name) or self.catalog.find(name))

    def _tell_others(self, request: NetworkRequest) -> str | None:
        """Which of several files of one name was taken, and how to have another."""
        if request.name.startswith(RUN_SIGN) or request.name in self.stand_ins:
            return None
        others = self.catalog.others(request.name)
        if not others:
            return None
        taken = self.catalog.short_name(self.catalog.entry(request.name))
        paths = " or ".join(others)
        return f"{request.tag}: {len(others) + 1} networks have this name; taken is {taken}, not {paths}"

    def at_unload(self, undo: Callable[[], None]) -> None:
        """Remembers how to take something back when the host unloads its scripts."""
        self._undo.append(undo)

    def close(self) -> None:
        """Takes everything back, the last first."""
        while self._undo:
            self._undo.pop()()
