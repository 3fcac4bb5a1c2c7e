"""`lyco plan`: what it says, in which forms, and when it fails."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lib_lyco.demo.concepts import CAT, write_training_folder
from lib_lyco.entry.cli import main
from lib_lyco.entry.command_plan import describe
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import make_config
from lib_lyco.train.forecast.content import (
    FileForecast,
    Forecast,
    GroupLine,
    MemoryForecast,
    NetworkForecast,
    Remark,
    TimeForecast,
)
from lib_lyco.train.forecast.data import forecast_data
from tests.train.test_folder import write_image


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_training_folder(folder, [CAT], size=64)
    return folder


def write_config(folder: Path, images: Path, model: Path) -> Path:
    config = folder / "cat.toml"
    lines = {
        "base_model": model.as_posix(),
        "images": images.as_posix(),
        "output": (folder / "out").as_posix(),
        "resume": "auto",
    }
    text = "\n".join(f'{name} = "{value}"' for name, value in lines.items())
    config.write_text(f"{text}\nresolution = 64\nbuckets = false\nmax_steps = 2\n", encoding="utf-8")
    return config


def test_it_says_everything_and_writes_nothing(
    tmp_path: Path, images: Path, small_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, images, small_model)
    assert main(["plan", str(config), "--rank", "2", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    for told in (
        "captions from a file beside the image",
        "64x64",
        "2 steps",
        "unet IN01",
        "file: ",
        "te1 ",
        "0.0001 highest",
        "activations",
        "unknown until the first steps",
        "warning: alpha: ",
    ):
        assert told in out, told
    assert not (tmp_path / "out").exists()


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["plan", *arguments, "--json", "--device", "cpu"]) == 0
    return json.loads(capsys.readouterr().out)


def test_several_processes_share_the_batches(
    tmp_path: Path, images: Path, small_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, images, small_model)
    text = config.read_text(encoding="utf-8").replace("max_steps = 2", "epochs = 1\nbatch_size = 2")
    config.write_text(text, encoding="utf-8")
    one, two = (told([str(config), "--processes", number], capsys) for number in ("1", "2"))
    samples = sum(bucket["samples"] for bucket in one["data"]["buckets"])
    assert samples > 4 and one["data"]["total_steps"] == -(-samples // 2)
    assert two["data"]["total_steps"] == -(-samples // 4)
    assert one["memory"] == two["memory"] and two["memory"]["batch"] == "2 of 64x64"


def test_flags_of_sd_scripts_are_planned_with_their_meaning(
    tmp_path: Path, images: Path, small_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cat.safetensors").write_bytes(b"older")
    places = {"pretrained_model_name_or_path": small_model, "train_data_dir": images}
    places["output_dir"] = tmp_path / "out"
    flags = [f"--{name}={place.as_posix()}" for name, place in places.items()]
    flags += ["--output_name=cat", "--network_module=networks.lora", "--network_dim=2", "--resolution=64"]
    flags += ["--train_batch_size=3", "--gradient_accumulation_steps=2", "--max_train_epochs=2"]
    flags += ["--learning_rate=1e-4", "--unet_lr=2e-4", "--text_encoder_lr", "5e-5"]
    flags += ["--caption_extension=.txt"]
    found = told(flags, capsys)
    data, network = found["data"], found["network"]
    samples = sum(bucket["samples"] for bucket in data["buckets"])
    # by hand, as sd-scripts counts: batches, then updates of two of them, twice
    assert data["total_steps"] == 2 * math.ceil(math.ceil(samples / 3) / 2)
    assert {group["name"]: group["learning_rate"] for group in network["groups"]} == {
        "te1": 5e-5,
        "unet": 2e-4,
    }
    assert found["possible"] and all(remark["severity"] == "warning" for remark in found["remarks"])


def test_folders_show_the_sum_before_it_is_made(tmp_path: Path) -> None:
    # the memo's question why steps double: 3 images 4 times and 2 once are 14, and as many of the others
    for folder, number in (("train/4_a cat", 3), ("train/1_b", 2), ("reg/1_cat", 4)):
        for count in range(number):
            write_image(tmp_path / folder / f"{count}.png", (64, 64))
    (tmp_path / "train" / "4_a cat" / "0.txt").write_text("a cat, sitting", encoding="utf-8")
    config = make_config(
        {
            "images": str(tmp_path / "train"),
            "reg_images": str(tmp_path / "reg"),
            "resolution": 64,
            "bucket_min": 64,
        }
    )
    told = describe(Forecast(forecast_data(plan_run(config)), None, None, None, ())).splitlines()
    rows = [line.split() for line in told[:6]]
    assert rows[0] == ["folder", "images", "times", "each", "samples", "captions"]
    assert ["1_b", "2", "1", "2", "2", "folder"] in rows
    assert ["4_a", "cat", "3", "4", "12", "1", "file,", "2", "folder"] in rows
    assert ["1_cat", "(reg)", "4", "3", "to", "4", "14", "4", "folder"] in rows
    assert any(line.startswith("4_a cat/0.png ") for line in told)
    assert any("5 images make 14 samples + 4 regularisation images make 14 = 28" in line for line in told)


def test_rates_are_told_without_exponents() -> None:
    curve = ((0, 5e-5), (1, 1.5e-3), (2, 1e-8))
    group = GroupLine(name="unet", learning_rate=5e-5, parameters=8, until=None, curve=curve)
    network = NetworkForecast("a", "sd1", "fp32", (), FileForecast(0, 0), (group,), False)
    told = describe(Forecast(None, network, None, None, ()))
    assert "0.00005 first, 0.0015 highest, 1e-08 last" in told


def test_errors_are_told_with_their_field_and_end_with_one(
    tmp_path: Path, images: Path, small_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, images, small_model)
    arguments = ["plan", str(config), "--images", "nowhere", "--device", "cpu", "--json"]
    assert main([*arguments, "--include-layers", "nothing"]) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["possible"] is False and told["data"] is None
    errors = {one["option"] for one in told["remarks"] if one["severity"] == "error"}
    assert errors == {"images", "include_layers"}
    assert "images, include_layers" in err


def test_time_is_told_in_fitting_units() -> None:
    def time(seconds: float) -> str:
        told = TimeForecast(seconds / 10, seconds, "a.state: 10 steps in 5 s")
        return describe(Forecast(None, None, None, told, ()))

    assert "about 30 s, 3 s per step" in time(30)
    assert "about 10 minutes" in time(600) and "about 3.0 hours" in time(10800)
    assert "a.state" in time(30)


def test_what_is_not_known_of_memory_is_said() -> None:
    told = describe(
        Forecast(None, None, MemoryForecast(2**30, 2**20, None, 3 * 2**20, "1 of 64x64"), None, ())
    )
    assert "optimiser unknown" in told and "about 1 GB" in told and "1 of 64x64" in told


def test_errors_come_before_warnings() -> None:
    remarks = (Remark("warning", "alpha", "high"), Remark("error", "images", "none"))
    told = describe(Forecast(None, None, None, None, remarks)).splitlines()
    assert told == ["error: images: none", "warning: alpha: high"]
