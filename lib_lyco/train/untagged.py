"""Images without the caption that they were meant to have: what spoils trainings unnoticed.

A folder whose images have no caption files at all, and whose name has the words, is the DreamBooth method
and no mistake. These are: captions under another extension, some images of a folder left out, no text from
anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lib_lyco.errors import ConfigError
from lib_lyco.train.data.caption import EXTENSIONS
from lib_lyco.train.data.record import ImageRecord, Subset
from lib_lyco.train.plan import Plan

OPTION = "allow_untagged"
"""The option that says that it is meant."""
_OTHER_EXTENSIONS = (*EXTENSIONS, ".cap", ".tags", ".tag", ".text")
"""What caption files are called, read or not."""
_OWN = ("file", "metadata")
_NUMBERED = re.compile(r"\d+(?:\.\d+)?_(.*)", re.DOTALL)
_SHOWN = 5


@dataclass(frozen=True)
class _Gap:
    """A kind of mistake, and the images."""

    what: str
    """With {count} where their number stands."""
    remedy: str
    names: Sequence[str]

    @property
    def error(self) -> ConfigError:
        shown = ", ".join(self.names[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        remedy = f"{self.remedy} Or set {OPTION}, if it is meant."
        what = self.what.format(count=len(self.names))
        return ConfigError(what, where=OPTION, got=shown, remedy=remedy)


def demand_captions(plan: Plan) -> None:
    """Demands that images have captions where captions were meant.

    Raises:
        ConfigError: Some have none; `where` is the option that allows it.
    """
    counted = [subset for count in plan.datasets for subset in count.dataset.subsets]
    # further resolutions show the same folders again
    subsets = list({(subset.path, subset.options.regularisation): subset for subset in counted}.values())
    for gap in (_unread(subsets), _partial(subsets), _silent(subsets)):
        if gap.names:
            raise gap.error


def _unread(subsets: Iterable[Subset]) -> _Gap:
    names = [name for subset in subsets for name in _files_beside(subset)]
    return _Gap(
        "{count} images have no caption, but caption files of another extension beside them.",
        "Set caption_extension to theirs.",
        names,
    )


def _files_beside(subset: Subset) -> Iterator[str]:
    """Files that look like captions of images which have none."""
    without = [record for record in subset.records if record.caption_source not in _OWN]
    if subset.options.metadata_file or not without:
        return
    there = set(os.listdir(subset.path))
    for record in without:
        found = (record.path.stem + extension for extension in _OTHER_EXTENSIONS)
        yield from (f"{record.folder}/{name}" for name in found if name in there)


def _partial(subsets: Iterable[Subset]) -> _Gap:
    names: list[str] = []
    for subset in subsets:
        without = [record for record in subset.records if record.caption_source not in _OWN]
        if len(without) < len(subset.records) and not _has_chosen_words(subset):
            names += map(_name, without)
    return _Gap(
        "{count} images have no caption, though others in their folder have one.",
        "Write their captions, or take the images out.",
        names,
    )


def _silent(subsets: Iterable[Subset]) -> _Gap:
    names = [
        _name(record)
        for subset in subsets
        if not (subset.options.caption_prefix or subset.options.caption_suffix)
        for record in subset.records
        if record.caption_source == "none"
    ]
    return _Gap(
        "{count} images have no caption, and no folder's name or class_tokens in its place.",
        "Write captions, or name the folder like 10_sks dog.",
        names,
    )


def _has_chosen_words(subset: Subset) -> bool:
    """Whether the user named class tokens, not only the folder."""
    named = _NUMBERED.fullmatch(subset.path.name)
    tokens = subset.options.class_tokens
    return bool(tokens) and not (named and named[1].strip() == tokens)


def _name(record: ImageRecord) -> str:
    return f"{record.folder}/{record.path.name}"
