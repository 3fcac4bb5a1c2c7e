"""What the editor writes is what training reads, and undo gives back every byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lyco.errors import DataError, FileError
from lib_lyco.studio.dataset import history as history_module
from lib_lyco.studio.dataset.actions import Context, edit_of
from lib_lyco.studio.dataset.edits import caption_step, exclusion_step, text_step
from lib_lyco.studio.dataset.history import History, Write
from lib_lyco.studio.dataset.tags import Grammar
from lib_lyco.train.data.folder import scan_folder
from lib_lyco.train.options.subset import SubsetOptions
from tests.studio.dataset.pictures import listing_of, put_image, put_text


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def captions(folder: Path) -> dict[str, str]:
    """As the training core reads them."""
    return {one.path.name: one.caption for one in scan_folder(folder, SubsetOptions()).records}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Captions of every kind in a numbered folder."""
    folder = tmp_path / "2_cat"
    for name in ("utf8", "bom", "utf16", "caption", "none", "empty", "lines"):
        put_image(folder / f"{name}.png")
    put_text(folder / "utf8.txt", b"hat,  sky\r\n")
    put_text(folder / "bom.txt", b"\xef\xbb\xbfhat, sky")
    put_text(folder / "utf16.txt", "hat, 空".encode("utf-16"))
    put_text(folder / "caption.caption", "sky, hat")
    put_text(folder / "empty.txt", "")
    put_text(folder / "lines.txt", "hat\nsecond line\n")
    return folder


def edit(folder: Path, store: Path, action: str, **body: object) -> list[str]:
    """Does something to all captions."""
    listing = listing_of(folder)
    change, label = edit_of(action, body, Context(Grammar()))
    step, skipped = caption_step(listing, listing.pictures.values(), change, label)
    History(folder, store).do(step)
    return skipped


def test_training_reads_what_was_written(folder: Path, tmp_path: Path) -> None:
    assert edit(folder, tmp_path / "store", "add", tags=["smile"]) == []
    assert captions(folder) == {
        "utf8.png": "hat, sky, smile",
        "bom.png": "hat, sky, smile",
        "utf16.png": "hat, 空, smile",
        "caption.png": "sky, hat, smile",
        "none.png": "cat, smile",
        "empty.png": "smile",
        "lines.png": "hat, smile",
    }
    assert (folder / "lines.txt").read_text(encoding="utf-8") == "hat, smile\nsecond line\n"


def test_undo_and_redo_are_exact_after_a_restart_too(folder: Path, tmp_path: Path) -> None:
    states = [snapshot(folder)]
    for action, tags in (("add", ["smile"]), ("remove", ["hat", "cat"]), ("trigger", ["sks"])):
        edit(folder, tmp_path / "store", action, tags=tags)
        states.append(snapshot(folder))
    assert len({repr(state) for state in states}) == 4
    for state in reversed(states[:-1]):
        History(folder, tmp_path / "store").undo()
        assert snapshot(folder) == state
    assert History(folder, tmp_path / "store").undoes == ""
    for state in states[1:]:
        History(folder, tmp_path / "store").redo()
        assert snapshot(folder) == state
    History(folder, tmp_path / "store").undo()
    edit(folder, tmp_path / "store", "sort")
    assert History(folder, tmp_path / "store").redoes == ""


def test_captions_that_stay_the_same_are_not_written(folder: Path, tmp_path: Path) -> None:
    before = snapshot(folder)
    edit(folder, tmp_path / "store", "remove", tags=["nowhere"])
    assert snapshot(folder) == before
    assert History(folder, tmp_path / "store").undoes == ""


def test_what_somebody_else_wrote_is_not_taken_back(folder: Path, tmp_path: Path) -> None:
    edit(folder, tmp_path / "store", "add", tags=["smile"])
    put_text(folder / "bom.txt", "newer")
    now = snapshot(folder)
    with pytest.raises(DataError, match="meanwhile"):
        History(folder, tmp_path / "store").undo()
    assert snapshot(folder) == now


