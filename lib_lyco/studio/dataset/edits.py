"""Changes of captions over a selection, and images that are put aside."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lib_lyco.errors import DataError, FileError
from lib_lyco.studio.dataset.entries import EntryTexts, Texts, change_of
from lib_lyco.studio.dataset.history import Change, Move, Step, Write
from lib_lyco.studio.dataset.listing import Listing
from lib_lyco.studio.dataset.picture import Picture
from lib_lyco.studio.dataset.tags import ChangeLine
from lib_lyco.train.data.caption import EXTENSIONS as CAPTION_EXTENSIONS
from lib_lyco.train.data.caption import decoded
from lib_lyco.train.data.folder import EXCLUDED
from lib_lyco.train.data.metadata_file import entry_text, read_entries


def new_group() -> str:
    """A name for steps that are taken back together."""
    return secrets.token_hex(4)


def caption_step(
    listing: Listing, pictures: Iterable[Picture], change: ChangeLine, label: str
) -> tuple[Step, list[str]]:
    """A step that changes captions, and the names of images whose captions cannot be read.

    An image without a caption gets one, from what training takes in its place; captions that stay the same
    are not written. Two images with one caption file have it changed once.
    """

    def changed(picture: Picture, own: str | None) -> str | None:
        told = picture.text if own is None else own
        text = listing.grammar.changed(told, change)
        return None if text.rstrip() == told.rstrip() else text

    changes, skipped = _changes(listing, pictures, changed)
    return Step(label, new_group(), changes), skipped


def text_step(listing: Listing, texts: Mapping[str, str], label: str, group: str = "") -> Step:
    """A step that writes captions anew, by the names of images; of one group if that is named.

    Raises:
        DataError: One of the old ones cannot be read, or there is no such image.
    """

    def changed(picture: Picture, own: str | None) -> str | None:
        text = texts[picture.name]
        return None if own is not None and own.rstrip() == text.rstrip() else text

    changes, skipped = _changes(listing, listing.chosen(list(texts)), changed)
    if skipped:
        raise DataError("A caption cannot be read.", where=skipped[0], remedy="Save its file as UTF-8.")
    return Step(label, group or new_group(), changes)


_Changed = Callable[[Picture, str | None], str | None]
"""The new text of an image's caption, of the one that it has now; None: it stays."""


def _changes(
    listing: Listing, pictures: Iterable[Picture], changed: _Changed
) -> tuple[Sequence[Change], list[str]]:
    if listing.metadata_file is not None:
        return _entry_changes(listing, listing.metadata_file, pictures, changed), []
    writes: list[Write] = []
    skipped: list[str] = []
    for path, picture in {picture.caption_file: picture for picture in pictures}.items():
        try:
            before = _content(path)
            after = changed(picture, None if before is None else decoded(before, path))
        except (DataError, FileError):
            skipped.append(picture.name)
            continue
        if after is not None:
            writes.append(Write(path, before, _as_file(after)))
    return writes, skipped


def _entry_changes(
    listing: Listing, file: Path, pictures: Iterable[Picture], changed: _Changed
) -> list[EntryTexts]:
    """One change of a metadata file, or none. Raises DataError if it cannot be read."""
    entries = dict(read_entries(file))
    before: dict[str, Texts] = {}
    after: dict[str, Texts] = {}
    for picture in pictures:
        entry, record = entries.get(picture.entry), picture.record
        if entry is None or record is None:
            continue  # it was removed meanwhile, or training would refuse it
        text = changed(picture, entry_text(file, picture.entry, entry, record.subset) or None)
        if text is not None:
            before[picture.entry], after[picture.entry] = change_of(entry, text.strip(), listing.grammar)
    return [EntryTexts(file, before, after)] if after else []


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


def _content(path: Path) -> bytes | None:
    """The bytes of a file; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError("A caption cannot be read.", where=str(path), got=str(error)) from error


def _as_file(text: str) -> bytes:
    """The text as it is written: UTF-8, with a line's end if there is a line."""
    text = text.rstrip()
    return f"{text}\n".encode() if text else b""
