"""The host's model made whole for a turn, on a stand-in for a second device, and given back as it was."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.host_unit.stand_in import stand_in_modules

to = Tensor.to


def moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In other memory, as on another device."""
    return to(tensor, *args, **kwargs).clone()


@pytest.fixture
def loan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ModuleType]:
    """Our module, in a host for whose device other memory stands in than where its model lies."""
    monkeypatch.setattr(Tensor, "to", moved)
    with stand_in_modules(tmp_path):
        from modules import devices, sd_models  # pyright: ignore[reportMissingModuleSource]

        from lib_lyco.host import training_loan

        monkeypatch.setattr(devices, "device", torch.device("cpu"))
        monkeypatch.setattr(devices, "dtype_unet", torch.bfloat16, raising=False)
        monkeypatch.setattr(sd_models, "send_model_to_cpu", other, raising=False)
        yield training_loan


def piecemeal(*_: Any) -> None:
    """A hook, or a function of the VAE's, as those of `modules.lowvram`."""


piecemeal.__module__ = "modules.lowvram"


def other(*_: Any) -> None:
    """A hook of somebody else's."""


def make_model() -> Any:
    """Two layers with the host's hook between those of others, and a VAE."""
    model: Any = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(2, 2, 1))
    model.first_stage_model = nn.Linear(2, 2)
    model.register_buffer("schedule", torch.arange(3.0))
    for hook in (other, piecemeal, other):
        model[0].register_forward_pre_hook(hook)
    vars(model.first_stage_model)["encode"] = piecemeal
    model.lowvram = True
    return model


def state(model: Any) -> list[Any]:
    """Everything that is to be as it was: the very memory, hooks in their order, functions, flags."""
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    hooks = [list(vars(one)["_forward_pre_hooks"].items()) for one in model.modules()]
    memory = [(one.data_ptr(), one.dtype, one.device) for one in tensors]
    return [memory, hooks, vars(model.first_stage_model).get("encode"), model.lowvram]


def test_a_model_in_pieces_is_whole_on_the_device_and_then_in_pieces_again(loan: ModuleType) -> None:
    model = make_model()
    before = state(model)
    (whole,) = loan.loans(model)
    for _ in range(2):
        whole.put_on()
        assert {one[0] for one in state(model)[0]}.isdisjoint(one[0] for one in before[0])
        assert list(vars(model[0])["_forward_pre_hooks"].values()) == [other, other]
        assert not model.lowvram and "encode" not in vars(model.first_stage_model)
        mine = model[0].register_forward_pre_hook(other)
        whole.take_off()
        assert list(vars(model[0])["_forward_pre_hooks"].values()) == [other, piecemeal, other, other]
        mine.remove()
        assert state(model) == before


def test_no_memory_leaves_nothing_half_done(loan: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    before = state(model)
    (whole,) = loan.loans(model)
    left = iter(range(2))

    def full(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if next(left, None) is None:
            raise torch.cuda.OutOfMemoryError("full")
        return moved(tensor, *args, **kwargs)

    monkeypatch.setattr(Tensor, "to", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        whole.put_on()
    assert state(model) == before


def test_weights_in_8_bits_are_fine_ones_of_the_same_values(loan: ModuleType) -> None:
    model = make_model()
    model.lowvram = False
    model[0].to(torch.float8_e4m3fn)
    before, coarse = state(model), model[0].weight.data
    (fine,) = loan.loans(model)
    fine.put_on()
    assert model[0].weight.dtype == torch.bfloat16 and model[1].weight.dtype == torch.float32
    assert torch.equal(model[0].weight.to(torch.float8_e4m3fn).float(), coarse.float())
    fine.take_off()
    assert state(model) == before


def test_nothing_is_lent_where_the_model_is_whole_and_fine(loan: ModuleType) -> None:
    model = make_model()
    model.lowvram = False
    assert loan.loans(model) == []
