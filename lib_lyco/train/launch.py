"""What a launcher (torchrun, accelerate, mpirun) says of this process: which of how many it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lib_lyco.errors import ConfigError

_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")
_LOCAL_RANKS = (
    "LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
)
"""torch's own name first, then those of Open MPI, Intel MPI and MVAPICH."""


@dataclass(frozen=True)
class Place:
    """This process among those started for a run; alone without a launcher."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those on the same machine."""


def launched_place(environ: Mapping[str, str] = os.environ) -> Place:
    """The place that the environment tells.

    Raises:
        ConfigError: Several processes were asked for and this one was started alone, or nothing tells
            where the first of them is.
    """
    place = Place(*(_number(environ, names, other) for names, other in _FIELDS))
    told_where = "MASTER_ADDR" in environ
    if place.size == 1 and told_where and "ACCELERATE_USE_CPU" in environ and not _is_told(environ):
        raise ConfigError(
            "accelerate was asked for several processes, and has started one.",
            where="accelerate launch",
            got="--cpu or no GPU, without --mpirun_hostfile",
            expected="each process started by torchrun's way or by mpirun",
            remedy="Say --multi_gpu, which works on CPUs too (then add --device cpu behind train), "
            "or give --mpirun_hostfile.",
        )
    if place.size > 1 and not told_where:
        raise ConfigError(
            "Several processes were started, and nothing tells where the first one is.",
            where="environment",
            got="no MASTER_ADDR",
            remedy="Start them with accelerate or torchrun, or set MASTER_ADDR and MASTER_PORT.",
        )
    return place


_FIELDS = ((_RANKS, 0), (_SIZES, 1), (_LOCAL_RANKS, 0))


def _number(environ: Mapping[str, str], names: Sequence[str], other: int) -> int:
    return next((int(environ[name]) for name in names if name in environ), other)


def _is_told(environ: Mapping[str, str]) -> bool:
    return any(name in environ for name in _SIZES)


def wants_cpu(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether accelerate was told to use no GPU (`--cpu`)."""
    return environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")


def own_device(device: torch.device, place: Place) -> torch.device:
    """The device of this process: its own GPU, where several are started.

    Raises:
        ConfigError: There are more processes than GPUs.
    """
    if device.type != "cuda" or place.size == 1:
        return device
    if place.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            "There are more processes than GPUs.",
            where=f"process {place.rank + 1} of {place.size}",
            got=f"{torch.cuda.device_count()} GPUs on this machine",
            expected="one for each process",
            remedy="Start fewer processes, or raise accumulation instead.",
        )
    return torch.device("cuda", place.local_rank)
