"""The sum that leads to the steps, and what a plan warns of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lib_lyco.errors import DataError
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.metadata import BaseFacts, network_metadata
from lib_lyco.train.plan import Plan
from tests.train.test_folder import write_image


def planned(folder: Path, **options: object) -> Plan:
    return plan_run(make_config({"images": str(folder), "resolution": 64, "bucket_min": 32} | options))


@pytest.fixture
def sixty_four(tmp_path: Path) -> Path:
    """The data of the memo: 64 images 40 times, and a folder of regularisation images."""
    for number in range(64):
        write_image(tmp_path / "train" / "40_iwl 1girl" / f"{number}.png", (16, 16))
    for number in range(10):
        write_image(tmp_path / "reg" / "1_1girl" / f"{number}.png", (16, 16))
    return tmp_path


def test_steps_are_those_of_sd_scripts(sixty_four: Path) -> None:
    # doc 002: 64 images x 40 x 2 for regularisation, by batches of 2: 2560 steps per epoch
    reg = str(sixty_four / "reg")
    plan = planned(sixty_four / "train", reg_images=reg, batch_size=2, epochs=4)
    assert (plan.steps_per_epoch, plan.total_steps, plan.epochs) == (2560, 10240, 4)
    assert list(plan.order.repeats[64:]) == [256] * 10
    text = str(plan)
    for figure in ("64 images make 2560", "10 regularisation images make 2560", "= 5120", "10240 steps"):
        assert figure in text
    assert any("twice as long" in note for note in plan.notes)
    alone = planned(sixty_four / "train", batch_size=2, epochs=4)
    assert alone.total_steps == 5120
    assert not any("twice as long" in note for note in alone.notes)


@pytest.mark.parametrize(
    ("images", "repeats", "num_reg", "length", "expected"),
    [
        # doc 000: 61 images, 36 epochs; 30 images, 70 epochs
        (61, 1, 0, {"epochs": 36}, (61, 36, 2196)),
        (30, 1, 0, {"epochs": 70}, (30, 70, 2100)),
        # doc 002, out of sd-scripts' own log: batches per epoch, epochs, steps
        (49, 40, 10, {"max_steps": 15680}, (3920, 4, 15680)),
        (10, 40, 10, {"max_steps": 4000}, (800, 5, 4000)),
        (115, 40, 10, {"max_steps": 10000}, (9200, 2, 10000)),
    ],
)
def test_steps_are_those_of_the_documents(
    images: int,
    repeats: int,
    num_reg: int,
    length: dict[str, int],
    expected: tuple[int, int, int],
    tmp_path: Path,
) -> None:
    first = write_image(tmp_path / "train" / f"{repeats}_lain" / "0.png", (16, 16))
    for number in range(1, images):
        shutil.copy(first, first.with_name(f"{number}.png"))
    (tmp_path / "reg" / "1_1girl").mkdir(parents=True)
    for number in range(num_reg):
        shutil.copy(first, tmp_path / "reg" / "1_1girl" / f"{number}.png")
    reg = {"reg_images": str(tmp_path / "reg")} if num_reg else {}
    plan = planned(tmp_path / "train", **reg, **length)
    assert (plan.steps_per_epoch, plan.epochs, plan.total_steps) == expected


def test_the_file_tells_of_training_and_regularisation_images_apart(sixty_four: Path) -> None:
    folders = {"images": str(sixty_four / "train"), "reg_images": str(sixty_four / "reg")}
    values = {"prior_loss_weight": 0.5, "resolution": 64, "bucket_min": 32, "precision": "fp32"}
    config = make_config(folders | values)
    base = BaseFacts("sd1", "epsilon", "model")
    metadata = network_metadata(config, plan_run(config), base, 0.0)
    # as train_network.py writes them: images times the repeats of their own folder, 64 x 40 and 10 x 1
    assert (metadata["ss_num_train_images"], metadata["ss_num_reg_images"]) == ("2560", "10")
    assert metadata["ss_prior_loss_weight"] == "0.5"
    assert json.loads(metadata["ss_dataset_dirs"]) == {"40_iwl 1girl": {"n_repeats": 40, "img_count": 64}}
    assert json.loads(metadata["ss_reg_dataset_dirs"]) == {"1_1girl": {"n_repeats": 1, "img_count": 10}}
    assert json.loads(metadata["ss_bucket_info"])["buckets"]["0"]["count"] == 5120


def test_more_regularisation_images_than_needed_are_told(sixty_four: Path) -> None:
    plan = planned(sixty_four / "reg", reg_images=str(sixty_four / "train"))
    # 10 training images once; the first regularisation image alone fills that with its 40
    assert list(plan.order.repeats) == [1] * 10 + [40]
    assert any("63 regularisation images" in note for note in plan.notes)


def test_max_steps_cuts_the_last_epoch(sixty_four: Path) -> None:
    plan = planned(sixty_four / "train", batch_size=2, max_steps=3000)
    assert (plan.steps_per_epoch, plan.epochs, plan.total_steps) == (1280, 3, 3000)
    assert [plan.position(step) for step in (0, 1279, 1280, 2999)] == [(0, 0), (0, 1279), (1, 0), (2, 439)]
    assert [plan.epoch_of(step) for step in (0, 1, 1280, 1281, 3000)] == [0, 1, 1, 2, 3]
    assert [step for step in (0, 1, 1280, 2560, 3000) if plan.ends_epoch(step)] == [1280, 2560]


def test_fractions_of_repeats_change_the_length_of_epochs(tmp_path: Path) -> None:
    # 3 images at 1.5 are round(4.5) = 4 samples: each once, and one of them once more, by turns
    write_image(tmp_path / "a.png", (64, 64))
    write_image(tmp_path / "b.png", (64, 64))
    write_image(tmp_path / "c.png", (96, 32))
    plan = planned(tmp_path, repeats=1.5, batch_size=2, bucket_step=32, bucket_max=128, epochs=6)
    lengths = [len(plan.order.epoch(epoch)) for epoch in range(6)]
    # a or b twice: 3 + 1 samples in two buckets are 2 + 1 batches; c twice: 2 + 2 samples are 1 + 1
    assert sorted(lengths) == [2, 2, 3, 3, 3, 3]
    assert list(plan.epoch_ends) == [sum(lengths[: epoch + 1]) for epoch in range(6)]
    assert plan.total_steps == 16
    assert [plan.position(step) for step in (0, lengths[0])] == [(0, 0), (1, 0)]
    assert plan.position(16 - 1) == (5, lengths[5] - 1)
    enough = planned(tmp_path, repeats=1.5, batch_size=2, bucket_step=32, bucket_max=128, max_steps=6)
    assert enough.epoch_ends[-1] >= 6 > enough.epoch_ends[-2]


def test_every_resolution_shows_every_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", (64, 64))
    plan = planned(tmp_path, repeats=2, extra_resolutions=(128, 32), bucket_step=32)
    assert [count.resolution for count in plan.datasets] == [(64, 64), (128, 128), (32, 32)]
    assert [place.bucket for place in plan.placements] == [(64, 64), (128, 128), (32, 32)]
    assert (list(plan.order.repeats), plan.steps_per_epoch) == ([2, 2, 2], 6)
    assert "dataset 3" in str(plan)
    with pytest.raises(DataError, match="bucket_step 64"):
        planned(tmp_path, extra_resolutions=(32,))


def test_samples_balance_folders(tmp_path: Path) -> None:
    for number in range(9):
        write_image(tmp_path / "5_many" / f"{number}.png", (64, 64))
    write_image(tmp_path / "1_few" / "one.png", (64, 64))
    plan = planned(tmp_path, samples_per_epoch=4)
    shown = [plan.records[sample.image].folder for batch in plan.order.epoch(0) for sample in batch]
    assert sorted(shown) == ["1_few"] * 4 + ["5_many"] * 4


def test_notes_tell_what_goes_wrong_unnoticed(tmp_path: Path) -> None:
    folder = tmp_path / "2_cat"
    write_image(folder / "a.png", (64, 64)).with_suffix(".txt").write_text("tags", encoding="utf-8")
    write_image(folder / "b.png", (64, 64))
    write_image(folder / "c.png", (96, 32))
    Image.new("RGBA", (64, 64)).save(folder / "d.png")
    notes = planned(tmp_path, batch_size=4, bucket_max=128, bucket_step=32).notes
    for told in (
        "3 images have no caption of their own",
        "'cat' (3)",
        "1 images have an alpha channel; where they are transparent",
        "Buckets of one image: 96x32",
        "never fill a batch of 4: 96x32",
    ):
        assert any(told in note for note in notes), told
    (tmp_path / "2_cat").rename(tmp_path / "2_")
    assert any("3 images have no caption at all: b.png, c.png" in note for note in planned(tmp_path).notes)


def test_a_tidy_folder_has_no_notes(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / "2_cat" / f"{name}.png", (64, 64))
        (tmp_path / "2_cat" / f"{name}.txt").write_text("tags", encoding="utf-8")
    assert planned(tmp_path).notes == ()


def test_repeats_not_given_are_ten_for_folders_and_one_for_lists(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", (64, 64))
    (tmp_path / "meta.json").write_text('{"a": {}}', encoding="utf-8")
    metadata_file = str(tmp_path / "meta.json")
    assert list(planned(tmp_path).order.repeats) == [10]
    assert list(planned(tmp_path, metadata_file=metadata_file).order.repeats) == [1]
    assert list(planned(tmp_path, metadata_file=metadata_file, repeats=3).order.repeats) == [3]
    assert TrainConfig().repeats is None
