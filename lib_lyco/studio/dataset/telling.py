"""What the page is told of a folder of images: all of it, or what is another than it knows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from lib_lyco.studio.dataset.history import History
from lib_lyco.studio.dataset.listing import Listing
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.tags import ordered


@dataclass(frozen=True)
class Told:
    """What a page knows: a listing, and the mark by which the page names it."""

    mark: str
    listing: Listing


def tell(listing: Listing, history: History, seen: Told | None = None) -> tuple[Told, dict[str, Any]]:
    """What the page knows from now on, and what it has to be told for that.

    Args:
        listing: What is there.
        history: What can be taken back.
        seen: What the page knows; None where that is not known here.
    """
    told = Told(token_hex(6), listing)
    buckets = Counter(one.placement.bucket for one in listing.used if one.placement is not None)
    state = {
        "mark": told.mark,
        "folder": str(listing.folder),
        "metadata_file": str(listing.metadata_file or ""),
        "notes": list(listing.notes),
        "buckets": [{"size": list(size), "images": count} for size, count in sorted(buckets.items())],
        "undo": history.undoes,
        "redo": history.redoes,
    }
    if seen is None or seen.listing.folder != listing.folder:
        images = [picture_json(picture) for picture in listing.pictures.values()]
        return told, {**state, "images": images, "tags": ordered(listing.counts)}
    return told, {**state, "since": seen.mark, **_difference(seen.listing, listing)}


def _difference(old: Listing, new: Listing) -> dict[str, Any]:
    """`images` that are new or have changed, with what has changed of them; `tags` with other counts, 0 for
    those that are gone; `names` of all images, where they are not those of before."""
    images = [
        _changes(old.pictures.get(picture.name), picture)
        for picture in new.pictures.values()
        if picture is not old.pictures.get(picture.name)
    ]
    tags = [(tag, new.counts[tag]) for tag in old.counts | new.counts if old.counts[tag] != new.counts[tag]]
    difference: dict[str, Any] = {"images": [one for one in images if len(one) > 1], "tags": tags}
    if list(old.pictures) != list(new.pictures):
        difference["names"] = list(new.pictures)
    return difference


def _changes(old: Picture | None, new: Picture) -> dict[str, Any]:
    known = {} if old is None else picture_json(old)
    told = {name: value for name, value in picture_json(new).items() if known.get(name, ...) != value}
    return {"name": new.name, **told}


def picture_json(picture: Picture) -> dict[str, Any]:
    """One image."""
    record, placement = picture.record, picture.placement
    return {
        "name": picture.name,
        "key": picture.key,
        "size": list(record.size) if record else None,
        "tags": list(picture.tags),
        "text": picture.text,
        "source": record.caption_source if record else "none",
        "bucket": list(placement.bucket) if placement else None,
        "resized": list(placement.resized) if placement else None,
        "corner": list(placement.centre) if placement else None,
        "repeats": picture.repeats,
        "transparent": bool(record and record.transparent),
        "excluded": picture.excluded,
        "mask": picture.mask,
        "problem": picture.problem,
        "advice": picture.advice,
    }
