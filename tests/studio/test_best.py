"""The files of a run compared, and one of them kept: against the run's own validation and the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_lyco.catalog.scan import IMAGE_SUFFIXES
from lib_lyco.errors import ConfigError, FileError
from lib_lyco.models.base import BaseModel
from lib_lyco.studio.afterwards import complete_card, trigger_words
from lib_lyco.studio.history import History
from lib_lyco.studio.judging import Wish, judged
from lib_lyco.studio.keeping_one import Chosen, going, keep_one
from lib_lyco.studio.states import own_states
from lib_lyco.studio.verdict import Verdict, own_files, read_verdict
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.events import Event, Validated
from lib_lyco.train.log import event_line
from lib_lyco.train.sample_prompts import Picture
from tests.train.conftest import PHOTOGRAPHS
from tests.train.test_run import run
from tests.train.tiny import TinyModel, tiny_config

Make = Callable[..., TrainConfig]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two pictures of a cat, one captioned, and one of a cup, each kind in a folder of its own."""
    root = tmp_path / "images"
    for place, name in (
        ("2_chelsea cat", "chelsea.png"),
        ("2_chelsea cat", "cat.png"),
        ("1_object", "coffee.png"),
    ):
        (root / place).mkdir(parents=True, exist_ok=True)
        with Image.open(PHOTOGRAPHS / ("chelsea.png" if name == "cat.png" else name)) as photograph:
            photograph.convert("RGB").resize((96, 64)).save(root / place / name)
    (root / "2_chelsea cat" / "chelsea.txt").write_text("a cat, whiskers", encoding="utf-8")
    return root


@pytest.fixture
def make_config(images: Path, tmp_path: Path) -> Make:
    """A config for the tiny model."""

    def make(**values: object) -> TrainConfig:
        return tiny_config(images, tmp_path / "output", **values)

    return make


def history_of(events: list[Event]) -> History:
    history = History()
    for event in events:
        history.add(event_line(event) or {})
    return history


