"""A GPU that is too full for originals beside merged weights: they wait elsewhere and come back exactly."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from lib_lyco.apply.room import DeviceRoom
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.network.network import Network
from tests.apply.small import (
    ADDITIVE,
    OTHERS,
    SmallModel,
    assert_same_weights,
    random_network,
    snapshot,
    targets_of,
)

CUDA = torch.device("cuda", 0)
GIB = 1 << 30


@dataclass
class Elsewhere:
    """Another place for originals on a machine that has only one: copies, known by their pointers."""

    short: bool = True
    asked: list[int] = field(default_factory=list[int])
    aside: dict[int, Tensor] = field(default_factory=dict[int, Tensor])

    def is_short(self, device: torch.device, needed_bytes: int) -> bool:
        del device
        self.asked.append(needed_bytes)
        return self.short

    def put_aside(self, original: Tensor) -> Tensor:
        copy = original.clone()
        self.aside[copy.data_ptr()] = copy
        return copy


def networks_of(model: SmallModel, count: int) -> list[Network]:
    return [
        random_network(targets_of(model), (*ADDITIVE, *OTHERS), seed, share=0.6) for seed in range(count)
    ]


def test_originals_leave_the_device_once_merged_and_nothing_is_kept_there() -> None:
    model, roomy = SmallModel(), SmallModel()
    weights, room = snapshot(model), Elsewhere()
    session = Session(targets_of(model), 10**7, room=room)
    first, second = networks_of(model, 2)
    pointers = {parameter.data_ptr(): name for name, parameter in model.named_parameters()}
    report = session.apply([Wanted(first)])
    assert room.asked[0] == report.backup_bytes > 0
    moved = {name for name, parameter in model.named_parameters() if parameter.data_ptr() not in pointers}
    assert len(room.aside) == len(moved) > 1
    session.apply([Wanted(first, te=0.5, unet=0.5)])
    assert room.asked[-1] == 0, "what is aside needs no more room"
    assert session.apply([Wanted(second)]).parked_bytes == 0
    Session(targets_of(roomy)).apply([Wanted(second)])
    assert_same_weights(model, snapshot(roomy))
    session.restore()
    assert_same_weights(model, weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_random_shortages_leave_no_trace(dtype: torch.dtype) -> None:
    choice = random.Random(7)
    model, roomy = SmallModel().to(dtype), SmallModel().to(dtype)
    weights, networks = snapshot(model), networks_of(model, 4)
    room = Elsewhere()
    session, other = Session(targets_of(model), 50_000, room=room), Session(targets_of(roomy))
    for turn in range(60):
        room.short = choice.random() < 0.5
        wanted = [
            Wanted(one, te=choice.choice((0.5, 1.0)), unet=choice.choice((-1.0, 1.0)))
            for one in choice.sample(networks, choice.randrange(3))
        ]
        if turn % 7 == 3:
            for parameter in model.parameters():
                parameter.data = parameter.data.clone()  # a move to another device and back
        session.apply(wanted)
        other.apply(wanted)
        assert_same_weights(model, snapshot(roomy))
    session.restore()
    assert_same_weights(model, weights)


def test_only_new_shortage_moves_originals_and_drops_kept_merges() -> None:
    model, room = SmallModel(), Elsewhere(short=False)
    session = Session(targets_of(model), 10**7, room=room)
    first, second = networks_of(model, 2)
    session.apply([Wanted(first)])
    assert session.apply([Wanted(second)]).parked_bytes > 0
    assert not room.aside
    room.short = True
    assert session.apply([Wanted(second)]).parked_bytes == 0
    assert room.aside


@pytest.mark.parametrize(
    ("free", "reserved", "allocated", "needed", "short"),
    [
        (6 * GIB, 0, 0, 2 * GIB, False),
        (6 * GIB, 0, 0, 2 * GIB + 1, True),
        (1 * GIB, 8 * GIB, 3 * GIB, 2 * GIB, False),
        (1 * GIB, 8 * GIB, 4 * GIB, 2 * GIB, True),
    ],
)
def test_what_the_allocator_holds_unused_is_free(
    monkeypatch: pytest.MonkeyPatch, free: int, reserved: int, allocated: int, needed: int, *, short: bool
) -> None:
    answers = {"mem_get_info": (free, 12 * GIB), "memory_reserved": reserved, "memory_allocated": allocated}
    memory = SimpleNamespace(**{name: Mock(return_value=answer) for name, answer in answers.items()})
    monkeypatch.setattr(torch, "cuda", memory)
    assert DeviceRoom(4 * GIB).is_short(CUDA, needed) is short


def test_devices_without_memory_of_their_own_are_never_short_and_unknown_ones_always() -> None:
    room = DeviceRoom()
    assert not room.is_short(torch.device("cpu"), 10**15)
    assert not room.is_short(torch.device("mps"), 10**15)
    assert room.is_short(torch.device("privateuseone"), 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_originals_wait_in_main_memory_and_the_gpu_holds_no_second_copy() -> None:
    model = SmallModel().half().cuda()
    weights, room = snapshot(model), DeviceRoom(reserve_bytes=10**15)
    session = Session(targets_of(model), room=room)
    session.apply([Wanted(networks_of(model, 1)[0])])
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    session.restore()
    assert abs(torch.cuda.memory_allocated() - held) < 1 << 20
    assert_same_weights(model, weights)
