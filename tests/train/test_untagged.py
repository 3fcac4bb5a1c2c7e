"""A run stops at images that lack the captions they were meant to have, unless that is confirmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toml

from lib_lyco.errors import ConfigError
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.events import Finished
from lib_lyco.train.untagged import demand_captions
from tests.train.test_folder import write_image
from tests.train.test_run import run

Make = Callable[..., TrainConfig]


def images(folder: Path, **captions: str | None) -> Path:
    """Images by name, each with a caption in a .txt beside it or without."""
    for name, caption in captions.items():
        path = write_image(folder / f"{name}.png", (64, 64))
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return folder


def refusal(folder: Path, **options: Any) -> str:
    """What is said of the images, empty if nothing."""
    values = {"images": str(folder), "resolution": 64, "bucket_min": 32, "precision": "fp32", **options}
    try:
        demand_captions(plan_run(make_config(values)))
    except ConfigError as error:
        assert error.where == "allow_untagged"
        return str(error)
    return ""


def test_a_folders_name_alone_is_no_mistake(tmp_path: Path) -> None:
    images(tmp_path / "10_sks dog", a=None, b=None)
    images(tmp_path / "5_cat", c="a cat", d="another")
    assert refusal(tmp_path) == ""


def test_some_images_without_are_named(tmp_path: Path) -> None:
    images(tmp_path / "10_sks dog", a="a dog", b=None, c=None)
    images(tmp_path / "5_cat", d=None)
    told = refusal(tmp_path)
    assert "2 images" in told and "10_sks dog/b.png, 10_sks dog/c.png" in told and "others" in told
    assert "allow_untagged" in told and "5_cat" not in told


def test_no_text_from_anywhere(tmp_path: Path) -> None:
    images(tmp_path / "dogs", a=None, b=None, c=None, d=None, e=None, f=None)
    told = refusal(tmp_path / "dogs")
    assert "6 images" in told and "dogs/e.png, ..." in told and "10_sks dog" in told
    assert refusal(tmp_path / "dogs", class_tokens="dog") == ""
    assert refusal(tmp_path / "dogs", caption_prefix="sks dog") == ""


def test_class_tokens_that_the_user_named_fill_gaps(tmp_path: Path) -> None:
    images(tmp_path / "dogs", a="a dog", b=None)
    assert "1 images" in refusal(tmp_path / "dogs")
    assert refusal(tmp_path / "dogs", class_tokens="dog") == ""


def test_captions_of_another_extension_are_a_mistake_even_with_a_name(tmp_path: Path) -> None:
    # the memo's five trainings: .caption was looked for, .txt lay there
    folder = images(tmp_path / "10_sks dog", a="a dog", b="a dog")
    told = refusal(folder, caption_extension=".caption", class_tokens="dog")
    assert "2 images" in told and "10_sks dog/a.txt" in told and "caption_extension" in told
    (folder / "a.txt").rename(folder / "a.tags")
    (folder / "b.txt").unlink()
    assert "a.tags" in refusal(folder)


def test_regularisation_images_need_words_too(tmp_path: Path) -> None:
    images(tmp_path / "10_sks dog", a=None)
    assert "reg/b.png" in refusal(tmp_path / "10_sks dog", reg_images=str(images(tmp_path / "reg", b=None)))
    assert refusal(tmp_path / "10_sks dog", reg_images=str(images(tmp_path / "1_dog", b=None))) == ""


def test_a_metadata_file_and_a_dataset_config_are_looked_at(tmp_path: Path) -> None:
    images(tmp_path / "dogs", a=None, b=None)
    path = tmp_path / "meta.json"
    path.write_text(json.dumps({"a": {"tags": "dog"}, "b": {}}), encoding="utf-8")
    assert "meta.json/b.png" in refusal(tmp_path / "dogs", metadata_file=str(path))
    subset = {"image_dir": str(tmp_path / "dogs")}
    tables = [{"datasets": [{"subsets": [subset | more]}]} for more in ({}, {"class_tokens": "dog"})]
    for one, is_refused in zip(tables, (True, False), strict=True):
        listed = tmp_path / "dataset.toml"
        listed.write_text(toml.dumps(one), encoding="utf-8")
        assert ("2 images" in refusal(tmp_path, images="", dataset_config=str(listed))) is is_refused


def test_further_resolutions_do_not_count_images_again(tmp_path: Path) -> None:
    folder = images(tmp_path / "dogs", a=None)
    assert "1 images" in refusal(folder, extra_resolutions=(128,))


def test_a_run_stops_unless_it_is_confirmed(make_config: Make, photographs: Path) -> None:
    # of two cats one has a caption
    with pytest.raises(ConfigError, match="2_chelsea cat/astronaut"):
        run(make_config(allow_untagged=False))
    assert isinstance(run(make_config(max_steps=1))[-1], Finished)
    (photographs / "2_chelsea cat" / "astronaut.txt").write_text("a woman", encoding="utf-8")
    assert isinstance(run(make_config(allow_untagged=False, max_steps=1))[-1], Finished)