class Drawn:
    """Draws nothing but a small picture; remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float, int | None, str]] = []

    def __call__(self, model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None:
        self.asked.append((picture.prompt, picture.strength, picture.seed, network.name if network else ""))
        Image.new("RGB", (8, 8)).save(to)


def compare(config: TrainConfig, history: History, folder: Path, **values: Any) -> tuple[Verdict, Drawn]:
    drawn = Drawn()
    files = own_files(history, Path(config.output))
    wish = Wish(config, files, values.get("strengths", (0.5, 1.0)), values.get("prompts"), folder)
    *_, last = judged(wish, TinyModel(), drawn)
    assert last.done == last.total
    verdict = read_verdict(folder)
    assert verdict == last.verdict
    assert verdict
    return verdict, drawn


@pytest.fixture
def trained(make_config: Make, images: Path) -> tuple[TrainConfig, list[Event]]:
    config = make_config(
        images=str(images / "1_object"),
        validation_images=str(images / "2_chelsea cat"),
        name="cup",
        epochs=2,
        save_every_n_epochs=1,
        caption_prefix="sks cup,",
    )
    return config, run(config)


def test_losses_are_those_that_the_run_saw(
    trained: tuple[TrainConfig, list[Event]], tmp_path: Path
) -> None:
    config, events = trained
    seen = [event.loss for event in events if isinstance(event, Validated)]
    verdict, drawn = compare(config, history_of(events), tmp_path / "best")
    base, *rows = verdict.rows
    assert [row.name for row in rows] == ["cup-000001.safetensors", "cup.safetensors"]
    assert [row.cells[-1].loss for row in rows] == pytest.approx(seen, rel=1e-4)
    assert base.cells[0].loss != pytest.approx(seen[0], rel=1e-4)
    assert verdict.held_out and verdict.images == 2
    # captions are the prompts, and a picture's seed is the same with every file
    prompts = {"sks cup, a cat, whiskers", "sks cup, chelsea cat"}
    assert set(verdict.prompts) <= prompts and len({seed for *_, seed, _ in drawn.asked}) == len(
        verdict.prompts
    )
    assert {(strength, name) for _, strength, _, name in drawn.asked} == {
        (0.0, ""),
        *((strength, row.name) for strength in (0.5, 1.0) for row in rows),
    }
    for row in verdict.rows:
        for cell in row.cells:
            assert all((tmp_path / "best" / name).is_file() for name in cell.pictures)


def test_without_validation_images_a_share_of_the_training_images_is_looked_at(
    make_config: Make,
    tmp_path: Path,
) -> None:
    config = make_config(name="few", epochs=1, save_every_n_epochs=1)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cup --d 5\n", encoding="utf-8")
    verdict, drawn = compare(
        config, history_of(run(config)), tmp_path / "best", strengths=(1.0,), prompts=prompts
    )
    assert not verdict.held_out and verdict.images == 3
    assert drawn.asked == [("a cup", 0.0, 5, ""), ("a cup", 1.0, 5, "few.safetensors")]


def test_one_is_kept_and_only_the_runs_own_files_are_removed(
    trained: tuple[TrainConfig, list[Event]], tmp_path: Path
) -> None:
    config, events = trained
    history, output = history_of(events), Path(config.output)
    verdict, _ = compare(config, history, tmp_path / "best")
    strangers = [output / "cup-000009.safetensors", output / "cup-000001.txt"]
    for path in strangers:
        path.write_bytes(b"somebody else's")
    wanted = (output / "cup-000001.safetensors").read_bytes()
    cover = tmp_path / "best" / verdict.rows[1].cells[0].pictures[0]
    outcome = keep_one(config, history, verdict, Chosen("cup-000001.safetensors", 0.5, cover))
    assert outcome.path.read_bytes() == wanted
    assert sorted(path.name for path in output.glob("*.safetensors")) == [
        "cup-000009.safetensors",
        "cup.safetensors",
    ]
    assert all(path.read_bytes() == b"somebody else's" for path in strangers)
    notes = json.loads((output / "cup.json").read_text(encoding="utf-8"))
    assert notes["activation text"] == "sks cup" and notes["preferred weight"] == 0.5
    assert (output / "cup.png").read_bytes() == cover.read_bytes()


def test_what_belongs_to_the_files_goes_with_them_and_states_if_that_is_wanted(
    trained: tuple[TrainConfig, list[Event]], tmp_path: Path
) -> None:
    config, events = trained
    history, output = history_of(events), Path(config.output)
    verdict, _ = compare(config, history, tmp_path / "best", strengths=(1.0,))
    for name in ("cup-000001.json", "cup-ema-000001.safetensors", "cup-ema.safetensors", "cup.preview.png"):
        (output / name).write_text('{"notes": "mine"}', encoding="utf-8")
    (output / "cup-000001-of-another.json").write_text("{}", encoding="utf-8")
    states = own_states(config, 0.0)
    assert [path.name for path in states] == ["cup-step00000002.state"]
    gone = going(config, own_files(history, output), "cup.safetensors")
    expected = ["cup-000001.json", "cup-000001.safetensors", "cup-ema-000001.safetensors"]
    assert sorted(path.name for path in gone) == expected
    # the first epoch's becomes the run's: its averaged file and its notes come along
    keep_one(config, history, verdict, Chosen("cup-000001.safetensors", 1.0, None), states)
    assert sorted(path.name for path in output.iterdir() if path.is_file()) == [
        "cup-000001-of-another.json",
        "cup-ema.safetensors",
        "cup.json",
        "cup.preview.png",
        "cup.safetensors",
    ]
    notes = json.loads((output / "cup.json").read_text(encoding="utf-8"))
    assert notes["notes"] == "mine" and notes["preferred weight"] == 1.0


def test_the_last_is_kept_in_its_place(trained: tuple[TrainConfig, list[Event]], tmp_path: Path) -> None:
    config, events = trained
    history, output = history_of(events), Path(config.output)
    verdict, _ = compare(config, history, tmp_path / "best", strengths=(1.0,))
    wanted = (output / "cup.safetensors").read_bytes()
    outcome = keep_one(config, history, verdict, Chosen("cup.safetensors", 1.0, None))
    assert outcome.removed == ["cup-000001.safetensors"]
    assert [path.name for path in output.glob("*.safetensors")] == ["cup.safetensors"]
    assert outcome.path.read_bytes() == wanted


def test_a_file_that_has_changed_since_is_not_kept(
    trained: tuple[TrainConfig, list[Event]], tmp_path: Path
) -> None:
    config, events = trained
    history, output = history_of(events), Path(config.output)
    verdict, _ = compare(config, history, tmp_path / "best", strengths=(1.0,))
    (output / "cup-000001.safetensors").write_bytes(b"another run's")
    with pytest.raises(FileError, match="not the one that was compared"):
        keep_one(config, history, verdict, Chosen("cup-000001.safetensors", 1.0, None))
    with pytest.raises(ConfigError, match="no such file"):
        keep_one(config, history, verdict, Chosen("cup-000009.safetensors", 1.0, None))
    assert (output / "cup.safetensors").is_file()


def test_files_elsewhere_are_not_the_runs(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    for path in (tmp_path / "a.safetensors", output / "a.safetensors", output / "b.safetensors"):
        path.write_bytes(b"x")
    (output / "linked.safetensors").symlink_to(tmp_path / "a.safetensors")
    lines = [
        {"path": str(path), "step": 1, "epoch": 1, "reason": "epoch"}
        for path in (
            tmp_path / "a.safetensors",
            output / ".." / "a.safetensors",
            output / "linked.safetensors",
            output / "gone.safetensors",
            output / "b.safetensors",
        )
    ]
    assert [row.name for row in own_files(History(saved=lines), output)] == ["b.safetensors"]


def test_the_card_is_complete_and_what_the_user_wrote_stays(
    trained: tuple[TrainConfig, list[Event]], tmp_path: Path
) -> None:
    config, events = trained
    picture = tmp_path / "sample.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    drawn = {"path": str(picture), "step": 2, "prompt": "sks cup", "with_network": True}
    without = {**drawn, "path": str(tmp_path / "other.png"), "with_network": False}
    history = history_of(events)
    history.samples = [without, drawn]
    network = Path(config.output) / "cup.safetensors"
    complete_card(network, config, history)
    notes = json.loads(network.with_suffix(".json").read_text(encoding="utf-8"))
    assert notes["activation text"] == "sks cup" and notes["preferred weight"] == 1.0
    assert network.with_suffix(".png").read_bytes() == picture.read_bytes()
    network.with_suffix(".json").write_text('{"activation text": "mine"}', encoding="utf-8")
    Image.new("RGB", (8, 8), "blue").save(picture)
    complete_card(network, config, history)
    notes = json.loads(network.with_suffix(".json").read_text(encoding="utf-8"))
    assert notes["activation text"] == "mine" and notes["preferred weight"] == 1.0
    assert network.with_suffix(".png").read_bytes() != picture.read_bytes()
    assert [path.suffix for path in network.parent.glob("cup.*") if path.suffix in IMAGE_SUFFIXES] == [
        ".png"
    ]


@pytest.mark.parametrize(
    ("options", "counts", "words"),
    [
        ({"caption_prefix": "sks cat, ", "class_tokens": "sks cat"}, {"grass": 4}, "sks cat"),
        ({"class_tokens": "sks cat"}, {"sks cat": 4, "grass": 1}, "sks cat"),
        ({"class_tokens": "unused"}, {"chelsea": 4, "cat": 4}, "chelsea"),
        ({"class_tokens": "sks cat"}, {}, "sks cat"),
        ({}, {"grass": 1, "sky": 1}, ""),
    ],
)
def test_trigger_words_are_what_captions_begin_with(
    make_config: Make,
    options: dict[str, str],
    counts: dict[str, int],
    words: str,
) -> None:
    metadata = {
        "ss_tag_frequency": json.dumps({"1_cat": counts}),
        "ss_dataset_dirs": json.dumps({"1_cat": {"n_repeats": 1, "img_count": 4}}),
    }
    assert trigger_words(make_config(**options), metadata if counts else {}) == words
