"""Captions by taggers: what is sure enough, what a model is shown, and what ends in the files."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from lib_lyco.errors import DataError, FileError
from lib_lyco.studio.dataset.history import History
from lib_lyco.studio.dataset.job import Job, Jobs
from lib_lyco.studio.dataset.tagger import Category, Guess, Look, Mode, Wish
from lib_lyco.studio.dataset.tagging import Captions, tag_pictures
from lib_lyco.studio.dataset.wd14 import Wd14Tagger, find_wd14, prepared, read_tags
from tests.studio.dataset.onnx_model import put_model, put_tags
from tests.studio.dataset.pictures import listing_of, put_image, put_text

GUESSES = (
    Guess("long_hair", 0.5),
    Guess("1girl", 0.9),
    Guess("^_^", 0.4),
    Guess("hat", 0.2),
    Guess("someone_(series)", 0.9, "character"),
    Guess("nobody", 0.8, "character"),
    Guess("general", 0.7, "rating"),
    Guess("explicit", 0.1, "rating"),
)


class FakeTagger:
    """Knows colours."""

    id = title = "fake"
    problem = ""
    makes_sentences = False

    def kinds(self) -> Mapping[str, Category]:
        return {guess.text: guess.category for guess in GUESSES}

    def __init__(self) -> None:
        self.is_open = False

    @contextmanager
    def open(self) -> Generator[Look]:
        self.is_open = True
        try:
            yield self._look
        finally:
            self.is_open = False

    def _look(self, image: Image.Image) -> Sequence[Guess]:
        red, _, blue = image.getpixel((1, 1))  # pyright: ignore
        if red == blue:
            raise DataError("Too gray.")
        return [Guess("red_thing" if red > blue else "blue_thing")]


def test_what_is_sure_enough() -> None:
    assert Wish().tags(GUESSES) == ["someone (series)", "1girl", "long hair", "^_^"]
    assert Wish(threshold=0.1, spaces=False).tags(GUESSES) == [
        "someone_(series)",
        "1girl",
        "long_hair",
        "^_^",
        "hat",
    ]
    loose = Wish(character_threshold=0.5, with_rating=True, left_out=("Long hair", "1girl", "^ ^"))
    assert loose.tags(GUESSES) == ["someone (series)", "nobody", "general"]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("replace", ["sks, red thing", "sks, blue thing"]),
        ("append", ["sks, old, red thing", "sks, blue thing"]),
        ("keep", ["old", "sks, blue thing"]),
    ],
)
def test_captions_end_in_the_files_and_go_back_together(
    tmp_path: Path, mode: Mode, wanted: list[str]
) -> None:
    folder = tmp_path / "3_cat"
    put_text(put_image(folder / "a.png").with_suffix(".txt"), "old")
    put_image(folder / "b.png", colour="blue")
    put_image(folder / "c.png", colour="gray")
    history, tagger, job = History(folder, tmp_path / "store"), FakeTagger(), Job("captions", 3)
    captions = Captions(Wish(mode, trigger=("sks",)), listing_of(folder), history.do)
    result = tag_pictures(job, tagger, list(listing_of(folder).used), captions)
    texts = [listing_of(folder).pictures[name].text for name in ("a.png", "b.png", "c.png")]
    assert texts == [*wanted, "cat"]
    assert result == {"written": 1 if mode == "keep" else 2}
    assert job.notes == ["c.png: Too gray."]
    assert (job.done, tagger.is_open) == (3, False)
    history.undo()
    assert [path.name for path in folder.glob("*.txt")] == ["a.txt"]
    assert (folder / "a.txt").read_text(encoding="utf-8") == "old"


def test_a_job_can_be_stopped_and_a_second_one_waits() -> None:
    jobs = Jobs()

    def endless(job: Job) -> dict[str, Any]:
        while job.goes_on(job.done + 1):
            pass
        return {"seen": job.done > 0}

    job = jobs.start(Job("captions", 9), endless)
    with pytest.raises(DataError, match="already"):
        jobs.start(Job("captions", 9), endless)
    assert job.state == "running"
    job.stop()
    job.wait(30)
    assert (job.state, job.result) == ("stopped", {"seen": True})

    def broken(job: Job) -> dict[str, Any]:
        raise RuntimeError("out of memory")

    failed = jobs.start(Job("captions", 9), broken)
    failed.wait(30)
    assert (failed.state, failed.problem) == ("failed", "RuntimeError: out of memory")


def test_a_model_is_shown_white_around_and_blue_first() -> None:
    image = Image.new("RGB", (40, 20), (10, 20, 30))
    shown = prepared(image, 40)
    assert (shown.shape, shown.dtype) == ((40, 40, 3), numpy.float32)
    assert shown[20, 20].tolist() == [30, 20, 10]
    assert shown[9, 20].tolist() == shown[30, 20].tolist() == [255, 255, 255]
    assert prepared(image).shape == (448, 448, 3)


def test_models_are_found_with_what_they_lack(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put_text(tmp_path / name / "model.onnx", b"")
    put_tags(tmp_path / "one" / "selected_tags.csv", [("hat", "0"), ("someone", "4"), ("general", "9")])
    found = find_wd14([tmp_path, tmp_path / "one", tmp_path / "gone"])
    assert [(one.id, one.title) for one in found] == [("wd14:one", "one"), ("wd14:two", "two")]
    assert found[1].problem
    assert [category for _, category in read_tags(tmp_path / "one" / "selected_tags.csv")] == [
        "general",
        "character",
        "rating",
    ]
    with pytest.raises(FileError):
        read_tags(put_text(tmp_path / "bad.csv", "a,b\n1,2\n"))


def test_a_real_session_gives_its_answers(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    put_model(tmp_path)
    tagger = Wd14Tagger(tmp_path)
    assert tagger.problem == ""
    with tagger.open() as look:
        guesses = look(Image.new("RGB", (64, 64), (51, 102, 255)))
    assert [(one.text, one.category) for one in guesses] == [
        ("blue_thing", "general"),
        ("green", "character"),
        ("red", "rating"),
    ]
    assert [one.score for one in guesses] == pytest.approx([1.0, 0.4, 0.2])
    put_tags(tmp_path / "selected_tags.csv", [("blue", "0")])
    with tagger.open() as look, pytest.raises(FileError, match="does not belong"):
        look(Image.new("RGB", (64, 64)))
