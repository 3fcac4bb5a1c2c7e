"""Sample pictures: when, under which names, from what, and without any effect on the training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lib_lyco.errors import ConfigError, DataError, ModelError
from lib_lyco.models.base import BaseModel
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.events import Event, NotSampled, Sampled, Saved, Step
from lib_lyco.train.run import train
from lib_lyco.train.sample_prompts import Picture
from tests.train.test_run import clock, equal, final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]
MOMENT = time.strftime("%Y%m%d%H%M%S", time.localtime(clock()))


@dataclass
class Studio:
    """Stands for whoever draws: keeps what it was asked, and the model's state at that time."""

    model: TinyModel
    asked: list[tuple[Picture, dict[str, Tensor] | None]] = field(default_factory=list)
    fails: bool = False

    def __call__(self, model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None:
        assert model is self.model
        assert not self.model.unet.training
        assert not any(module._forward_hooks for module in self.model.unet.modules())
        torch.rand(3)  # a sampler may draw from torch's own generator
        if self.fails:
            raise ModelError("There is no such sampler")
        self.asked.append((picture, load_file(network) if network else None))
        to.write_bytes(b"a picture")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("a cat --d 3\na dog --w 96\n", encoding="utf-8")
    return path


def drawn(config: TrainConfig, studio: Studio, control: Control | None = None) -> list[Event]:
    return list(train(config, studio.model, control, clock, studio))


def pictures(config: TrainConfig) -> list[str]:
    return sorted(path.name for path in (Path(config.output) / "sample").iterdir())


@pytest.mark.parametrize(
    ("values", "when"),
    [
        ({"sample_every_n_steps": 4, "epochs": 2}, ["000004", "000008"]),
        ({"sample_every_n_epochs": 1, "sample_every_n_steps": 2, "epochs": 2}, ["e000001", "e000002"]),
        ({"sample_at_first": True}, ["000000"]),
    ],
)
def test_pictures_come_when_and_named_as_kohyas(
    make_config: Make, prompts: Path, values: dict[str, Any], when: list[str]
) -> None:
    config = make_config(sample_prompts=str(prompts), te_learning_rate=0.0, **values)
    events = drawn(config, Studio(TinyModel()))
    names = [f"network_{one}_{end}" for one in when for end in (f"00_{MOMENT}_3.png", f"01_{MOMENT}.png")]
    assert pictures(config) == sorted(names)
    assert [event.path.name for event in events if isinstance(event, Sampled)] == names


def test_pictures_are_of_the_saved_file_and_change_nothing(make_config: Make, prompts: Path) -> None:
    run(make_config(name="plain", gradient_checkpointing=True))
    config = make_config(
        sample_prompts=str(prompts),
        sample_every_n_steps=3,
        save_every_n_steps=3,
        sample_without_network=True,
        gradient_checkpointing=True,
        save_precision="fp16",
    )
    studio = Studio(TinyModel())
    events = drawn(config, studio)
    saved = next(event.path for event in events if isinstance(event, Saved))
    networks = [network for _, network in studio.asked]
    assert [network is None for network in networks] == [False, True, False, True]
    assert networks[0] is not None and equal(networks[0], load_file(saved))
    assert equal(
        load_file(final_file(config)),
        {key: tensor.half() for key, tensor in load_file(final_file(make_config(name="plain"))).items()},
    )
    asked = [picture for picture, _ in studio.asked[::2]]
    assert [(one.prompt, one.size, one.sampler) for one in asked] == [
        ("a cat", (64, 64), "Euler a"),
        ("a dog", (96, 64), "Euler a"),
    ]
    assert asked[0].seed == 3 and isinstance(asked[1].seed, int)


def test_prompts_may_be_edited_and_pictures_asked_for_while_it_runs(
    make_config: Make, prompts: Path
) -> None:
    config, control = make_config(sample_prompts=str(prompts)), Control()
    studio, seen = Studio(TinyModel()), list[Event]()
    for event in train(config, studio.model, control, clock, studio):
        seen.append(event)
        if isinstance(event, Step) and event.step == 2:
            prompts.write_text("a bird", encoding="utf-8")
            control.sample()
        if isinstance(event, Step) and event.step == 4:
            prompts.unlink()
            control.sample()
    assert [event.prompt for event in seen if isinstance(event, Sampled)] == ["a bird"]
    (missing,) = [event for event in seen if isinstance(event, NotSampled)]
    assert missing.step == 4 and "prompts.txt" in missing.message
    assert final_file(config).is_file()


def test_picture_that_cannot_be_drawn_ends_nothing(make_config: Make, prompts: Path) -> None:
    config = make_config(sample_prompts=str(prompts), sample_at_first=True)
    events = drawn(config, Studio(TinyModel(), fails=True))
    assert ["no such sampler" in event.message for event in events if isinstance(event, NotSampled)] == [
        True,
        True,
    ]
    assert final_file(config).is_file()


def test_prompts_that_cannot_be_used_are_errors_before_training(make_config: Make, prompts: Path) -> None:
    with pytest.raises(ConfigError, match="sample_prompts"):
        run(make_config(sample_prompts=str(prompts)))
    prompts.write_text("a --cn b.png", encoding="utf-8")
    with pytest.raises(DataError, match="--cn"):
        drawn(make_config(sample_prompts=str(prompts)), Studio(TinyModel()))
