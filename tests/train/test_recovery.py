"""NaN and lack of memory: back to the last good weights, then the declared changes, never in silence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from lib_lyco.errors import TrainingError
from lib_lyco.models.base import PLAIN_TEXT, BaseModel, Cond, SizeCond, TextStyle
from lib_lyco.train import memory, preparation
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.events import Eased, Event, Failed, Finished, Recovered, Step
from lib_lyco.train.memory import Aside
from lib_lyco.train.optim import Optimisation
from lib_lyco.train.run import train
from tests.train.test_run import clock, equal, final_file, iterate, load_trained, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


class NeedsFp32(TinyModel):
    """Gives NaN in half precision from one call of the denoiser on, as an overflow would."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.calls, self.call = 0, call

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        self.calls += 1
        output = super().predict(noisy, timesteps, cond, size)
        return output * math.nan if self.calls >= self.call and torch.is_autocast_cpu_enabled() else output


class Small(TinyModel):
    """Has no memory for more than so many samples, or none without gradient checkpointing."""

    def __init__(
        self, samples: int = 99, checkpointed: bool = False, from_call: int = 1, until_call: int = 10**9
    ) -> None:
        super().__init__()
        self.samples, self.checkpointed = samples, checkpointed
        self.from_call, self.until_call = from_call, until_call
        self.calls, self.checkpointing = 0, False

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        self.checkpointing = enabled
        super().set_gradient_checkpointing(enabled)

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        self.calls += 1
        full = len(noisy) > self.samples or (self.checkpointed and not self.checkpointing)
        if full and self.from_call <= self.calls < self.until_call:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return super().predict(noisy, timesteps, cond, size)


def recovered(events: list[Event]) -> list[Recovered]:
    return [event for event in events if isinstance(event, Recovered)]


def changes_told(config: TrainConfig) -> Any:
    with safe_open(final_file(config), "pt") as file:
        return json.loads(file.metadata().get("lyco_changes", "[]"))


def test_step_that_is_not_finite_is_made_again_in_more_precision(make_config: Make) -> None:
    config = make_config(precision="bf16", save_every_n_steps=2, name="good")
    good = run(config)
    config = config.replaced(name="recovered")
    events = run(config, NeedsFp32(4))
    (event,) = recovered(events)
    assert (event.step, event.back_to, event.change) == (4, 3, "computes in fp32")
    assert len(event.images) == 1 and "nan" in event.trouble
    assert isinstance(events[-1], Finished) and events[-1].step == 5
    assert changes_told(config) == [[4, "computes in fp32"]]
    assert changes_told(config.replaced(name="good")) == []
    losses = [[one.loss for one in run if isinstance(one, Step)] for run in (good, events)]
    assert losses[0][:3] == losses[1][:3] and losses[0][3] != losses[1][3]
    assert losses[0][3] == pytest.approx(losses[1][3], rel=0.05)


def test_resumed_run_goes_on_with_the_change(make_config: Make) -> None:
    whole = make_config(precision="bf16", name="whole")
    run(whole, NeedsFp32(2))
    broken, control = whole.replaced(name="broken", resume="auto"), Control()
    for event in train(broken, NeedsFp32(2), control, clock):
        if isinstance(event, Step) and event.step == 3:
            control.stop()
    assert not recovered(run(broken, NeedsFp32(1)))
    assert equal(load_file(final_file(broken)), load_file(final_file(whole)))
    assert changes_told(broken) == [[2, "computes in fp32"]]


@pytest.mark.parametrize("values", [{"precision": "fp32"}, {"precision": "bf16", "on_nan": "stop"}])
def test_nothing_left_to_change_ends_the_run(make_config: Make, values: dict[str, Any]) -> None:
    class Broken(NeedsFp32):
        def predict(
            self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None
        ) -> Tensor:
            return super().predict(noisy, timesteps, cond, size) * (math.nan if self.calls >= 3 else 1)

    events: list[Event] = []
    with pytest.raises(TrainingError, match=r"step 3, images \w+\.png"):
        iterate(train(make_config(**values), Broken(99), clock=clock), events)
    assert isinstance(events[-1], Failed) and events[-1].step == 2 and not recovered(events)


@pytest.mark.parametrize("call", [1, 3])
def test_gradient_checkpointing_comes_first_and_changes_no_bit(make_config: Make, call: int) -> None:
    base = load_trained(make_config(name="base"))
    config = make_config()
    events = run(config, Small(checkpointed=True, from_call=call))
    (event,) = recovered(events)
    assert (event.step, event.change) == (call, "gradient checkpointing")
    assert equal(load_file(final_file(config)), base)
    assert changes_told(config) == [[call, "gradient checkpointing"]]


