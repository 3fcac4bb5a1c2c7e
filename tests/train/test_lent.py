"""A run on a model that others use between its steps: they find it as it was, the run is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import nn

from lib_lyco.models.base import BaseModel
from lib_lyco.models.presence import Presence
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.events import Event, Paused, Sampled, Saved, Step
from lib_lyco.train.run import train
from lib_lyco.train.sample_prompts import Picture
from lib_lyco.train.writer import Present
from tests.train.test_run import clock, equal, final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


class LentModel(TinyModel):
    """The tiny model, lent."""

    def __init__(self) -> None:
        super().__init__()
        self.presence = Presence(lent=True)
        self.set_gradient_checkpointing(False)


def num_hooks(module: nn.Module) -> int:
    """How many are ours: transformers leaves one of its own whenever it begins to checkpoint."""
    kinds = (vars(module)["_forward_hooks"], vars(module)["_forward_pre_hooks"])
    return sum(hook.__module__.startswith("lib_lyco") for kind in kinds for hook in kind.values())


def state(model: TinyModel) -> list[tuple[Any, ...]]:
    """Everything that a picture could depend on."""
    parts: tuple[nn.Module, ...] = (model.unet, model.text)
    return [
        (
            module.training,
            getattr(module, "gradient_checkpointing", None),
            num_hooks(module),
            *(
                (one.requires_grad, one.data_ptr(), one._version)
                for one in module.parameters(recurse=False)
            ),
        )
        for part in parts
        for module in part.modules()
    ]


def taking_turns(model: LentModel, events: Iterator[Event]) -> Iterator[Event]:
    """The events, with the model looked at between any two."""
    model.presence.leave()
    before = state(model)
    while True:
        model.presence.come_back()
        event = next(events, None)
        model.presence.leave()
        assert state(model) == before
        if event is None:
            return
        yield event


def draw(model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None:
    assert isinstance(model, LentModel)
    assert not model.unet.training
    assert not any(map(num_hooks, model.unet.modules()))
    to.write_bytes(b"a picture")


def test_others_find_the_model_as_it_was_and_the_run_is_the_same(make_config: Make, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat\na dog\n", encoding="utf-8")
    merged = make_config(name="merged", algo="full", conv_rank=4)
    run(merged)
    options: dict[str, Any] = {
        "algo": "ia3",
        "base_weights": (str(final_file(merged)),),
        "gradient_checkpointing": True,
        "sample_prompts": str(prompts),
        "sample_every_n_steps": 2,
        "metadata": False,
    }
    alone = make_config(name="alone", **options)
    list(train(alone, LentModel(), clock=clock, draw=draw))
    lent, model = make_config(name="lent", **options), LentModel()
    before = state(model)
    seen = list(taking_turns(model, train(lent, model, clock=clock, draw=draw)))
    assert sum(isinstance(event, Step) for event in seen) == 5
    assert sum(isinstance(event, Sampled) for event in seen) == 4
    assert state(model) == before
    assert final_file(lent).read_bytes() == final_file(alone).read_bytes()


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9}, {"ema_decay": 0.9, "ema_file": "instead"}])
def test_the_network_of_this_moment_is_what_a_file_of_it_holds(
    make_config: Make, tmp_path: Path, options: dict[str, Any]
) -> None:
    model, now, seen = LentModel(), tmp_path / "now.safetensors", 0
    for event in train(make_config(save_every_n_steps=2, **options), model, clock=clock):
        if isinstance(event, Saved) and event.reason == "step":
            model.presence.leave()
            present = model.presence.find(Present)
            assert present
            present.write(now)
            model.presence.come_back()
            assert equal(load_file(now), load_file(event.path))
            seen += 1
    assert seen == 2
    assert model.presence.find(Present) is None


def test_a_run_that_is_given_up_while_others_have_the_model_does_not_touch_it(make_config: Make) -> None:
    model = LentModel()
    before = state(model)
    events = taking_turns(
        model, inner := train(make_config(gradient_checkpointing=True), model, clock=clock)
    )
    while not isinstance(next(events), Step):
        pass
    inner.close()  # type: ignore[attr-defined]
    assert state(model) == before
    model.presence.come_back()
    assert state(model) == before


def test_a_pause_leaves_a_lent_model_on_its_device(make_config: Make) -> None:
    model, control = LentModel(), Control()
    pointers = [one.data_ptr() for one in model.unet.parameters()]
    for event in train(make_config(), model, control, clock):
        if isinstance(event, Step) and event.step == 2:
            control.pause()
        if isinstance(event, Paused):
            control.resume()
            assert [one.data_ptr() for one in model.unet.parameters()] == pointers
