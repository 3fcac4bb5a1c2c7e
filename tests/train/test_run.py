"""Whole runs on the tiny model: the same seed, the same file; nothing lost, nothing left behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from lib_lyco.errors import ConfigError, DataError, TrainingError
from lib_lyco.models.base import Cond, SizeCond
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.events import Caching, Event, Failed, Finished, Saved, Started, Step
from lib_lyco.train.optim import Optimisation
from lib_lyco.train.run import train
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def clock() -> float:
    return 1_700_000_000.0


def run(config: TrainConfig, model: TinyModel | None = None) -> list[Event]:
    return list(train(config, model or TinyModel(), clock=clock))


def final_file(config: TrainConfig) -> Path:
    return Path(config.output) / f"{config.name}.safetensors"


def trained(config: TrainConfig, model: TinyModel | None = None) -> bytes:
    run(config, model)
    return final_file(config).read_bytes()


def test_events_tell_the_run_from_plan_to_file(make_config: Make) -> None:
    config = make_config(epochs=2, save_every_n_epochs=1, save_every_n_steps=4)
    events = run(config)
    assert [type(event).__name__ for event in events] == [
        *["Started", "Caching", "Caching", "Caching"],
        *["Step"] * 4,
        "Saved",
        "Step",
        "Saved",
        *["Step"] * 3,
        "Saved",
        *["Step"] * 2,
        "Saved",
        "Finished",
    ]
    saved = [event.path.name for event in events if isinstance(event, Saved)]
    assert saved == [
        "network-step00000004.safetensors",
        "network-000001.safetensors",
        "network-step00000008.safetensors",
        "network.safetensors",
    ]
    written = sorted(path.name for path in Path(config.output).iterdir())
    assert written == sorted([*saved, "logs", "network-step00000010.state"])
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.step, step.epoch) for step in steps] == [(n, 1 + (n > 5)) for n in range(1, 11)]
    assert isinstance(events[0], Started)
    assert (events[0].plan.steps_per_epoch, events[0].plan.total_steps) == (5, 10)
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.path, last.stopped, last.step) == (final_file(config), False, 10)
    assert [event.done for event in events if isinstance(event, Caching)] == [1, 2, 3]


def test_loss_falls(make_config: Make) -> None:
    events = run(make_config(epochs=6, scheduler="constant", algo="full", te_learning_rate=0.0))
    losses = [event.average_loss for event in events if isinstance(event, Step)]
    assert losses[-1] < 0.8 * losses[4]


@pytest.mark.parametrize("algo", ["lora", "loha", "dylora"])
def test_same_seed_makes_the_same_file_bit_for_bit(make_config: Make, algo: str) -> None:
    config = make_config(algo=algo, flip=True)
    first = trained(config)
    torch.rand(5)
    assert trained(config) == first
    assert trained(config.replaced(seed=8)) != first


@pytest.mark.parametrize(
    "values", [{"workers": 1}, {"workers": 3}, {"latent_cache": "off"}, {"latent_cache": "disk"}]
)
def test_workers_and_cache_change_nothing(make_config: Make, values: dict[str, Any]) -> None:
    base = load_trained(make_config(flip=True))
    assert equal(load_trained(make_config(flip=True, **values)), base)


def test_workers_change_nothing_with_random_crops(make_config: Make) -> None:
    config = make_config(random_crop=True, latent_cache="off", resolution=(64, 64))
    base = load_trained(config)
    assert equal(load_trained(config.replaced(workers=3)), base)
    assert not equal(load_trained(config.replaced(random_crop=False)), base)


def load_trained(config: TrainConfig, model: TinyModel | None = None) -> dict[str, Tensor]:
    run(config, model)
    return load_file(final_file(config))


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


class Counter:
    """Counts a module's forwards."""

    def __init__(self) -> None:
        self.calls = 0

    @classmethod
    def on(cls, module: torch.nn.Module) -> Counter:
        counter = cls()
        # before, not after: a recomputation is left as soon as nothing more is needed
        module.register_forward_pre_hook(counter)
        return counter

    def __call__(self, *_: object) -> None:
        self.calls += 1


@pytest.mark.parametrize("algo", ["lora", "loha", "lokr", "ia3", "dylora"])
def test_gradient_checkpointing_makes_the_same_file(make_config: Make, algo: str) -> None:
    config = make_config(algo=algo)
    models = TinyModel(), TinyModel()
    counters = [
        Counter.on(model.unet.down_blocks[0].attentions[0].transformer_blocks[0]) for model in models
    ]
    base = load_trained(config, models[0])
    assert equal(load_trained(config.replaced(gradient_checkpointing=True), models[1]), base)
    assert counters[1].calls == 2 * counters[0].calls > 0


