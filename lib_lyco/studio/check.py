"""What keeps a run from starting, and what should be known before it does; each with its field."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lib_lyco.errors import LycoError, one_line
from lib_lyco.studio.dataset.duplicates import LOOK_SIDE, alike, look_of, same_files
from lib_lyco.studio.form import Installed, install_command, is_installed
from lib_lyco.studio.outlook import Outlook, size
from lib_lyco.studio.simple import look_at
from lib_lyco.studio.workplace import Base
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.image import parse_colour, read_picture
from lib_lyco.train.forecast.content import DataForecast, ImageLine
from lib_lyco.train.optimisers import find_recipe
from lib_lyco.train.sample_prompts import Picture, read_prompts
from lib_lyco.train.untagged import OPTION as UNTAGGED

Level = Literal["blocks", "advice"]
_FEW_SAMPLES, _MANY_SAMPLES = 200, 20_000
"""Showings of images between which runs usually are (the documents': 400 to 15,680)."""
_SMALL = 0.5
"""An image of less than this share of the trained area is enlarged to where it blurs."""
_NAMED = 3
_LOOKED_AT = 150
"""Images: some seconds' work."""
_STATE_COPIES = 4
"""A resume state has float32 weights and two averages of them, where the file has half of one's size."""
_DATASET_FIELDS = frozenset((UNTAGGED, "caption_extension", "background"))
"""Options whose problems are mended at the images."""


@dataclass(frozen=True)
class Problem:
    """Something to mend, or to know."""

    level: Level
    text: str
    field: str
    """The option."""
    section: str = "form"
    """Where in the tab it is mended: form or dataset."""
    confirm: str = ""
    """The option that says that it is meant, if there is one."""


@dataclass(frozen=True)
class Case:
    """What is checked."""

    config: TrainConfig
    base: Base | None
    """None where none of the offered ones is meant."""
    outlook: Outlook
    trigger: str = ""


def check_run(case: Case, installed: Installed = is_installed) -> list[Problem]:
    """Everything about a run that can be known before it, what blocks first."""
    parts: tuple[Callable[[], Iterable[Problem]], ...] = (
        lambda: _base(case),
        lambda: _told(case.outlook),
        lambda: _output(case),
        lambda: _packages(case.config, installed),
        lambda: _samples(case.config),
        lambda: _images(case),
    )
    found = list(dict.fromkeys(problem for part in parts for problem in part()))
    return sorted(found, key=lambda one: one.level != "blocks")


def refused(error: LycoError) -> Problem:
    """The problem of options that make no config."""
    return Problem("blocks", one_line(error, where=False), error.where)


def _base(case: Case) -> Iterator[Problem]:
    named = case.config.base_model
    if case.base is None:
        if not Path(named).exists():
            yield Problem("blocks", f"There is no base model {named}.", "base_model")
    elif case.base.problem:
        yield Problem("blocks", case.base.problem, "base_model")
    elif any(one.option == "base_family" for one in case.outlook.remarks):
        return  # told there
    elif case.base.family and case.config.base_family not in ("auto", case.base.family):
        text = f"The base model is {case.base.family}, but {case.config.base_family} is expected."
        yield Problem("blocks", text, "base_family")


def _told(outlook: Outlook) -> Iterator[Problem]:
    for remark in outlook.remarks:
        section = "dataset" if remark.option in _DATASET_FIELDS else "form"
        level = "blocks" if remark.severity == "error" else "advice"
        confirm = remark.option if remark.option == UNTAGGED else ""
        yield Problem(level, remark.text, remark.option, section, confirm)


def _output(case: Case) -> Iterator[Problem]:
    config, outlook = case.config, case.outlook
    folder = Path(config.output).expanduser().absolute()
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not there.is_dir():
        yield Problem("blocks", f"The output folder cannot be made: {there} is a file.", "output")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Problem("blocks", f"The output folder cannot be written: {there}.", "output")
    else:
        free = shutil.disk_usage(there).free
        needed = _needed(config, outlook)
        if free < needed:
            text = f"The disk is too full: the run writes about {size(needed)}, {size(free)} are free."
            yield Problem("blocks", text, "output")
    if not config.overwrite and not config.resume and (folder / f"{config.name}.safetensors").exists():
        text = f"There is a network {config.name} already. Choose another name, or let it be replaced."
        yield Problem("blocks", text, "name")


def _needed(config: TrainConfig, outlook: Outlook) -> int:
    """Bytes that a run writes, at most: its files and its resume states."""
    if outlook.file is None or outlook.data is None:
        return 0
    steps, epochs = outlook.data.total_steps, outlook.data.epochs
    saves = 1
    if config.save_every_n_epochs:
        saves += min(epochs // config.save_every_n_epochs, config.save_last_n_epochs or epochs)
    if config.save_every_n_steps:
        saves += steps // config.save_every_n_steps
    states = saves if config.save_state else min(saves, config.keep_states)
    return outlook.file * (saves + 2 * _STATE_COPIES * states)


def _packages(config: TrainConfig, installed: Installed) -> Iterator[Problem]:
    try:
        recipe = find_recipe(config.optimizer_type)
    except LycoError as error:
        yield refused(error)
        return
    if recipe.package and not recipe.instead and not installed(recipe.module.split(".")[0]):
        text = (
            f"{config.optimizer_type} is not installed. Install it with: {install_command(recipe.package)}"
        )
        yield Problem("blocks", text, "optimizer_type")
    loggers = {"all": ("tensorboard", "wandb"), "none": ()}.get(config.log_with, (config.log_with,))
    lacking = [one for one in loggers if not installed(one)]
    if lacking:
        text = f"{' and '.join(lacking)} cannot be imported. Install with: {install_command(*lacking)}"
        yield Problem("blocks", text, "log_with")


def _samples(config: TrainConfig) -> Iterator[Problem]:
    if not config.sample_prompts:
        return
    try:
        prompts = read_prompts(Path(config.sample_prompts), Picture(""))
    except LycoError as error:
        yield Problem("blocks", one_line(error), "sample_prompts")
        return
    if not (config.sample_every_n_epochs or config.sample_every_n_steps or config.sample_at_first):
        yield Problem("advice", "Sample prompts are never drawn.", "sample_every_n_epochs")
    elif not prompts:
        yield Problem("advice", "There is no sample prompt in the file.", "sample_prompts")


def _images(case: Case) -> Iterator[Problem]:
    data = case.outlook.data
    if data is None:
        return
    lines = [one for one in data.images if not one.regularisation]
    yield from _length(data)
    small = [one for one in lines if _area(one.size) < _SMALL * _area(one.bucket)]
    if small and case.config.bucket_upscale:
        text = f"{len(small)} images are small, and blur at the size trained: {_names(small)}."
        yield Problem("advice", text, "images", "dataset")
    yield from _doubles(case.config, list({one.path: one for one in lines}.values()))
    yield from _trigger(case, lines)
    thin = sum(one.smallest_batch < case.config.batch_size for one in data.buckets)
    if thin > 1 and case.config.batch_size > 1:
        text = f"{thin} of {len(data.buckets)} buckets end in a batch that is not full."
        yield Problem("advice", text, "bucket_step")


def _length(data: DataForecast) -> Iterator[Problem]:
    samples = round(sum(one.repeats for one in data.images) * data.epochs)
    if samples < _FEW_SAMPLES:
        text = f"Images are shown {samples} times in all. Below {_FEW_SAMPLES} little is learned."
        yield Problem("advice", text, "epochs")
    if samples > _MANY_SAMPLES:
        text = f"Images are shown {samples} times in all. Above {_MANY_SAMPLES} they are learned by heart."
        yield Problem("advice", text, "epochs")


def _trigger(case: Case, lines: Sequence[ImageLine]) -> Iterator[Problem]:
    word = case.trigger.strip().casefold()
    if not word or word in case.config.caption_prefix.casefold():
        return
    without = [one for one in lines if word not in one.caption.casefold()]
    if without and not look_at([one.caption for one in lines], word)[1]:
        text = f"The trigger word is not in the captions of {len(without)} images: {_names(without)}."
        yield Problem("advice", text, "caption_prefix", "dataset")


def _doubles(config: TrainConfig, lines: Sequence[ImageLine]) -> Iterator[Problem]:
    """Files with the same bytes, and images that nearly look the same; of many, only the first ones are
    looked at, since all would take long."""
    same = [index for group in same_files([Path(one.path) for one in lines]) for index in group[1:]]
    if same:
        text = f"{len(same)} images are copies of others: {_names([lines[index] for index in same])}."
        yield Problem("advice", text, "images", "dataset")
    seen = [one for index, one in enumerate(lines[:_LOOKED_AT]) if index not in same]
    background = parse_colour(config.background)
    looks = [look_of(read_picture(Path(one.path), background, draft=LOOK_SIDE).image) for one in seen]
    near = [seen[index] for group in alike(looks) for index in group[1:]]
    if near:
        text = f"{len(near)} images show nearly the same as others: {_names(near)}."
        yield Problem("advice", text, "images", "dataset")


def _area(sides: tuple[int, int]) -> int:
    return sides[0] * sides[1]


def _names(lines: Sequence[ImageLine]) -> str:
    names = ", ".join(Path(one.path).name for one in lines[:_NAMED])
    rest = len(lines) - _NAMED
    return f"{names} and {rest} more" if rest > 0 else names
