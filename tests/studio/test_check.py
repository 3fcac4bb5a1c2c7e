"""What keeps a run from starting is found before it, with the field to mend it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from lib_lyco.demo.embedded import checkpoint
from lib_lyco.studio.check import Case, Problem, check_run
from lib_lyco.studio.file_size import file_size
from lib_lyco.studio.outlook import look_ahead
from lib_lyco.studio.workplace import Base
from lib_lyco.train.config import make_config

CPU = torch.device("cpu")
NO_FILE = Base("", "loaded", "sd1", None)
"""A base model of which only the family is known, as in a WebUI without diffusers."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures with captions."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), (number * 40, 90, 120)).save(images / f"{number}.png")
        (images / f"{number}.txt").write_text("ohwx, red, blue", encoding="utf-8")
    return images


def _found(folder: Path, base: Base | None = NO_FILE, trigger: str = "", **values: Any) -> list[Problem]:
    options = {
        "images": str(folder),
        "resolution": (64, 64),
        "bucket_min": 64,
        "output": str(folder.parent),
    }
    config = make_config({**options, **values})
    case = Case(config, base, look_ahead(config, base, CPU), trigger)
    return check_run(case, installed=lambda module: module == "torch")


def _blocking(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(one.field, one.text) for one in problems if one.level == "blocks"]


def test_nothing_is_wrong(folder: Path) -> None:
    assert _found(folder) == []


def test_copies_and_what_is_nearly_one_are_told(folder: Path) -> None:
    areas = numpy.random.default_rng(0).integers(0, 255, (6, 7, 3), dtype=numpy.uint8)
    scene = Image.fromarray(areas).resize((96, 80), Image.Resampling.BICUBIC)
    for name, picture in (("6", scene), ("7", scene.resize((72, 60))), ("8", scene)):
        picture.save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text("ohwx", encoding="utf-8")
    told = [one.text for one in _found(folder) if one.section == "dataset"]
    assert told == [
        "1 images are copies of others: 8.png.",
        "1 images show nearly the same as others: 7.png.",
    ]


def test_a_missing_folder(folder: Path) -> None:
    assert [field for field, _ in _blocking(_found(folder / "nowhere"))] == ["images"]


def test_a_base_model_that_cannot_be_trained_on(folder: Path) -> None:
    sick = Base("", "loaded", "sd1", None, "It is quantised. Choose another one.")
    assert _blocking(_found(folder, sick)) == [("base_model", "It is quantised. Choose another one.")]
    (missing,) = _blocking(_found(folder, None, base_model="gone.safetensors"))
    assert missing[0] == "base_model"
    (other,) = _blocking(_found(folder, base_family="sdxl"))
    assert other[0] == "base_family"


def test_files_that_would_be_written_over(folder: Path) -> None:
    (folder.parent / "cat.safetensors").write_bytes(b"")
    assert [field for field, _ in _blocking(_found(folder, name="cat"))] == ["name"]
    assert _blocking(_found(folder, name="cat", overwrite=True)) == []


def test_an_output_that_is_a_file(folder: Path) -> None:
    (field,) = [field for field, _ in _blocking(_found(folder, output=str(folder / "0.png")))]
    assert field == "output"


def test_packages_that_are_missing(folder: Path) -> None:
    found = dict(_blocking(_found(folder, optimizer_type="Prodigy", log_with="tensorboard")))
    assert "pip install prodigyopt" in found["optimizer_type"]
    assert "pip install tensorboard" in found["log_with"]
    # AdamW takes the place of its 8-bit form, and that is told when the run begins
    assert _blocking(_found(folder, optimizer_type="AdamW8bit")) == []


def test_sample_prompts_that_are_not_there(folder: Path) -> None:
    assert [one.field for one in _found(folder, sample_prompts="gone.txt")] == ["sample_prompts"]
    prompts = folder / "prompts.txt"
    prompts.write_text("a cat", encoding="utf-8")
    assert [one.field for one in _found(folder, sample_prompts=str(prompts))] == ["sample_every_n_epochs"]


def test_advice_on_images_leads_to_them(folder: Path) -> None:
    shutil.copy(folder / "0.png", folder / "copy.png")
    Image.new("RGB", (30, 30)).save(folder / "small.png")
    (folder / "copy.txt").write_text("ohwx, red, green", encoding="utf-8")
    (folder / "small.txt").write_text("nobody", encoding="utf-8")
    found = {one.text: one.section for one in _found(folder, trigger="ohwx")}
    assert found == {
        "1 images are small, and blur at the size trained: small.png.": "dataset",
        "1 images are copies of others: copy.png.": "dataset",
        "The trigger word is not in the captions of 1 images: small.png.": "dataset",
    }
    assert len(_found(folder, trigger="ohwx", caption_prefix="ohwx,")) == 2


def test_lengths_that_are_unusual(folder: Path) -> None:
    assert [one.field for one in _found(folder, repeats=1, epochs=1)] == ["epochs"]
    assert [one.field for one in _found(folder, repeats=100, epochs=100)] == ["epochs"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"epochs": 8, "batch_size": 2}, "6 images x 10 x 8 epochs / 2 = 240 steps"),
        ({"epochs": 1}, "6 images x 10 x 1 epoch = 60 steps"),
        (
            {"repeats": 1, "epochs": 3, "batch_size": 4},
            "6 images make 2 steps per epoch x 3 epochs = 6 steps",
        ),
        ({"repeats": 1, "max_steps": 8}, "6 images make 6 steps per epoch, 8 steps in 2 epochs"),
    ],
)
def test_the_sum_is_true(folder: Path, values: dict[str, Any], expected: str) -> None:
    options = {"images": str(folder), "resolution": (64, 64), "bucket_min": 64}
    told = look_ahead(make_config({**options, **values}), NO_FILE, CPU)
    assert told.parts[0] == expected


@pytest.mark.parametrize("algo", ["lora", "locon", "lokr"])
def test_the_size_without_diffusers_is_that_with_it(folder: Path, algo: str) -> None:
    pytest.importorskip("diffusers")
    config = make_config({"images": str(folder), "resolution": (64, 64), "bucket_min": 64, "algo": algo})
    told = look_ahead(config, Base("", "embedded", "sd1", checkpoint()), CPU)
    assert told.file == file_size(config, checkpoint())
    assert told.memory is not None


def test_images_without_captions_block_until_that_is_meant(folder: Path) -> None:
    (folder / "3.txt").unlink()
    (problem,) = [one for one in _found(folder) if one.level == "blocks"]
    assert (problem.field, problem.section, problem.confirm) == (
        "allow_untagged",
        "dataset",
        "allow_untagged",
    )
    assert "1 images" in problem.text and "images/3.png" in problem.text
    assert _blocking(_found(folder, allow_untagged=True)) == []