@pytest.mark.parametrize("algo", ["lora", "dylora"])
def test_two_micro_batches_of_one_are_a_batch_of_two(
    make_config: Make, photographs: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    gradients: list[list[Tensor]] = []

    def keep(optimisation: Optimisation, step: int) -> bool:
        assert step == 0
        gradients.append(gradients_of(optimisation))
        return True

    monkeypatch.setattr(Optimisation, "step", keep)
    shown_twice = str(photographs / "2_chelsea cat")
    (photographs / "2_chelsea cat" / "astronaut.png").unlink()
    for batch_size, accumulation in ((2, 1), (1, 2)):
        run(make_config(images=shown_twice, algo=algo, batch_size=batch_size, accumulation=accumulation))
    whole, parts = gradients
    assert len(whole) == len(parts) > 100
    for one, two in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


def gradients_of(optimisation: Optimisation) -> list[Tensor]:
    parameters = [parameter for group in optimisation.groups for parameter in group.parameters]
    return [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]


def test_stop_keeps_what_was_trained(make_config: Make) -> None:
    config, control = make_config(epochs=3), Control()
    events: list[Event] = []
    for event in train(config, TinyModel(), control, clock):
        events.append(event)
        if isinstance(event, Step) and event.step == 3:
            control.stop()
    assert isinstance(events[-2], Saved)
    assert events[-2].path.name == "network-step00000003.safetensors"
    assert events[-2].reason == "stopped"
    assert isinstance(events[-1], Finished)
    assert events[-1].stopped
    whole = run(make_config(epochs=3, save_every_n_steps=3, name="whole"))
    at_three = next(event.path for event in whole if isinstance(event, Saved))
    assert equal(load_file(events[-2].path), load_file(at_three))


def test_stop_before_the_first_step_writes_nothing(make_config: Make) -> None:
    config, control = make_config(), Control()
    control.stop()
    last = list(train(config, TinyModel(), control, clock))[-1]
    assert isinstance(last, Finished)
    assert last.path is None
    assert not Path(config.output).exists()


class FailsAt(TinyModel):
    """Gives NaN, or raises, at one call of the denoiser."""

    def __init__(self, call: int, error: BaseException | None = None) -> None:
        super().__init__()
        self.calls, self.call, self.error = 0, call, error

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        self.calls += 1
        if self.calls == self.call and self.error:
            raise self.error
        output = super().predict(noisy, timesteps, cond, size)
        return output * math.nan if self.calls == self.call else output


@pytest.mark.parametrize("error", [None, RuntimeError("out of memory"), KeyboardInterrupt()])
def test_failure_keeps_the_last_good_weights(make_config: Make, error: BaseException | None) -> None:
    good = run(make_config(save_every_n_steps=2, name="good"))
    at_two = next(event.path for event in good if isinstance(event, Saved))
    events: list[Event] = []
    with pytest.raises(type(error) if error else TrainingError):
        events.extend(iterate(train(make_config(), FailsAt(3, error), clock=clock), events))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.step == 2
    assert failed.saved is not None
    assert equal(load_file(failed.saved), load_file(at_two))


def iterate(source: Any, seen: list[Event]) -> list[Event]:
    for event in source:
        seen.append(event)
    return []


def test_model_is_put_back_exactly(make_config: Make) -> None:
    for model in (TinyModel(), FailsAt(2)):
        before = {name: value.clone() for name, value in model.unet.state_dict().items()}
        model.unet.train()
        model.text.eval()
        model.unet.conv_in.requires_grad_(False)
        try:
            run(make_config(gradient_checkpointing=True), model)
        except TrainingError:
            assert isinstance(model, FailsAt)
        assert all(torch.equal(value, before[name]) for name, value in model.unet.state_dict().items())
        assert model.unet.training and not model.text.training
        assert not any(parameter.requires_grad for parameter in model.unet.conv_in.parameters())
        assert all(parameter.requires_grad for parameter in model.unet.conv_out.parameters())
        assert not any(module._forward_hooks for module in model.unet.modules())


def test_abandoned_run_puts_the_model_back(make_config: Make) -> None:
    model = TinyModel()
    events = train(make_config(), model, clock=clock)
    while not isinstance(next(events), Step):
        pass
    events.close()  # type: ignore[attr-defined]
    assert not any(module._forward_hooks for module in model.unet.modules())
    assert all(parameter.requires_grad for parameter in model.unet.parameters())


def test_trainings_in_one_process_do_not_know_of_each_other(make_config: Make) -> None:
    alone = {algo: load_trained(make_config(algo=algo, name=algo)) for algo in ("lora", "lokr")}
    model = TinyModel()
    for algo in ("locon", "lokr", "ia3", "lora"):
        after_others = load_trained(make_config(algo=algo, name=f"{algo} again"), model)
        if algo in alone:
            assert equal(after_others, alone[algo])


def test_learning_rate_of_zero_leaves_a_component_out(make_config: Make) -> None:
    unet_only = load_trained(make_config(te_learning_rate=0.0))
    assert {key.split("_")[1] for key in unet_only} == {"unet"}
    text_only = load_trained(make_config(unet_learning_rate=0.0))
    assert {key.split("_")[1] for key in text_only} == {"te"}


def test_text_encoder_learns_with_its_own_rate(make_config: Make) -> None:
    tensors = load_trained(make_config(te_learning_rate=1e-3))
    ups = [value for key, value in tensors.items() if key.startswith("lora_te") and "lora_up" in key]
    assert all(value.abs().max() > 0 for value in ups)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_full(make_config: Make, precision: str) -> None:
    if precision == "fp16" and tuple(map(int, torch.__version__.split(".")[:2])) < (2, 4):
        with pytest.raises(ConfigError, match="fp16"):
            run(make_config(precision=precision))
        return
    full = run(make_config(name="full", learning_rate=1e-4))
    half = run(make_config(name="half", learning_rate=1e-4, precision=precision))
    for one, two in zip(full, half, strict=True):
        if isinstance(one, Step) and isinstance(two, Step):
            assert two.loss == pytest.approx(one.loss, rel=0.03)
            assert two.updated


def test_half_precision_model_is_trained_in_its_dtype(make_config: Make) -> None:
    events = run(make_config(precision="bf16"), TinyModel(dtype=torch.bfloat16))
    assert isinstance(events[-1], Finished)
    with pytest.raises(ConfigError, match="half precision"):
        run(make_config(precision="fp32"), TinyModel(dtype=torch.bfloat16))


def test_velocity_model_is_trained_on_velocity(make_config: Make) -> None:
    config = make_config(min_snr_gamma=5.0)
    assert not equal(load_trained(config, TinyModel("v")), load_trained(config))


def test_metadata_says_what_kohyas_would(make_config: Make) -> None:
    config = make_config(epochs=2, comment="hello", flip=True)
    run(config)
    with safe_open(final_file(config), "pt") as file:
        metadata = file.metadata()
    expected = {
        "ss_output_name": "network",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "2.0",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_steps": "10",
        "ss_epoch": "2",
        "ss_num_train_images": "5",
        "ss_num_batches_per_epoch": "5",
        "ss_training_comment": "hello",
        "ss_flip_aug": "True",
        "ss_resolution": "(64, 64)",
        "ss_training_started_at": "1700000000.0",
        "ss_dataset_dirs": '{"1_object": {"n_repeats": 1, "img_count": 1}, '
        '"2_chelsea cat": {"n_repeats": 2, "img_count": 2}}',
        "ss_tag_frequency": '{"1_object": {"object": 1}, '
        '"2_chelsea cat": {"chelsea cat": 1, "a cat": 1, "whiskers": 1}}',
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.prediction_type": "epsilon",
        "modelspec.title": "network",
        "modelspec.resolution": "64x64",
        "modelspec.date": "2023-11-14T22:13:20",
    }
    assert {key: metadata.get(key) for key in expected} == expected
    assert all(isinstance(value, str) for value in metadata.values())


def test_missing_images_and_bad_files_are_errors_before_training(
    make_config: Make, photographs: Path
) -> None:
    with pytest.raises(ConfigError, match="images"):
        run(make_config(images=""))
    (photographs / "1_object" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        run(make_config())


def test_image_that_breaks_during_the_run_keeps_what_was_trained(
    make_config: Make, photographs: Path
) -> None:
    config = make_config(latent_cache="off", epochs=4)
    events: list[Event] = []
    with pytest.raises(DataError, match="coffee"):
        for event in train(config, TinyModel(), clock=clock):
            events.append(event)
            if isinstance(event, Step) and event.step == 5:
                (photographs / "1_object" / "coffee.png").write_bytes(b"gone")
    assert isinstance(events[-1], Failed)
    assert events[-1].saved is not None


def test_plan_counts_images_batches_and_steps(make_config: Make) -> None:
    # by hand: 2 x 2 + 1 images; 4 square in 2 batches of 2, 1 wide alone; 3 batches, 2 steps
    plan = plan_run(make_config(batch_size=2, accumulation=2, epochs=3))
    assert (plan.samples_per_epoch, plan.order.num_batches(0), plan.steps_per_epoch) == (5, 3, 2)
    assert (plan.total_steps, plan.epochs) == (6, 3)
    assert any("never fill a batch" in note for note in plan.notes)
    cut = plan_run(make_config(batch_size=2, max_steps=7))
    assert (cut.total_steps, cut.epochs) == (7, 3)


def test_transparent_image_trains_as_on_its_background(make_config: Make, photographs: Path) -> None:
    config = make_config(images=str(photographs / "1_object"), epochs=2)
    path = photographs / "1_object" / "coffee.png"
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(path)
    on_white, on_black = load_trained(config), load_trained(config.replaced(background="black"))
    Image.new("RGB", (64, 64), "white").save(path)
    assert equal(load_trained(config), on_white)
    assert not equal(on_white, on_black)