def test_a_failure_in_the_midst_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, written = snapshot(folder), list[str]()

    def full_disk(path: Path, data: bytes) -> None:
        if path.suffix == ".txt":
            written.append(path.name)
            if path.name == "none.txt":
                raise FileError("The disk is full.")
        Path(path).write_bytes(data)

    monkeypatch.setattr(history_module, "replace_file", full_disk)
    with pytest.raises(FileError, match="full"):
        edit(folder, tmp_path / "store", "add", tags=["smile"])
    assert len(written) > 3
    assert snapshot(folder) == before
    assert History(folder, tmp_path / "store").undoes == ""


def test_a_step_that_was_cut_off_is_mended_by_undo(folder: Path, tmp_path: Path) -> None:
    before = snapshot(folder)
    listing = listing_of(folder)
    change, label = edit_of("add", {"tags": ["smile"]}, Context(Grammar()))
    step, _ = caption_step(listing, listing.pictures.values(), change, label)
    History(folder, tmp_path / "store").do(step)
    half = step.changes[0]
    assert isinstance(half, Write) and half.before is not None
    half.path.write_bytes(half.before)
    History(folder, tmp_path / "store").undo()
    assert snapshot(folder) == before


def test_steps_of_one_group_go_together(folder: Path, tmp_path: Path) -> None:
    before, history = snapshot(folder), History(folder, tmp_path / "store")
    for name in ("utf8.png", "bom.png", "none.png"):
        history.do(text_step(listing_of(folder), {name: "new"}, "Captions by x", "group"))
    assert captions(folder)["none.png"] == "new"
    history.undo()
    assert snapshot(folder) == before
    history.redo()
    assert captions(folder)["utf8.png"] == "new"


def test_two_images_with_one_caption_file_have_it_changed_once(tmp_path: Path) -> None:
    put_image(tmp_path / "images" / "a.png")
    put_image(tmp_path / "images" / "a.jpg")
    put_text(tmp_path / "images" / "a.txt", "x")
    edit(tmp_path / "images", tmp_path / "store", "find", **{"find": "x", "with": "xx"})
    assert set(captions(tmp_path / "images").values()) == {"xx"}


def test_a_caption_that_cannot_be_read_is_skipped_and_kept(folder: Path, tmp_path: Path) -> None:
    raw = "猫の写真".encode("cp932")
    put_text(folder / "utf8.txt", raw)
    assert edit(folder, tmp_path / "store", "add", tags=["smile"]) == ["utf8.png"]
    assert (folder / "utf8.txt").read_bytes() == raw


def test_excluded_images_go_with_their_captions_and_come_back(folder: Path, tmp_path: Path) -> None:
    before, history = snapshot(folder), History(folder, tmp_path / "store")
    put_image(folder / "lines.jpg")
    listing = listing_of(folder)
    chosen = listing.chosen(["utf8.png", "lines.png", "none.png"])
    history.do(exclusion_step(chosen, listing, excluded=True))
    assert sorted(path.name for path in (folder / "excluded").iterdir()) == [
        "lines.png",
        "none.png",
        "utf8.png",
        "utf8.txt",
    ]
    assert captions(folder)["lines.jpg"] == "hat"
    listing = listing_of(folder)
    gone = [picture for picture in listing.pictures.values() if picture.excluded]
    history.do(exclusion_step(gone, listing, excluded=False))
    (folder / "lines.jpg").unlink()
    assert snapshot(folder) == before
    history.undo()
    assert (folder / "excluded" / "utf8.txt").is_file()


def test_exclusion_overwrites_nothing(folder: Path) -> None:
    put_image(folder / "excluded" / "utf8.png", colour="blue")
    listing = listing_of(folder)
    with pytest.raises(DataError, match="another file"):
        exclusion_step(listing.chosen(["utf8.png"]), listing, excluded=True)
