"""Simple's answers make configs that work, and lengths that are what they say."""

from __future__ import annotations

import itertools

import pytest

from lib_lyco.naming.layer import Family
from lib_lyco.studio.simple import QUALITIES, SUBJECTS, Answers, Seen, choose_options, look_at
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.option import declarations

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl")
GB = 1 << 30


def _config(answers: Answers, seen: Seen) -> TrainConfig:
    return make_config({one.option: one.value for one in choose_options(answers, seen)})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_combination_makes_a_config_with_a_reason_for_each_value(family: Family) -> None:
    for subject, quality in itertools.product(SUBJECTS, QUALITIES):
        for seen in (
            Seen(),
            Seen(3, 3, tagged=False, memory=6 * GB, has_8bit=True),
            Seen(24, 24, memory=8 * GB),
            Seen(61, 610, memory=24 * GB),
            Seen(5000, 5000, memory=12 * GB),
        ):
            answers = Answers(subject, quality, family, "ohwx cat")
            choices = choose_options(answers, seen)
            config = _config(answers, seen)
            assert all(one.why for one in choices)
            names = [one.option for one in choices]
            assert len(set(names)) == len(names)
            # a value that is the default's would be no choice, but that it depends on what was seen
            assert set(names) <= {one.name for one in declarations(type(config))}


def test_24_images_are_shown_as_often_as_was_reckoned_by_hand() -> None:
    config = _config(Answers("character", "balanced"), Seen(24, 24, memory=8 * GB))
    # 2000 showings / (24 images x 8 epochs) = 10.4
    assert (config.repeats, config.epochs, config.batch_size) == (10, 8, 2)


def test_many_images_get_fewer_epochs() -> None:
    config = _config(Answers("style", "balanced"), Seen(1000, 1000))
    assert (config.repeats, config.epochs) == (1, 2)


def test_repeats_in_folder_names_stay() -> None:
    config = _config(Answers("character", "balanced"), Seen(20, 200))
    assert (config.repeats, config.epochs) == (None, 10)


def test_the_trigger_word_is_put_in_front_once() -> None:
    answers = Answers("character", "quick", trigger="ohwx, cat")
    without, with_it = _config(answers, Seen(3, 3)), _config(answers, Seen(3, 3, triggered=True))
    assert (without.caption_prefix, without.keep_tokens) == ("ohwx, cat,", 2)
    assert with_it.caption_prefix == ""


@pytest.mark.parametrize(
    ("captions", "trigger", "expected"),
    [
        (["a, b, c", "d, e, f"], "a", (True, False)),
        (["ohwx, b, c", "b, OHWX, f"], "ohwx", (True, True)),
        (["A cat sits there, and looks.", "A dog."], "", (False, False)),
        ([], "ohwx", (True, False)),
        (["ohwx, b, c", ""], "ohwx", (True, False)),
    ],
)
def test_captions_are_looked_at(captions: list[str], trigger: str, expected: tuple[bool, bool]) -> None:
    assert look_at(captions, trigger) == expected
