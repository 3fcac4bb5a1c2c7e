"""The processes that train together; one alone is the ordinary case.

Every process makes the same steps: of each batch of a step it takes its share, gradients are added up,
and each makes the same update. So many processes train what one would with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from lib_lyco.train.control import Asked

_T = TypeVar("_T")
_Key = TypeVar("_Key")

_PATIENCE = timedelta(days=7)
"""How long a process waits for the others: a run may be paused."""


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
    """One of several processes in torch's process group."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._device = device if device.type == "cuda" else torch.device("cpu")

    def sums(self, *values: float) -> tuple[float, ...]:
        total = torch.tensor(values, dtype=torch.float64, device=self._device)
        dist.all_reduce(total)
        return tuple(total.tolist())

    def add_up_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """In one message; a parameter that no sample of this process has reached counts as 0."""
        parameters = list(parameters)
        gradients = [one.grad if one.grad is not None else torch.zeros_like(one) for one in parameters]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
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
        dist.all_gather_object(parts, dict(found))
        return {key: one for part in parts for key, one in part.items()}

    def meet(self) -> None:
        self.sums(0.0)


def launched_processes() -> int:
    """How many processes a launcher (torchrun, accelerate) has started for this run; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: torch.device) -> torch.device:
    """The device of this process: its own GPU, where a launcher has started several."""
    if device.type == "cuda" and launched_processes() > 1:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def joined_world(device: torch.device) -> Generator[World]:
    """The world this process was launched into; leaves it at the end."""
    if launched_processes() == 1:
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(device)
    finally:
        dist.destroy_process_group()
