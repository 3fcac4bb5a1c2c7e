"""Warnings and errors with the option that they are about."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_lyco.demo.concepts import CAT, write_training_folder
from lib_lyco.demo.madeup import write_checkpoint
from lib_lyco.models.load import load_model
from lib_lyco.train.compose.forecast import make_forecast
from lib_lyco.train.config import make_config
from lib_lyco.train.events import Step
from lib_lyco.train.forecast.content import Forecast
from lib_lyco.train.run import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "small.safetensors", "sd1", 32)


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    """Images with captions, 64 pixels wide."""
    write_training_folder(tmp_path / "images", [CAT], size=64)
    return {
        "images": str(tmp_path / "images"),
        "output": str(tmp_path / "out"),
        "resolution": 64,
        "buckets": False,
        "rank": 4,
        "alpha": 2.0,
    }


def forecast(checkpoint: Path, options: dict[str, Any]) -> Forecast:
    return make_forecast(make_config(options), checkpoint, CPU)


def told(found: Forecast, severity: str) -> dict[str, str]:
    return {one.option: one.text for one in found.remarks if one.severity == severity}


def test_rates_and_steps_are_those_of_the_run(small: Path, base: dict[str, Any]) -> None:
    options = base | {
        "max_steps": 8,
        "warmup_steps": 2,
        "te_stop_share": 0.5,
        "te_learning_rate": [1e-3],
        "loraplus_unet_lr_ratio": 4.0,
        "down_lr_weight": "linear",
    }
    config = make_config(options)
    found = forecast(small, options)
    assert found.possible and found.network and found.data and found.data.total_steps == 8
    steps = [event for event in train(config, load_model(small)) if isinstance(event, Step)]
    for number, step in enumerate(steps):
        rates = {group.name: dict(group.curve)[number] for group in found.network.groups}
        assert rates == pytest.approx(dict(step.learning_rates))
    assert len(found.network.groups) > 3 and len(steps) == 8
    again = forecast(small, options | {"overwrite": True})
    assert again.time and again.time.seconds_per_step and again.time.seconds
    assert again.time.seconds_per_step == pytest.approx(steps[-1].seconds / 8, rel=0.5)
    assert again.time.seconds == pytest.approx(8 * again.time.seconds_per_step)
    assert "8 steps" in again.time.record
    other = forecast(small, options | {"overwrite": True, "rank": 8})
    assert other.time and other.time.seconds is None
    assert "name" in told(forecast(small, options), "error")  # the run's file is there now


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        ({"alpha": 16.0}, "alpha", "multiplied by 4"),
        ({"conv_rank": 2, "conv_alpha": 8.0}, "conv_alpha", "8 over 2"),
        ({"max_steps": 3}, "max_steps", "is cut"),
        ({"batch_size": 64}, "batch_size", "never fill"),
        ({"optimizer_type": "AdamW8bit"}, "optimizer_type", "full precision"),
    ],
)
def test_warnings_name_their_option(
    small: Path, base: dict[str, Any], options: dict[str, Any], option: str, text: str
) -> None:
    assert option not in told(forecast(small, base), "warning")
    found = forecast(small, base | options)
    assert text in told(found, "warning")[option] and found.possible


def test_lacking_captions_are_an_error_beside_the_table_of_images(
    small: Path, base: dict[str, Any]
) -> None:
    next(Path(base["images"]).rglob("*.txt")).unlink()
    found = forecast(small, base)
    assert "others in their folder" in told(found, "error")["allow_untagged"] and not found.possible
    assert found.data and "none" in {image.caption_source for image in found.data.images}
    assert forecast(small, base | {"allow_untagged": True}).possible


def test_an_alpha_up_to_the_rank_is_no_matter(small: Path, base: dict[str, Any]) -> None:
    assert "alpha" not in told(forecast(small, base | {"alpha": 4.0}), "warning")
    # IA3 has no alpha
    assert "alpha" not in told(forecast(small, base | {"algo": "ia3", "alpha": 8.0}), "warning")


def test_several_errors_are_told_at_once(small: Path, base: dict[str, Any]) -> None:
    options = base | {"images": "nowhere", "te_learning_rate": [1e-4, 1e-5], "include_layers": ["nothing"]}
    found = forecast(small, options)
    errors = told(found, "error")
    assert not found.possible and errors.keys() == {"images", "include_layers"}
    assert "nowhere" in errors["images"] and "nothing" in errors["include_layers"]
    found = forecast(small, base | {"te_learning_rate": [1e-4, 1e-5], "caption_dropout_rate_te1": 0.5})
    assert told(found, "error").keys() == {"te_learning_rate", "caption_dropout_rate_te1"}
    found = forecast(small.with_name("missing.safetensors"), base | {"base_family": "sdxl"})
    assert told(found, "error").keys() == {"base_model"} and found.data
    assert told(forecast(small, base | {"base_family": "sdxl"}), "error").keys() == {"base_family"}
    assert not Path(base["output"]).exists()


def test_it_is_plain_data(small: Path, base: dict[str, Any]) -> None:
    found = forecast(small, base)
    assert json.loads(json.dumps(asdict(found)))["network"]["family"] == "sd1"
    assert found.data and {image.caption_source for image in found.data.images} == {"file"}
    assert sum(bucket.batches for bucket in found.data.buckets) == found.data.batches_per_epoch
    assert sum(image.repeats for image in found.data.images) == found.data.batches_per_epoch
