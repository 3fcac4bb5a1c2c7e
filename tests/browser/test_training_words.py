"""What training and its tab say in made sentences is Japanese on a Japanese page."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page

from lib_lyco.naming.layer import Family
from lib_lyco.studio.simple import QUALITIES, SUBJECTS, Answers, Seen, choose_options
from lib_lyco.studio.telling import LOADING, WAITING, message, phase, sentence
from lib_lyco.train import events
from lib_lyco.train.data.record import CaptionSource, ImageRecord
from lib_lyco.train.notes import caption_notes, transparency_notes
from lib_lyco.train.options.subset import SubsetOptions
from lib_lyco.train.recovery import Change
from tests.architecture import ROOT
from tests.studio.test_japanese import SHOWN, shown_sentences

GB = 1 << 30
FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl")
ENGLISH = re.compile(r"[A-Za-z]{3,} [a-z]{3,}")
SOURCE = re.compile(
    r"（[^（）]*(?:wiki|article)）|(?:lyco|pip) [a-z]+|--device cpu|10_sks dog|\(weight decay\)"
)
"""What somebody else's text, a command or a folder is called."""
FILE = Path("cat-000002.safetensors")
CHANGES = (Change("precision", "bf16"), Change("caches", "memory"), Change("pass_size", 2))


def _events() -> Iterator[events.Event]:
    yield events.Caching(3, 24)
    yield events.Saved(FILE, 20, 2, "epoch")
    yield events.Paused(7, "The run was asked to pause.", "Let it go on, or stop it.")
    yield events.Resumed(7)
    for change in CHANGES:
        trouble = "There is not enough memory for a step."
        yield events.Recovered(9, trouble, ("one.png", "two.png"), 8, str(change))
    yield events.Validated(20, 2, 0.125)
    yield events.Sampled(Path("cat_20.png"), 20, "a cat")
    yield events.Sampled(Path("cat_20.png"), 20, "a cat", with_network=False)
    yield events.NotSampled(20, "There is not enough memory.")
    for stopped in (False, True):
        yield events.Finished(FILE, 40, 0.1, 12.0, stopped)


def _sentences() -> Iterator[str]:
    yield from (LOADING, WAITING, sentence(MemoryError()))
    for event in _events():
        yield from filter(None, (phase(event), (message(event) or ("", ""))[1]))
    for subject, quality, family in itertools.product(SUBJECTS, QUALITIES, FAMILIES):
        for seen in (
            Seen(),
            Seen(3, 3, tagged=False, memory=6 * GB, has_8bit=True),
            Seen(61, 610, memory=24 * GB),
        ):
            yield from (one.why for one in choose_options(Answers(subject, quality, family, "ohwx"), seen))
    sources: tuple[CaptionSource, ...] = ("folder", "none")
    records = [
        ImageRecord(
            Path(f"{source}.png"), (64, 64), "cat", source, "cat", SubsetOptions(), transparent=True
        )
        for source in sources
    ]
    yield from (*caption_notes(records), *transparency_notes(records))


def test_made_sentences_of_training_are_told_in_japanese(page: Page) -> None:
    texts = json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))
    page.evaluate("texts => { window.localization = texts; }", texts)
    sentences = sorted(set(_sentences()))
    told: list[str] = page.evaluate("sentences => sentences.map(lyco.sayMade)", sentences)
    assert len(told) > 50
    english = [
        (one, other)
        for one, other in zip(sentences, told, strict=True)
        if ENGLISH.search(SOURCE.sub("", other))
    ]
    assert english == []
    # what a sentence names, it names in Japanese too
    for one, other in zip(sentences, told, strict=True):
        assert [name for name in re.findall(r"[\w-]+\.\w{3,}", one) if name not in other] == [], other


@pytest.mark.parametrize("files", SHOWN)
def test_every_sentence_of_the_server_is_told_in_japanese(files: str, page: Page) -> None:
    texts = json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))
    page.evaluate("texts => { window.localization = texts; }", texts)
    sentences = sorted(one.replace("{}", "7") for one in shown_sentences(files))
    told: list[str] = page.evaluate("sentences => sentences.map(lyco.sayMade)", sentences)
    assert "\n".join(one for one in told if ENGLISH.search(SOURCE.sub("", one))) == ""
