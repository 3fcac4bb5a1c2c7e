"""The training tab put together: its parts' routes, the same in the WebUI and in `lyco ui`."""

from __future__ import annotations

from pathlib import Path

from lib_lyco.studio.best_routes import BestRoutes
from lib_lyco.studio.rights import Rights, guarded
from lib_lyco.studio.run_routes import RunRoutes
from lib_lyco.studio.runs import Runs
from lib_lyco.studio.workplace import Provider
from lib_lyco.web.route import Route


class TrainingTab:
    """What is behind the tab.

    Args:
        data: The data folder; runs are kept below it.
        networks: Folder of the networks that runs write.
        provider: Where runs take place.
        rights: What requests may do.
    """

    def __init__(self, data: Path, networks: Path, provider: Provider, rights: Rights) -> None:
        self.runs = Runs(data / "lyco" / "runs", provider, networks)
        self._rights = rights

    def routes(self) -> list[Route]:
        """Everything that the page asks."""
        routes = [*RunRoutes(self.runs, self._rights).routes(), *BestRoutes(self.runs).routes()]
        return guarded(routes, self._rights)

    def start(self) -> None:
        """Begins to work on what is queued."""
        self.runs.start()

    def close(self) -> None:
        """Ends; a run in progress is saved."""
        self.runs.close()
