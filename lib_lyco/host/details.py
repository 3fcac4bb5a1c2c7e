"""What there is to say of a network file: the table in its editor."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import cast

from lib_lyco.catalog.card import Card
from lib_lyco.files.hashes import short_hash
from lib_lyco.files.metadata import Value, read_value

_UNITS = ("bytes", "KB", "MB", "GB", "TB")
STATED: Mapping[str, str] = {
    "ss_output_name": "Trained as",
    "ss_sd_model_name": "Trained on",
    "ss_clip_skip": "Clip skip",
    "ss_network_module": "Trained with",
    "modelspec.author": "Author",
    "modelspec.license": "License",
}
"""Metadata's key -> what it is called."""
_MAX_RESOLUTIONS = 6


def details(card: Card, metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """Labels and texts, those without a text left out."""
    return [(label, text) for label, text in _all(card, metadata) if text]


def _all(card: Card, metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "File", f"{card.folder}/{card.path.name}"
    yield "Size", size_text(card.size)
    yield "Base model", card.family_title
    yield "Algorithm", f"{card.facts.algo}, rank {card.facts.rank}" if card.facts.rank else card.facts.algo
    yield "Hash", short_hash(card.hash) if card.hash else ""
    yield "Modified", time_text(card.modified)
    yield "Trained", time_text(card.trained)
    for key, label in STATED.items():
        text = metadata.get(key, "")
        yield label, "" if text == "None" else text
    images = sum(_count(folder, "img_count") for folder in _objects(metadata, "ss_dataset_dirs").values())
    yield "Images", str(images or "")
    yield "Resolutions", _resolutions(metadata)


def size_text(size: float) -> str:
    """A number of bytes for people."""
    place = 0
    while size >= 1024 and place < len(_UNITS) - 1:
        size, place = size / 1024, place + 1
    return f"{size:.1f} {_UNITS[place]}" if place else f"{size:.0f} {_UNITS[0]}"


def time_text(seconds: float | None) -> str:
    """A time in the server's zone; "" for none, and for what is no time of this world."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _resolutions(metadata: Mapping[str, str]) -> str:
    """Sizes of the training images, the commonest first: kohya's `ss_bucket_info`, or that of each of
    `ss_datasets`."""
    counts: Counter[str] = Counter()
    datasets = read_value("ss_datasets", metadata.get("ss_datasets", ""))
    listed = datasets if isinstance(datasets, list) else []
    told = [one.get("bucket_info") for one in listed if isinstance(one, dict)]
    for info in (_objects(metadata, "ss_bucket_info"), *told):
        buckets = info.get("buckets") if isinstance(info, dict) else None
        for bucket in buckets.values() if isinstance(buckets, dict) else ():
            size = bucket.get("resolution") if isinstance(bucket, dict) else None
            if isinstance(size, list) and len(size) == 2:
                counts[f"{size[0]}x{size[1]}"] += _count(bucket, "count")
    sizes = [size for size, _ in counts.most_common(_MAX_RESOLUTIONS)]
    return ", ".join(sizes) + (", ..." if len(counts) > len(sizes) else "")


def _objects(metadata: Mapping[str, str], key: str) -> dict[str, Value]:
    value = read_value(key, metadata.get(key, ""))
    return cast("dict[str, Value]", value) if isinstance(value, dict) else {}


def _count(value: Value, key: str) -> int:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, int) else 0
