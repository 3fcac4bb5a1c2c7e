"""Encoded text is kept by the host between pictures: its key must hold what of ours it depends on.

The host's key has the words of the tags, not the content of the files they name, nor our options. Its
key is made immediately before a text is encoded, with the model that will encode it in place, so this
is also where a model that came in the middle of a pass (a refiner) gets its networks in time.
"""

from __future__ import annotations

from typing import Any

from modules.processing import StableDiffusionProcessing

from lib_lyco.host.app import HostApp
from lib_lyco.host.engine import Engine

NEEDS = (("modules.processing", "StableDiffusionProcessing.cached_params"),)


class _Link:
    """Whom the wrapper asks: nobody any more once the scripts are unloaded."""

    def __init__(self, engine: Engine) -> None:
        self.engine: Engine | None = engine


def register(app: HostApp) -> None:
    """Wraps the making of the key; undone with the scripts."""
    original = StableDiffusionProcessing.cached_params
    link = _Link(app.engine)

    def cached_params(self: StableDiffusionProcessing, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        if link.engine is None:
            return original(self, *args, **kwargs)
        link.engine.follow(self)
        return (*original(self, *args, **kwargs), link.engine.key())

    def undo() -> None:
        link.engine = None
        # where somebody wrapped it in turn, ours stays between, and does nothing
        if StableDiffusionProcessing.cached_params is cached_params:
            StableDiffusionProcessing.cached_params = original

    StableDiffusionProcessing.cached_params = cached_params
    app.at_unload(undo)
