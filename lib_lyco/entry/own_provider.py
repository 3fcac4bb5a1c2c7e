"""Where runs take place without a host: in this program, on a base model that is loaded for each."""

from __future__ import annotations

import gc
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from lib_lyco.demo.embedded import checkpoint
from lib_lyco.entry.drawing import draw
from lib_lyco.models.base import BaseModel
from lib_lyco.models.load import load_model
from lib_lyco.studio.workplace import Base, Memory
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.precision import DTYPES, choose_precision
from lib_lyco.train.preview import Draw

_EMBEDDED = "The embedded small model"


@dataclass(frozen=True)
class OwnPlace:
    """A base model that nobody else uses: its turns are always ours."""

    model: BaseModel
    draw: Draw | None = draw

    def turn(self) -> AbstractContextManager[None]:
        """Begins at once."""
        return nullcontext()

    def aside(self) -> AbstractContextManager[None]:
        """Nobody waits for it."""
        return nullcontext()


class OwnProvider:
    """Loads base models with diffusers.

    Args:
        base: The default; None is the embedded model.
        device: That computes.
    """

    def __init__(self, base: Path | None, device: torch.device) -> None:
        self._base = base
        self._device = device

    def bases(self) -> Sequence[Base]:
        """The default, and the embedded model beside another one."""
        embedded = checkpoint()
        if self._base is None:
            return (Base("", _EMBEDDED, "sd1", embedded),)
        return (
            Base("", self._base.stem, None, self._base, _missing(self._base)),
            Base(str(embedded), _EMBEDDED, "sd1", embedded),
        )

    def memory(self) -> Memory | None:
        """Of a GPU."""
        if self._device.type != "cuda":
            return None
        free, total = torch.cuda.mem_get_info(self._device)
        return Memory(total - free, total)

    @contextmanager
    def open(self, config: TrainConfig) -> Generator[OwnPlace]:
        """Loads the run's base model; it is gone at the end."""
        path = config.base_model or self._base or checkpoint()
        dtype = DTYPES[choose_precision(config.precision, self._device)]
        try:
            yield OwnPlace(load_model(path, self._device, dtype, vae=config.vae or None))
        finally:
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()


def _missing(path: Path) -> str:
    return "" if path.exists() else f"There is no file {path}."
