"""The training tab put together: its parts' routes, the same in the WebUI and in `lyco ui`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_lyco.studio.best_routes import BestRoutes
from lib_lyco.studio.dataset.routes import dataset_routes
from lib_lyco.studio.dataset.tagger import Tagger, Taggers
from lib_lyco.studio.dataset.wd14 import find_wd14
from lib_lyco.studio.form_routes import FormRoutes
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
        taggers: What else can make captions, beside the models in `models/wd14` and `lyco/taggers`.
    """

    def __init__(
        self, data: Path, networks: Path, provider: Provider, rights: Rights, taggers: Taggers = tuple
    ) -> None:
        self.runs = Runs(data / "lyco" / "runs", provider, networks)
        self._rights = rights
        self._data = data
        self._taggers = taggers
        self._form = FormRoutes(provider, rights, data / "lyco", networks)

    def routes(self) -> list[Route]:
        """Everything that the page asks."""
        routes = [
            *RunRoutes(self.runs, self._rights).routes(),
            *BestRoutes(self.runs).routes(),
            *dataset_routes(self._rights, self._data / "lyco" / "dataset", self._all_taggers),
        ]
        routes += self._form.routes()
        return guarded(routes, self._rights)

    def _all_taggers(self) -> Sequence[Tagger]:
        own = find_wd14((self._data / "models" / "wd14", self._data / "lyco" / "taggers"))
        return [*self._taggers(), *own]

    def start(self) -> None:
        """Begins to work on what is queued."""
        self.runs.start()

    def close(self, goes_on: bool = False) -> None:
        """Ends; a run in progress is saved, and goes on by itself at the next start if so wanted."""
        self.runs.close(goes_on)
