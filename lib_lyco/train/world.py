"""The processes that train together; one alone is the ordinary case.

Every process makes the same steps: of each batch of a step it takes its share, gradients are added up,
and each makes the same update. So many processes train what one would with the whole batch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous

from lib_lyco.errors import LycoError, TrainingError, one_line
from lib_lyco.train.control import Asked
from lib_lyco.train.launch import Place

_T = TypeVar("_T")
_Key = TypeVar("_Key")

_PATIENCE = timedelta(days=7)
"""How long a process waits for the others: a run may be paused."""
_ENDED = "lyco/ended"
"""Under which the first process that fails tells the others why."""


class _Store(Protocol):
    """What all processes can write to and read: torch's."""

    def check(self, keys: list[str], /) -> bool: ...

    def get(self, key: str, /) -> bytes: ...

    def set(self, key: str, value: str, /) -> None: ...


class World:
    """A process that trains alone."""

    rank = 0
    size = 1

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and tells what happens."""
        return self.rank == 0

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """This process's part of what all work on; may be empty."""
        return items[self.rank :: self.size] if self.size > 1 else items

    def sums(self, *values: float) -> tuple[float, ...]:
        """Each value added up over all processes."""
        return values

    def add_up_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Makes every process's gradients the sum of all processes'."""

    def agreed(self, asked: Asked) -> Asked:
        """What is asked of any of the processes."""
        return asked

    def gathered(self, found: Mapping[_Key, _T]) -> dict[_Key, _T]:
        """What all processes have found together; it must lie on the CPU."""
        return dict(found)

    def meet(self) -> None:
        """Waits until every process is here."""


class Processes(World):
    """One of several processes in torch's process group.

    Where another one ends, whatever is done together raises TrainingError with what that one has told.
    """

    def __init__(self, store: _Store) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._store = store

    def sums(self, *values: float) -> tuple[float, ...]:
        total = torch.tensor(values, dtype=torch.float64)
        with self._together():
            dist.all_reduce(total)
        return tuple(total.tolist())

    def add_up_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """In one message; a parameter that no sample of this process has reached counts as 0."""
        parameters = list(parameters)
        gradients = [one.grad if one.grad is not None else torch.zeros_like(one) for one in parameters]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with self._together():
            dist.all_reduce(flat)
        for parameter, total in zip(
            parameters, flat.split([one.numel() for one in parameters]), strict=True
        ):
            parameter.grad = total.view_as(parameter)

    def agreed(self, asked: Asked) -> Asked:
        wanted = self.sums(*(float(one) for one in (asked.stop, asked.pause, asked.save, asked.sample)))
        return Asked(*(count > 0 for count in wanted))

    def gathered(self, found: Mapping[_Key, _T]) -> dict[_Key, _T]:
        parts: list[Any] = [None] * self.size
        with self._together():
            dist.all_gather_object(parts, dict(found))
        return {key: one for part in parts for key, one in part.items()}

    def meet(self) -> None:
        self.sums(0.0)

    def tell_end(self, error: BaseException) -> None:
        """Tells the others why this process ends, unless one has told so before."""
        what = one_line(error) if isinstance(error, LycoError) else str(error) or type(error).__name__
        with suppress(RuntimeError):  # the one that keeps the store may be gone
            if not self._store.check([_ENDED]):
                self._store.set(_ENDED, f"process {self.rank + 1} of {self.size}: {what}")

    @contextmanager
    def _together(self) -> Generator[None]:
        try:
            yield
        except RuntimeError as error:
            raise TrainingError(
                "Another process of this training has ended.",
                where=f"process {self.rank + 1} of {self.size}",
                got=self._told_end() or str(error).splitlines()[0],
                remedy="Mend what it tells, and go on with resume.",
            ) from error

    def _told_end(self) -> str:
        with suppress(RuntimeError):
            return self._store.get(_ENDED).decode() if self._store.check([_ENDED]) else ""
        return ""


@contextmanager
def joined_world(device: torch.device, place: Place) -> Generator[World]:
    """The world this process was launched into; leaves it at the end."""
    if place.size == 1:
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # numbers and what is found go over gloo, so that a process that ends is noticed at once: CUDA's waits
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store, _, _ = next(iter(rendezvous("env://", place.rank, place.size)))
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.size, timeout=_PATIENCE)
    world = Processes(store)
    try:
        yield world
    except BaseException as error:
        world.tell_end(error)
        raise
    finally:
        dist.destroy_process_group()
