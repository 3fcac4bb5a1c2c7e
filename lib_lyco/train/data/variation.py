"""What becomes of a caption when an image is shown: dropouts, wildcards, shuffled tags.

The steps and their order are those of sd-scripts (`BaseDataset.process_caption`). Three things are
mended: prefix and suffix go on every line of a caption of several lines, not on its ends; the separator
of kept tags never stays in the text; tags in brackets stay together where brackets weigh.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lib_lyco.models.emphasis import split_outside_brackets
from lib_lyco.train.data.order import Sample
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.options.captions import SubsetCaptions
from lib_lyco.train.seed import derived_seed

_WILDCARD = re.compile(r"\{([^}]+)\}")
_ESCAPED = (("{{", "\x02", "{"), ("}}", "\x03", "}"))
"""How a brace is written that is no wildcard's, what stands for it meanwhile, and what it becomes."""


@dataclass(frozen=True)
class Caption:
    """What the text encoders read for one sample."""

    first: str
    second: str
    """For SDXL's second text encoder."""
    lasting: bool = True
    """Whether the text may come again, so that its conds are worth keeping."""


@dataclass(frozen=True)
class Variations:
    """The captions of a run's samples: each a function of the seed, the sample and the step."""

    records: Sequence[ImageRecord]
    seed: int
    total_steps: int
    weighted: bool = False
    """Whether brackets weigh; tags inside one then stay together."""

    def caption(self, sample: Sample, step: int) -> Caption:
        """The caption of a sample that is shown when `step` updates are done."""
        record = self.records[sample.image]
        options = record.subset
        chance = random.Random(
            derived_seed("caption", self.seed, sample.epoch, sample.image, sample.repeat)
        )
        text = self._text(record.caption, options, chance, sample.epoch + 1, step)
        first = "" if chance.random() < options.caption_dropout_rate_te1 else text
        second = "" if chance.random() < options.caption_dropout_rate_te2 else text
        return Caption(first, second, lasting=not varies(options))

    @property
    def foretold(self) -> bool:
        """Whether `lasting` has every caption that a sample may have."""
        return not any(varies(record.subset) for record in self.records)

    def lasting(self) -> Iterator[Caption]:
        """The captions that may come again, some of them several times."""
        for record in self.records:
            options = record.subset
            if varies(options):
                continue
            text = self._shown(record.caption, options, random.Random(0), 0)
            firsts = (text, "") if options.caption_dropout_rate_te1 else (text,)
            seconds = (text, "") if options.caption_dropout_rate_te2 else (text,)
            yield from (Caption(first, second) for first in firsts for second in seconds)
            if options.caption_dropout_rate or options.caption_dropout_every_n_epochs:
                yield Caption("", "")

    def _text(
        self, caption: str, options: SubsetCaptions, chance: random.Random, epoch: int, step: int
    ) -> str:
        dropped = chance.random() < options.caption_dropout_rate
        every = options.caption_dropout_every_n_epochs
        if dropped or (every and epoch % every == 0):
            return ""
        return self._shown(caption, options, chance, step)

    def _shown(self, caption: str, options: SubsetCaptions, chance: random.Random, step: int) -> str:
        """A caption that is not dropped."""
        lines = [with_ends(line, options) for line in caption.split("\n")]
        line = chosen(lines, chance) if options.enable_wildcard else lines[0]
        marked = options.keep_tokens_separator and options.keep_tokens_separator in line
        if marked or _rearranges(options):
            fixed, loose, end = _tags(line, options, self.weighted)
            loose = loose[: self._num_tags(len(loose), options, step)]
            if options.shuffle_caption:
                chance.shuffle(loose)
            rate, spared = options.caption_tag_dropout_rate, options.tag_dropout_keep
            # drawn for all tags, so that others fall alike whichever are spared
            loose = [tag for tag in loose if chance.random() >= rate or _is_one_of(tag, spared)]
            line = ", ".join([*fixed, *loose, *end])
        if options.secondary_separator:
            line = line.replace(options.secondary_separator, options.caption_separator)
        return line

    def _num_tags(self, count: int, options: SubsetCaptions, step: int) -> int:
        """How many of the tags that are not kept are shown: from `token_warmup_min` to all of them."""
        warmup, least = options.token_warmup_step, options.token_warmup_min
        if warmup < 1:
            warmup = math.floor(warmup * self.total_steps)
        if step >= warmup:
            return count
        return max(0, math.floor(step * ((count - least) / warmup)) + least)


def varies(options: SubsetCaptions) -> bool:
    """Whether a caption of the subset may become texts that cannot be foretold, so that none of them is
    worth keeping. A dropout of the whole caption only adds the empty one."""
    return _rearranges(options) or options.enable_wildcard


def _is_one_of(tag: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(tag.lower(), pattern.lower()) for pattern in patterns)


def _rearranges(options: SubsetCaptions) -> bool:
    return options.shuffle_caption or options.token_warmup_step > 0 or options.caption_tag_dropout_rate > 0


def with_ends(line: str, options: SubsetCaptions) -> str:
    """The line with the subset's prefix and suffix."""
    return " ".join(part for part in (options.caption_prefix, line, options.caption_suffix) if part)


def chosen(lines: Sequence[str], chance: random.Random) -> str:
    """One of the lines, with one of the alternatives of each `{a|b}` in it; `{{` and `}}` are braces."""
    line = chance.choice(lines)
    for written, meanwhile, _ in _ESCAPED:
        line = line.replace(written, meanwhile)
    line = _WILDCARD.sub(lambda found: chance.choice(found[1].split("|")), line)
    for _, meanwhile, meant in _ESCAPED:
        line = line.replace(meanwhile, meant)
    return line


def _tags(line: str, options: SubsetCaptions, weighted: bool) -> tuple[list[str], list[str], list[str]]:
    """The tags that stay in front, those that may change, and those that stay at the end."""

    def split(text: str) -> list[str]:
        separator = options.caption_separator
        parts = split_outside_brackets(text, separator) if weighted else text.split(separator)
        return [part.strip() for part in parts]

    mark = options.keep_tokens_separator
    if mark and mark in line:
        front, loose, *rest = line.split(mark, 2)
        parts = (front, loose, rest[0] if rest else "")
        fixed, others, end = ([tag for tag in split(part) if tag] for part in parts)
        return fixed, others, end
    tags = split(line.strip())
    return tags[: options.keep_tokens], tags[options.keep_tokens :], []
