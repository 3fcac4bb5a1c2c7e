"""What the page is told of a folder of images."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lib_lyco.studio.dataset.history import History
from lib_lyco.studio.dataset.listing import Listing, Picture
from lib_lyco.studio.dataset.tags import frequencies


def listing_json(listing: Listing, history: History) -> dict[str, Any]:
    """All of it."""
    return {
        "folder": str(listing.folder),
        "images": [picture_json(picture) for picture in listing.pictures.values()],
        "notes": list(listing.notes),
        **state_json(listing, history),
    }


def state_json(listing: Listing, history: History) -> dict[str, Any]:
    """What any change may change: frequencies of tags, buckets, what can be taken back."""
    used = list(listing.used)
    buckets = Counter(picture.placement.bucket for picture in used if picture.placement is not None)
    return {
        "tags": frequencies(picture.tags for picture in used),
        "buckets": [{"size": list(size), "images": count} for size, count in sorted(buckets.items())],
        "undo": history.undoes,
        "redo": history.redoes,
    }


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
