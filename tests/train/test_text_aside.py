"""Text encoders whose conds are kept: asked before the first step, then off the device, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from lib_lyco.models.base import PLAIN_TEXT, BaseModel, Cond, TextStyle
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.events import Caching, Sampled, Step
from lib_lyco.train.memory import Aside, texts_aside
from lib_lyco.train.run import train
from lib_lyco.train.sample_prompts import Picture
from tests.train.test_run import clock
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


class Told(TinyModel):
    """Tells what it is asked to read."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self.told = told

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        self.told += [f"reads {prompt}" for prompt in prompts]
        return super().encode_prompts(prompts, clip_skip, style, second)


def happenings(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run does with its text encoders, and when; pictures are drawn after the second step."""
    told: list[str] = []

    def put_on(_: Aside) -> None:
        told.append("aside")

    def take_off(_: Aside) -> None:
        told.append("back")

    monkeypatch.setattr(Aside, "put_on", put_on)
    monkeypatch.setattr(Aside, "take_off", take_off)

    def draw(model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None:
        del model, picture, network
        to.write_bytes(b"")
        told.append("draws")

    for event in train(config, Told(told), clock=clock, draw=draw):
        if isinstance(event, Caching) and event.what == "captions":
            told.append(f"{event.done} of {event.total}")
        elif isinstance(event, Step | Sampled):
            told.append(type(event).__name__.lower())
    return told


def with_prompts(config: TrainConfig, folder: Path) -> TrainConfig:
    (folder / "prompts.txt").write_text("a cat", encoding="utf-8")
    return config.replaced(sample_prompts=str(folder / "prompts.txt"), sample_every_n_steps=2, max_steps=2)


def test_encoders_are_asked_once_and_put_aside_but_for_pictures(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = make_config(te_learning_rate=0.0, caption_dropout_rate=0.5)
    assert happenings(with_prompts(config, tmp_path), monkeypatch) == [
        *("reads object", "1 of 4", "reads ", "2 of 4", "reads chelsea cat", "3 of 4"),
        *("reads a cat, whiskers", "4 of 4", "aside", "step", "step"),
        *("back", "draws", "sampled", "aside", "back"),
    ]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"te_learning_rate": 0.0, "text_cache": "off"},
        {"te_learning_rate": 0.0, "shuffle_caption": True},
    ],
)
def test_encoders_that_will_be_asked_stay(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, values: dict[str, object]
) -> None:
    told = happenings(make_config(**values), monkeypatch)
    assert not {"aside", "back"} & set(told)
    assert [one.startswith("reads") for one in told] == [True, False] * 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_they_come_back_bit_for_bit() -> None:
    model = TinyModel()
    model.text.to("cuda")
    before = {name: tensor.clone() for name, tensor in model.text.state_dict().items()}
    aside = texts_aside(model)
    aside.put_on()
    assert {tensor.device.type for tensor in model.text.state_dict().values()} == {"cpu"}
    aside.take_off()
    after = model.text.state_dict()
    assert all(after[name].is_cuda and torch.equal(after[name], one) for name, one in before.items())
