"""A rehearsal: the largest images, two steps, and nothing left."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from lib_lyco.studio.rehearsal import largest_of, rehearsal_config
from lib_lyco.studio.runs import Runs
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from tests.studio.places import wait_for

Make = Callable[..., TrainConfig]


def files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*"))


def test_rehearsal_measures_and_leaves_nothing(
    runs: Runs, make_config: Make, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    (tmp_path / "output").mkdir()
    before = files(photographs, place, tmp_path / "output")
    config = make_config(epochs=7, latent_cache="disk", scheduler="cosine", warmup_share=0.5)
    record = wait_for(runs, runs.submit(config, "rehearsal").id, "finished", "failed")
    assert record.state == "finished", record.message
    assert record.step == 2 and record.path is None
    result = record.result
    assert result["steps"] == 35 == plan_run(config).total_steps
    assert result["seconds"] == pytest.approx(35 * result["seconds_per_step"]) and result["seconds"] > 0
    assert files(photographs, place, tmp_path / "output") == before


def test_it_is_made_on_whole_batches_of_the_largest_bucket(make_config: Make, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    images.mkdir()
    for name, size in {
        "small": (64, 32),
        "large": (128, 96),
        "large too": (128, 96),
        "tall": (32, 64),
    }.items():
        Image.new("RGB", size).save(images / f"{name}.png")
    (images / "large.txt").write_text("a cat", encoding="utf-8")
    config = make_config(
        images=str(images), resolution=(128, 96), bucket_upscale=False, batch_size=3, accumulation=2
    )
    largest = largest_of(plan_run(config))
    assert largest.bucket == (128, 96) and {record.path.stem for record in largest.records} == {
        "large",
        "large too",
    }
    folder = tmp_path / "rehearsal"
    folder.mkdir()
    plan = plan_run(rehearsal_config(config, largest, folder))
    assert set(plan.buckets) == {(128, 96)} and plan.total_steps == 2
    sizes = [len(batch) for batch in plan.order.epoch(0)][: 2 * 2]
    assert sizes == [3] * 4
    assert {record.caption for record in plan.records} == {"a cat", ""}
