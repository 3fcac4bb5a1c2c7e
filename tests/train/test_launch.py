"""Which of how many processes this one is: what torchrun, accelerate and MPI put into the environment."""

from __future__ import annotations

import pytest
import torch

from lib_lyco.errors import ConfigError
from lib_lyco.train.launch import Place, launched_place, own_device, wants_cpu


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, Place(0, 1, 0)),
        # torchrun's documentation, "Environment Variables"
        (
            {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
            Place(3, 4, 1),
        ),
        # Open MPI's documentation, "Environment variables set at run time"; accelerate adds the address
        (
            {
                "OMPI_COMM_WORLD_RANK": "1",
                "OMPI_COMM_WORLD_SIZE": "2",
                "OMPI_COMM_WORLD_LOCAL_RANK": "1",
                "MASTER_ADDR": "127.0.0.1",
                "ACCELERATE_USE_CPU": "True",
            },
            Place(1, 2, 1),
        ),
        # Intel MPI
        (
            {"PMI_RANK": "2", "PMI_SIZE": "3", "MPI_LOCALRANKID": "0", "MASTER_ADDR": "127.0.0.1"},
            Place(2, 3, 0),
        ),
        # one process asked for, and one started
        ({"ACCELERATE_USE_CPU": "True", "ACCELERATE_MIXED_PRECISION": "no"}, Place()),
    ],
)
def test_place_is_read_from_the_launchers_environment(environ: dict[str, str], place: Place) -> None:
    assert launched_place(environ) == place


def test_several_asked_for_and_one_started_is_an_error() -> None:
    # as accelerate 1.15 starts `--cpu --num_processes 2` without --mpirun_hostfile: seen
    alone = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    with pytest.raises(ConfigError, match="--multi_gpu"):
        launched_place(alone)


def test_processes_without_a_meeting_point_are_an_error() -> None:
    with pytest.raises(ConfigError, match="MASTER_ADDR"):
        launched_place({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"})


@pytest.mark.parametrize(("told", "cpu"), [("True", True), ("true", True), ("False", False), (None, False)])
def test_accelerates_cpu_flag_is_heard(told: str | None, cpu: bool) -> None:
    assert wants_cpu({} if told is None else {"ACCELERATE_USE_CPU": told}) is cpu


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert own_device(cuda, Place(3, 4, 1)) == torch.device("cuda", 1)
    assert own_device(cuda, Place()) == cuda and own_device(cpu, Place(3, 4, 3)) == cpu
    with pytest.raises(ConfigError, match="2 GPUs"):
        own_device(cuda, Place(2, 3, 2))
