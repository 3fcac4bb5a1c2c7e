"""Words that make a network act, as far as the captions it was trained on tell.

kohya's trainer counts in `ss_tag_frequency`, for each folder of images, in how many captions each tag
stands: `{"10_cat": {"sks cat": 24, "grass": 7}}`; `ss_dataset_dirs` has the number of images of each
folder (sd-scripts, `train_util.py`, `set_tag_frequency`). A tag that nearly all captions of a folder
have is what was trained there. So each folder gives one set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, cast

from lib_lyco.files.metadata import Value, read_value

_SHARE = 0.8
"""Of a folder's captions that a trigger stands in."""
_MAX_WORDS = 8
_MAX_SETS = 32
_MAX_CHARS = 120
_SENTENCE = 16
"""From this mean length on the "tags" are sentences, and their words are counted: as the builtin does."""
_REPEATS = re.compile(r"\d+_(?=.)")
_WORD = re.compile(r"[-_\w']{3,}")


class TriggerSet(NamedTuple):
    """Words to write into the prompt together."""

    name: str
    """Where they come from: a folder's name, or "" where there is but one."""
    words: tuple[str, ...]


def trigger_sets(metadata: Mapping[str, str]) -> tuple[TriggerSet, ...]:
    """The sets that a file's metadata suggests; ModelSpec's `trigger_phrase` is the first."""
    found: list[TriggerSet] = []
    phrase = metadata.get("modelspec.trigger_phrase", "")
    if phrase.strip():
        found.append(TriggerSet("", split_words(phrase)))
    images = _images_by_folder(metadata)
    for folder, counts in _counts_by_folder(metadata).items():
        words = _most(counts, images.get(folder, 0))
        if words:
            found.append(TriggerSet(_REPEATS.sub("", folder, count=1), words))
    return without_repeats(found)


def written_sets(text: str) -> tuple[TriggerSet, ...]:
    """The sets in a user's activation text: one for each line."""
    return tuple(TriggerSet("", words) for line in text.splitlines() if (words := split_words(line)))


def without_repeats(sets: list[TriggerSet]) -> tuple[TriggerSet, ...]:
    """The same, of sets with equal words the first alone."""
    first: dict[tuple[str, ...], TriggerSet] = {}
    for one in sets:
        first.setdefault(one.words, one)
    return tuple(first.values())[:_MAX_SETS]


def tag_counts(metadata: Mapping[str, str]) -> list[tuple[str, int]]:
    """Each tag of the captions with its count over all folders, the most frequent first.

    Where captions are sentences, their words count, as in the builtin's editor.
    """
    total: Counter[str] = Counter()
    for counts in _counts_by_folder(metadata).values():
        total.update(counts)
    if total and sum(map(len, total)) >= _SENTENCE * len(total):
        words: Counter[str] = Counter()
        for text, count in total.items():
            for word in _WORD.findall(text):
                words[word] += count
        total = words
    return total.most_common()


def split_words(text: str) -> tuple[str, ...]:
    """What stands between the commas."""
    return tuple(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def _most(counts: Mapping[str, int], num_images: int) -> tuple[str, ...]:
    """The tags in nearly all captions, the most frequent first; none where one image proves nothing."""
    most = num_images or max(counts.values(), default=0)
    if most < 2:
        return ()
    words = [tag for tag, count in counts.items() if count >= _SHARE * most and len(tag) <= _MAX_CHARS]
    return tuple(sorted(words, key=lambda tag: -counts[tag])[:_MAX_WORDS])


def _counts_by_folder(metadata: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Folder -> tag -> captions, without folders of regularisation images."""
    images = _object(metadata, "ss_dataset_dirs")
    regularisation = _object(metadata, "ss_reg_dataset_dirs").keys() - images.keys()
    folders: dict[str, dict[str, int]] = {}
    for folder, tags in _object(metadata, "ss_tag_frequency").items():
        if folder in regularisation or not isinstance(tags, dict):
            continue
        counts = folders[folder] = dict[str, int]()
        for tag, count in tags.items():
            if isinstance(count, int) and count > 0 and (word := tag.strip()):
                counts[word] = counts.get(word, 0) + count
    return folders


def _images_by_folder(metadata: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder, facts in _object(metadata, "ss_dataset_dirs").items():
        count = facts.get("img_count") if isinstance(facts, dict) else None
        if isinstance(count, int):
            found[folder] = count
    return found


def _object(metadata: Mapping[str, str], key: str) -> dict[str, Value]:
    value = read_value(key, metadata.get(key, ""))
    return cast("dict[str, Value]", value) if isinstance(value, dict) else {}
