"""Changes of captions over a selection, and images that are put aside."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib_lyco.errors import DataError, FileError
from lib_lyco.studio.dataset.history import Move, Step, Write
from lib_lyco.studio.dataset.listing import Listing, Picture
from lib_lyco.studio.dataset.tags import ChangeLine
from lib_lyco.train.data.caption import EXTENSIONS as CAPTION_EXTENSIONS
from lib_lyco.train.data.caption import read_text
from lib_lyco.train.data.folder import EXCLUDED


def new_group() -> str:
    """A name for steps that are taken back together."""
    return secrets.token_hex(4)


def caption_step(
    listing: Listing, pictures: Iterable[Picture], change: ChangeLine, label: str
) -> tuple[Step, list[str]]:
    """A step that changes captions, and the names of images whose captions cannot be read.

    An image without a caption file gets one, from what training takes in its place; files whose captions
    stay the same are left as they are. Two images with one caption file have it changed once.
    """
    by_file = {picture.caption_file: picture for picture in pictures}
    writes: list[Write] = []
    skipped: list[str] = []
    for path, picture in by_file.items():
        try:
            before, text = _read(path)
        except (DataError, FileError):
            skipped.append(picture.name)
            continue
        told = picture.text if text is None else text
        changed = listing.grammar.changed(told, change)
        if changed.rstrip() != told.rstrip():
            writes.append(Write(path, before, _as_file(changed)))
    return Step(label, new_group(), writes), skipped


def text_step(picture: Picture, text: str) -> Step:
    """A step that writes a caption file anew.

    Raises:
        FileError: The old one cannot be read.
    """
    path = picture.caption_file
    before = path.read_bytes() if path.is_file() else None
    after = _as_file(text)
    same = before is not None and before.rstrip() == after.rstrip()
    changes = [] if same else [Write(path, before, after)]
    return Step(f"Caption of {picture.name}", new_group(), changes)


def exclusion_step(pictures: Sequence[Picture], listing: Listing, excluded: bool) -> Step:
    """A step that moves images, with captions that are theirs alone, into a folder that is not trained on,
    or back from it.

    Raises:
        DataError: There is another file of that name already.
    """
    moved = [picture for picture in pictures if picture.excluded != excluded]
    sharers = Counter(picture.path.with_suffix("") for picture in listing.pictures.values())
    captions = {
        folder: _captions(folder, moved[0].caption_file.suffix)
        for folder in {picture.path.parent for picture in moved}
    }
    moves: list[Move] = []
    for picture in moved:
        folder = picture.path.parent
        target = folder / EXCLUDED if excluded else folder.parent
        alone = sharers[picture.path.with_suffix("")] == 1
        files = [picture.path, *(captions[folder].get(picture.path.stem, []) if alone else [])]
        moves += [Move(path, target / path.name) for path in files]
    taken = next((move.to for move in moves if move.to.exists()), None)
    if taken is not None:
        raise DataError(
            "There is another file of that name.", where=str(taken), remedy="Rename one of them."
        )
    verb = "Leave out" if excluded else "Take back"
    return Step(f"{verb} {len(moved)} images", new_group(), moves)


def _captions(folder: Path, extension: str) -> dict[str, list[Path]]:
    """A folder's caption files by their name without extension."""
    ends = {extension.lower(), *CAPTION_EXTENSIONS}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ends:
            found.setdefault(path.stem, []).append(path)
    return found


def _read(path: Path) -> tuple[bytes | None, str | None]:
    """The bytes of a caption file and what they say; None if there is none."""
    if not path.is_file():
        return None, None
    text = read_text(path)
    return path.read_bytes(), text


def _as_file(text: str) -> bytes:
    """The text as it is written: UTF-8, with a line's end if there is a line."""
    text = text.rstrip()
    return f"{text}\n".encode() if text else b""