def fail_once(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Lets the optimiser run out of memory in the middle of one of its updates."""
    calls = 0
    step = Optimisation.step

    def failing(optimisation: Optimisation, number: int) -> bool:
        nonlocal calls
        calls += 1
        if calls != at:
            return step(optimisation, number)
        with torch.no_grad():
            optimisation.parameters[0].add_(1.0)
        raise torch.cuda.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Optimisation, "step", failing)


@pytest.mark.parametrize(("call", "back_to"), [(1, 0), (2, 0), (4, 2)])
def test_memory_lacking_in_an_update_goes_back_to_whole_weights(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, call: int, back_to: int
) -> None:
    config = make_config(save_every_n_steps=2, ema_decay=0.9)
    base = load_trained(config)
    later = list[Event]()
    with monkeypatch.context() as patched:
        fail_once(patched, call)
        # the older run's states lie there still; none of them is this run's
        iterate(train(config, TinyModel(), clock=lambda: clock() + 60), later)
    (event,) = recovered(later)
    assert (event.step, event.back_to, event.change) == (call, back_to, "gradient checkpointing")
    assert equal(load_file(final_file(config)), base)


def test_second_remedy_is_to_encode_before_the_steps(make_config: Make) -> None:
    class Counting(Small):
        encoded = 0

        def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
            self.encoded += len(images)
            return super().encode_images(images, generator)

    config = make_config(epochs=2, latent_cache="off", text_cache="off", te_learning_rate=0.0)
    base = load_trained(config.replaced(name="base"))
    model = Counting(samples=0, until_call=3)
    events = run(config, model)
    changes = [event.change for event in recovered(events)]
    assert changes == ["gradient checkpointing", "latents and conds kept in memory"]
    kinds = [type(event).__name__ for event in events]
    assert kinds[kinds.index("Recovered") :][:9] == ["Recovered"] * 2 + ["Caching"] * 6 + ["Step"]
    assert model.encoded == 2 + 3  # the batch that did not fit, twice; then each image once
    trained = load_file(final_file(config))
    for name, tensor in base.items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-3, atol=1e-4)


def test_then_fewer_samples_in_a_pass_with_the_same_steps(make_config: Make) -> None:
    config = make_config(batch_size=4, algo="full", te_learning_rate=0.0, learning_rate=1e-4)
    whole = run(config.replaced(name="whole"))
    events = run(config, Small(samples=1))
    assert [event.change for event in recovered(events)] == [
        "gradient checkpointing",
        "at most 2 samples in one pass",
        "at most 1 samples in one pass",
    ]
    steps = [[one for one in run if isinstance(one, Step)] for run in (whole, events)]
    assert [one.step for one in steps[0]] == [one.step for one in steps[1]]
    for one, two in zip(*steps, strict=True):
        assert two.loss == pytest.approx(one.loss, rel=1e-4)


@pytest.mark.parametrize("values", [{"on_out_of_memory": "stop"}, {}])
def test_no_memory_for_one_sample_ends_the_run(make_config: Make, values: dict[str, Any]) -> None:
    events: list[Event] = []
    with pytest.raises(TrainingError, match="not enough memory"):
        iterate(train(make_config(**values), Small(samples=0, from_call=3), clock=clock), events)
    assert isinstance(events[-1], Failed) and events[-1].saved is not None
    assert len(recovered(events)) == (0 if values else 1)


class SmallEncoder(TinyModel):
    """Has no memory to encode more than so many images at once; counts those it encodes."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images, self.sizes = images, list[int]()

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self.sizes.append(len(images))
        if len(images) > self.images:
            raise torch.cuda.OutOfMemoryError("no room for the images")
        return super().encode_images(images, generator)


def squares(config: TrainConfig, count: int) -> TrainConfig:
    """The config with images of one size only, so that all fit into one batch of the VAE."""
    folder = Path(config.output) / "squares" / "1_thing"
    folder.mkdir(parents=True)
    for index in range(count):
        Image.effect_noise((64, 64), 50 + 20 * index).convert("RGB").save(folder / f"{index}.png")
    return config.replaced(images=str(folder.parent))


@pytest.mark.parametrize("kept", ["memory", "disk"])
def test_too_little_memory_to_encode_means_fewer_images_at_a_time(make_config: Make, kept: str) -> None:
    config = squares(make_config(latent_cache=kept, vae_batch_size=4, te_learning_rate=0.0), 6)
    base = load_trained(config.replaced(name="base", cache_folder=str(Path(config.output) / "base")))
    model = SmallEncoder(1)
    events = run(config, model)
    eased = [event for event in events if isinstance(event, Eased)]
    assert [(one.what, one.change) for one in eased] == [
        ("images", "at most 2 images encoded at a time"),
        ("images", "at most 1 images encoded at a time"),
    ]
    assert "no room for the images" in eased[0].trouble
    probe = [1] if kept == "disk" else []
    assert model.sizes[:9] == [*probe, 4, *probe, 2, *probe, 1, 1, 1, 1, 1, 1][:9]
    assert changes_told(config) == [[1, one.change] for one in eased]
    for name, tensor in load_file(final_file(config)).items():
        torch.testing.assert_close(tensor, base[name], rtol=1e-3, atol=1e-4)


def test_too_little_memory_to_encode_within_a_step(make_config: Make) -> None:
    config = squares(make_config(latent_cache="off", batch_size=4, te_learning_rate=0.0), 4)
    base = load_trained(config.replaced(name="base"))
    model = SmallEncoder(1)
    events = run(config, model)
    assert [event.change for event in recovered(events)] == [
        "at most 2 images encoded at a time",
        "at most 1 images encoded at a time",
    ]
    assert model.sizes == [4, 2, 1, 1, 1, 1]
    for name, tensor in load_file(final_file(config)).items():
        torch.testing.assert_close(tensor, base[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kept", ["memory", "off"])
@pytest.mark.parametrize("values", [{"on_out_of_memory": "stop"}, {}])
def test_no_memory_to_encode_one_image_ends_the_run(
    make_config: Make, kept: str, values: dict[str, Any]
) -> None:
    config = squares(make_config(latent_cache=kept, batch_size=2, te_learning_rate=0.0, **values), 2)
    with pytest.raises(TrainingError, match="not enough memory"):
        run(config, SmallEncoder(0))


def test_resumed_run_encodes_as_few_images_at_a_time(make_config: Make) -> None:
    config = squares(make_config(latent_cache="off", batch_size=4, te_learning_rate=0.0, epochs=3), 4)
    control = Control()
    for event in train(config, SmallEncoder(2), control, clock):
        if isinstance(event, Step):
            control.stop()
    model = SmallEncoder(2)
    assert not recovered(run(config.replaced(resume="auto"), model)) and set(model.sizes) == {2}


class Crowded(TinyModel):
    """Has no memory to encode images, or captions, until its denoiser has left the device."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.told = what, list[str]()

    def demand_room(self, what: str) -> None:
        self.told.append(what)
        if what == self.what and "left" not in self.told:
            self.device = torch.device("cuda")  # as recovery sees it
            raise torch.cuda.OutOfMemoryError("out of memory")

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self.demand_room("images")
        return super().encode_images(images, generator)

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        self.demand_room("captions")
        return super().encode_prompts(prompts, clip_skip, style, second)


@pytest.mark.parametrize("what", ["images", "captions"])
def test_what_does_not_encode_leaves_the_device_first(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    config = make_config(latent_cache="memory", te_learning_rate=0.0)
    base = load_trained(config.replaced(name="base"))
    model = Crowded(what)
    gone: list[set[int]] = []

    def set_aside(found: BaseModel, encodes: str) -> Aside:
        assert found is model and encodes in ("images", "captions")
        tensors = {id(one) for one in memory.set_beside(found, encodes).tensors}
        gone.append(tensors)
        return cast(Aside, Leaves())

    class Leaves:
        def put_on(self) -> None:
            model.told.append("left")
            model.device = torch.device("cpu")

        def take_off(self) -> None:
            model.told.append("back")

    monkeypatch.setattr(preparation, "set_beside", set_aside)
    events = run(config, model)
    (eased,) = (event for event in events if isinstance(event, Eased))
    only = "only what encodes is on the device while images and captions are encoded"
    assert (eased.what, eased.change) == (what, only) and changes_told(config) == [[1, only]]
    assert model.told.count("left") == model.told.count("back") == len(gone)
    unet, text = ({id(one) for one in part.parameters()} for part in (model.unet, model.text))
    assert [bool(text & one) for one in gone] == ([True, False] if what == "images" else [False])
    assert all(unet <= one for one in gone)
    assert equal(load_file(final_file(config)), base)
