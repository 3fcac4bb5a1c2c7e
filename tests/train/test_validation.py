"""Validation: images held out, the same noise every time, and nothing of the training changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from PIL import Image
from safetensors.torch import load_file

from lib_lyco.errors import ConfigError
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.events import Event, Validated
from lib_lyco.train.seed import derived_generator
from tests.train.test_run import equal, final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def losses_of(events: list[Event]) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in events if isinstance(event, Validated)]


def test_held_out_images_are_not_trained_on(make_config: Make) -> None:
    everything = {record.path for record in plan_run(make_config()).records}
    left = {record.path for record in plan_run(make_config(validation_split=0.5)).records}
    # by hand: half of 2 images is 1, half of 1 rounds to 0
    assert (len(everything), len(left)) == (3, 2) and left < everything
    others = [
        {
            record.path
            for record in plan_run(make_config(validation_split=0.5, validation_seed=seed)).records
        }
        for seed in range(8)
    ]
    assert any(chosen != left for chosen in others)
    with pytest.raises(ConfigError, match="No image is held out"):
        run(make_config(validation_split=0.1))


def test_validating_changes_no_bit_of_the_training(make_config: Make, photographs: Path) -> None:
    plain = make_config(images=str(photographs / "1_object"), name="plain", epochs=3)
    folder = str(photographs / "2_chelsea cat")
    validated = plain.replaced(name="validated", validation_images=folder, validate_every_n_steps=1)
    run(plain)
    first, second = losses_of(run(validated)), losses_of(run(validated))
    assert [step for step, _ in first] == [1, 2, 3]
    assert first == second
    assert equal(load_file(final_file(plain)), load_file(final_file(validated)))


def test_loss_is_the_error_at_fixed_noise_and_timesteps(make_config: Make, photographs: Path) -> None:
    """Without a learning rate worth speaking of: the base model's error, with diffusers' noising."""
    folder = photographs / "2_chelsea cat"
    config = make_config(
        images=str(photographs / "1_object"),
        validation_images=str(folder),
        learning_rate=1e-12,
        validation_seed=5,
        epochs=1,
    )
    ((step, loss),) = losses_of(run(config))
    assert step == 1
    model, errors = TinyModel(), list[float]()
    plan = plan_run(config.replaced(images=str(folder)))
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    for index, record in enumerate(plan.records):
        latents = encoded(model, record.path, plan.placements[index].bucket)
        cond = model.encode_prompts([record.caption])
        for timestep in (200, 400, 600, 800):
            generator = derived_generator("validation", 5, index, timestep)
            torch.randint(timestep, timestep + 1, (), generator=generator)
            noise = torch.randn(latents.shape[1:], generator=generator)[None]
            noisy = scheduler.add_noise(latents, noise, torch.tensor([timestep]))  # type: ignore[arg-type]
            with torch.no_grad():
                predicted = model.predict(noisy, torch.tensor([timestep]), cond)
            errors.append(float((predicted - noise).square().mean()))
    assert len(errors) == 8
    assert loss == pytest.approx(sum(errors) / 8, rel=1e-3)


def encoded(model: TinyModel, path: Path, bucket: tuple[int, int]) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = np.asarray(image.resize(bucket, Image.Resampling.LANCZOS), dtype=np.float32)
    return model.encode_images(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1)


def test_only_so_many_batches_are_looked_at(make_config: Make, photographs: Path) -> None:
    config = make_config(
        images=str(photographs / "1_object"), validation_images=str(photographs / "2_chelsea cat")
    )
    one = losses_of(run(config.replaced(max_validation_steps=1)))
    assert one != losses_of(run(config))
