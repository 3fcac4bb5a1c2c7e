"""What a user should know about the data before a run starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lib_lyco.train.data.order import Order
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.data.showings import Showings

_SHOWN = 5


class Note(str):
    """What a user should know, and the option that it is about."""

    option: str

    def __new__(cls, option: str, text: str) -> Note:
        made = super().__new__(cls, text)
        made.option = option
        return made


def caption_notes(records: Iterable[ImageRecord]) -> list[Note]:
    """Images whose caption is not their own, or that have none; see also `untagged`."""
    by_source: dict[str, list[ImageRecord]] = {}
    for record in records:
        by_source.setdefault(record.caption_source, []).append(record)
    notes: list[Note] = []
    if named := by_source.get("folder"):
        captions = Counter(record.caption for record in named)
        shown = ", ".join(f"{caption!r} ({count})" for caption, count in captions.most_common(_SHOWN))
        text = (
            f"{len(named)} images have no caption of their own; their folder's name or class tokens are "
            f"their caption: {shown}{', ...' if len(captions) > _SHOWN else ''}."
        )
        notes.append(Note("caption_extension", text))
    if untagged := by_source.get("none"):
        text = f"{len(untagged)} images have no caption at all: {_names(untagged)}."
        notes.append(Note("caption_extension", text))
    return notes


def transparency_notes(records: Iterable[ImageRecord]) -> list[Note]:
    """Images that may be transparent."""
    holed = [record for record in records if record.transparent and not record.subset.alpha_mask]
    if not holed:
        return []
    text = (
        f"{len(holed)} images have an alpha channel; where they are transparent, the background colour is "
        f"trained: {_names(holed)}."
    )
    return [Note("background", text)]


def regularisation_note(datasets: Sequence[Showings]) -> list[Note]:
    """What regularisation images make of the number of steps."""
    num_reg = sum(sum(one.repeats[one.num_training :]) for one in datasets)
    if not num_reg:
        return []
    text = (
        f"An epoch shows {num_reg} regularisation images, as many as training images: it is twice as long."
    )
    notes = [Note("reg_images", text)]
    if unused := sum(one.num_unused for one in datasets):
        text = f"{unused} regularisation images are more than that and never shown."
        notes.append(Note("reg_images", text))
    return notes


def bucket_notes(order: Order) -> list[Note]:
    """Buckets of one image, and buckets that never fill a batch."""
    notes: list[Note] = []
    images: Counter[tuple[int, int, int]] = Counter()
    for number, pool in enumerate(order.pools):
        images.update((number, *order.buckets[image]) for image in pool.images)
    alone = [(width, height) for (_, width, height), count in sorted(images.items()) if count == 1]
    if alone and len(images) > 1:
        text = f"Buckets of one image: {_sizes(alone)}. Crop them, or raise bucket_step."
        notes.append(Note("bucket_step", text))
    small: dict[int, list[tuple[int, int]]] = {}
    for (number, bucket), count in order.samples(0).items():
        size = order.pools[number].batch_size
        if count < size:
            small.setdefault(size, []).append(bucket)
    return notes + [
        Note("batch_size", f"Buckets that never fill a batch of {size}: {_sizes(buckets)}.")
        for size, buckets in small.items()
    ]


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    shown = ", ".join(f"{width}x{height}" for width, height in sizes[:_SHOWN])
    return shown + (", ..." if len(sizes) > _SHOWN else "")


def _names(records: Sequence[ImageRecord]) -> str:
    shown = ", ".join(record.path.name for record in records[:_SHOWN])
    return shown + (", ..." if len(records) > _SHOWN else "")
