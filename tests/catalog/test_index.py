"""The index remembers, follows what happens on disk, keeps what users keep, and answers the picker."""

from __future__ import annotations

import builtins
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_lyco.catalog import index as module
from lib_lyco.catalog.card import card_json
from lib_lyco.catalog.index import Index
from lib_lyco.catalog.query import OTHER_BASE, Query, Sort
from tests.dialects.files import lora as lora_parts
from tests.tools.test_inspect import sparse_file

LONG_AGO = 1_500_000_000
WIDTHS = {"sd1": 768, "sd2": 1024, "sdxl": 2048}


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def put(path: Path, family: str = "sd1", when: int = LONG_AGO, **metadata: str) -> Path:
    """A network of one layer of that base model, changed at that time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inner = {"sd1": 320, "sd2": 320, "sdxl": 640}[family]
    name = "input_blocks_4_1" if family == "sdxl" else "down_blocks_0_attentions_0"
    stem = f"lora_unet_{name}_transformer_blocks_0_attn2_to_k"
    shapes = {f"{stem}.{part}": dims for part, dims in lora_parts((inner, WIDTHS[family])).items()}
    sparse_file(path, shapes, {"ss_session_id": path.name, **metadata})
    os.utime(path, (when, when))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Lora"
    put(root / "cat.safetensors", "sd1", LONG_AGO + 3, ss_training_started_at="30")
    put(root / "people" / "anna.safetensors", "sdxl", LONG_AGO + 1, ss_training_started_at="10")
    put(root / "people" / "cat.safetensors", "sdxl", LONG_AGO + 2, ss_output_name="tabby")
    put(root / "v10.safetensors", "sd2", LONG_AGO + 4)
    put(root / "v2.safetensors", "sd2", LONG_AGO + 5)
    return root


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "index.sqlite"


@pytest.fixture
def index(folder: Path, database: Path) -> Iterator[Index]:
    found = Index(database, [folder], clock=Clock())
    found.scan()
    yield found
    found.close()


def card_id(index: Index, name: str) -> str:
    return index.entry(name).id


def names(index: Index, query: Query) -> list[str]:
    return [card.name for card in index.search(query).cards]


def test_a_second_start_opens_no_network_file(
    index: Index, folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cat.json").write_text('{"notes": "mine"}')
    index.scan()
    before = index.search(Query()).cards
    index.close()
    monkeypatch.setattr(builtins, "open", None)
    monkeypatch.setattr(io, "open", None)
    later = Index(database, [folder], clock=Clock())
    report = later.scan()
    assert (report.num_files, report.num_read, report.num_gone, report.problems) == (5, 0, 0, ())
    assert later.search(Query()).cards == before
    assert before[1].side.notes == "mine"
    later.close()


def test_tags_find_files_before_any_header_is_read(
    folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_facts", None)
    fresh = Index(database, [folder])
    assert fresh.find("people/anna") == folder / "people" / "anna.safetensors"
    assert fresh.find("tabby") == folder / "people" / "cat.safetensors"
    fresh.close()


def test_equal_names_are_told_apart(index: Index, folder: Path) -> None:
    assert names(index, Query(text="cat")) == ["cat", "people/cat"]
    assert index.find("cat") == folder / "cat.safetensors"
    assert index.find("people/cat") == folder / "people" / "cat.safetensors"
    assert index.find("tabby") == folder / "people" / "cat.safetensors"


def test_what_comes_changes_and_goes_is_seen(index: Index, folder: Path) -> None:
    assert index.follow() is False
    revision = index.revision
    put(folder / "new" / "dog.safetensors", "sdxl", ss_output_name="hound")
    assert index.follow() is True
    assert index.revision != revision
    assert index.search(Query(text="dog")).cards[0].families == ("sdxl",)
    assert index.find("hound") == folder / "new" / "dog.safetensors"
    put(folder / "new" / "dog.safetensors", "sd2", LONG_AGO + 9)
    assert index.scan().num_read == 1
    assert index.search(Query(text="dog")).cards[0].families == ("sd2",)
    (folder / "new" / "dog.safetensors").unlink()
    assert index.follow() is True
    assert index.search(Query(text="dog")).total == 0
    assert index.scan().num_gone == 0


def test_what_a_look_for_a_name_noticed_is_read_later(folder: Path, database: Path) -> None:
    """A tag reads the folders first; headers are left to whoever follows."""
    index = Index(database, [folder], clock=Clock())
    assert index.entry("anna").path.is_file()
    assert index.search(Query(text="anna")).cards[0].families == ()
    assert index.follow() is True
    assert index.search(Query(text="anna")).cards[0].families == ("sdxl",)
    put(folder / "new.safetensors", "sdxl")
    os.utime(folder, (LONG_AGO, LONG_AGO))
    assert index.find("new") == folder / "new.safetensors"
    assert index.follow() is True
    assert index.search(Query(text="new")).cards[0].families == ("sdxl",)
    (folder / "new.safetensors").unlink()
    os.utime(folder, (LONG_AGO, LONG_AGO))
    index.refresh()
    assert index.follow() is True and index.follow() is False
    index.close()


def test_a_file_still_being_written_is_read_again(folder: Path, database: Path) -> None:
    clock = Clock()
    whole = put(folder / "late.safetensors").read_bytes()
    late = folder / "late.safetensors"
    late.write_bytes(whole[:-5])
    os.utime(late, (clock.now, clock.now))
    index = Index(database, [folder], clock=clock)
    index.scan()
    assert "truncated" in str(index.card(card_id(index, "late")).problem)
    late.write_bytes(whole)
    os.utime(late, (clock.now, clock.now))
    clock.now += 10
    assert index.follow() is True
    assert index.card(card_id(index, "late")).problem is None
    index.close()


def test_a_renamed_file_keeps_its_stars(index: Index, folder: Path, database: Path) -> None:
    index.star(card_id(index, "cat"), True)
    index.use(card_id(index, "cat"))
    before = index.card(card_id(index, "cat"))
    (folder / "cat.safetensors").rename(folder / "people" / "kitten.safetensors")
    index.scan()
    after = index.card(card_id(index, "kitten"))
    assert (after.starred, after.used_count, after.created) == (True, 1, before.created)
    # and while nobody was looking
    index.close()
    (folder / "people" / "kitten.safetensors").rename(folder / "puss.safetensors")
    later = Index(database, [folder], clock=Clock())
    later.scan()
    assert later.card(card_id(later, "puss")).starred
    later.close()


def test_a_file_moved_by_copy_and_removal_keeps_its_stars(index: Index, folder: Path) -> None:
    index.star(card_id(index, "people/anna"), True)
    shutil.copy2(folder / "people" / "anna.safetensors", folder / "berta.safetensors")
    index.scan()
    assert not index.card(card_id(index, "berta")).starred
    (folder / "people" / "anna.safetensors").unlink()
    index.scan()
    assert index.card(card_id(index, "berta")).starred


def test_a_file_trained_anew_and_one_that_comes_back_keep_their_stars(index: Index, folder: Path) -> None:
    index.star(card_id(index, "people/anna"), True)
    away = folder.parent / "anna.safetensors"
    (folder / "people" / "anna.safetensors").rename(away)
    index.scan()
    away.rename(folder / "people" / "anna.safetensors")
    index.scan()
    assert index.card(card_id(index, "anna")).starred
    put(folder / "people" / "anna.safetensors", "sd2", LONG_AGO + 99, ss_session_id="another")
    index.scan()
    assert index.card(card_id(index, "anna")).starred
    assert index.card(card_id(index, "anna")).families == ("sd2",)


def test_two_processes_see_each_others_stars(index: Index, folder: Path, database: Path) -> None:
    other = Index(database, [folder], clock=Clock())
    assert other.scan().num_read == 0
    revision = other.revision
    index.star(card_id(index, "cat"), True)
    assert other.revision != revision
    assert names(other, Query(starred=True)) == ["cat"]
    other.star(card_id(other, "cat"), False)
    assert names(index, Query(starred=True)) == []
    other.close()


def test_a_process_with_other_folders_loses_nothing(index: Index, tmp_path: Path, database: Path) -> None:
    index.star(card_id(index, "cat"), True)
    put(tmp_path / "Other" / "x.safetensors")
    other = Index(database, [tmp_path / "Other"], clock=Clock())
    other.scan()
    other.close()
    index.close()
    assert index.scan().num_read == 0
    later = Index(database, [tmp_path / "Lora"], clock=Clock())
    assert later.scan().num_read == 0
    assert names(later, Query(starred=True)) == ["cat"]
    later.close()


def test_a_folder_out_of_reach_forgets_nothing(index: Index, folder: Path, database: Path) -> None:
    index.star(card_id(index, "cat"), True)
    index.close()
    folder.rename(folder.with_name("unplugged"))
    away = Index(database, [folder], clock=Clock())
    assert away.scan().num_files == 0
    away.close()
    folder.with_name("unplugged").rename(folder)
    back = Index(database, [folder], clock=Clock())
    assert back.scan().num_read == 0
    assert names(back, Query(starred=True)) == ["cat"]
    back.close()


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["anna", "cat", "people/cat", "v2", "v10"]),
        ("path", ["cat", "v2", "v10", "anna", "people/cat"]),
        ("modified", ["anna", "people/cat", "cat", "v10", "v2"]),
        ("trained", ["anna", "cat", "people/cat", "v2", "v10"]),
        ("used", ["v2", "v10", "anna", "cat", "people/cat"]),
        ("most_used", ["v10", "v2", "anna", "cat", "people/cat"]),
        ("starred", ["cat", "anna", "people/cat", "v2", "v10"]),
    ],
)
def test_every_order_and_its_reverse(index: Index, sort: Sort, expected: list[str]) -> None:
    """What has no such date or count stands at the end, by name, in either direction."""
    index.star(card_id(index, "cat"), True)
    for name in ("v2", "v2", "v10"):
        index.use(card_id(index, name))
    assert names(index, Query(sort=sort)) == expected
    num_without = {"trained": 3, "used": 3, "most_used": 3, "starred": 4}.get(sort, 0)
    valued, rest = expected[: 5 - num_without], expected[5 - num_without :]
    assert names(index, Query(sort=sort, descending=True)) == [*reversed(valued), *rest]


def test_created_is_when_the_file_first_appeared(index: Index, folder: Path) -> None:
    """Rewriting a file makes it another one for the file system, and not for its user."""
    before = index.card(card_id(index, "cat")).created
    (folder / "cat.safetensors").unlink()
    put(folder / "cat.safetensors", "sd1", LONG_AGO + 50)
    index.scan()
    card = index.card(card_id(index, "cat"))
    assert (card.created, card.modified) == (before, LONG_AGO + 50)


def test_other_base_models_are_hidden_and_counted(index: Index) -> None:
    page = index.search(Query(base_family="sdxl"))
    assert [card.name for card in page.cards] == ["anna", "people/cat"]
    assert (page.total, page.hidden) == (2, {OTHER_BASE: 3})
    page = index.search(Query(base_family="sdxl", show_hidden=True))
    assert (page.total, page.hidden) == (5, {})
    page = index.search(Query(base_family="sd1", text="v"))
    assert (page.total, page.hidden) == (0, {OTHER_BASE: 2})
    assert names(index, Query(families=("sd2", "sd1"))) == ["cat", "v2", "v10"]


def test_what_is_broken_or_unknown_is_not_hidden(index: Index, folder: Path) -> None:
    (folder / "broken.safetensors").write_bytes(b"\x01" * 50)
    shapes = {f"lora_unet_nowhere.{part}": dims for part, dims in lora_parts((320, 320)).items()}
    sparse_file(folder / "old.safetensors", shapes, {})
    index.scan()
    assert names(index, Query(base_family="sd1")) == ["broken", "cat", "old"]
    (folder / "old.json").write_text('{"sd version": "SDXL"}')
    index.scan()
    assert names(index, Query(base_family="sd1")) == ["broken", "cat"]


def test_words_are_searched_everywhere(index: Index, folder: Path) -> None:
    (folder / "v2.json").write_text(json.dumps({"notes": "Straße ＡＢＣ", "activation text": "red hat"}))
    index.scan()
    for text in ("strasse abc", "HAT v2", "lora/v2", "stable diffusion 2 hat"):
        assert names(index, Query(text=text)) == ["v2"], text
    assert names(index, Query(text="tabby")) == ["people/cat"]
    assert names(index, Query(text="hat cat")) == []
    assert names(index, Query(folder="Lora/people")) == ["anna", "people/cat"]
    assert names(index, Query(folder="Lora/peo")) == []
    page = index.search(Query(offset=1, limit=2))
    assert (page.total, [card.name for card in page.cards]) == (5, ["cat", "people/cat"])


def test_a_computed_hash_is_found(folder: Path, database: Path) -> None:
    known = {str(folder / "v2.safetensors"): "ab" * 32}
    index = Index(database, [folder], lambda file: known.get(file.place), Clock())
    index.scan()
    assert names(index, Query(text="ABABABABAB")) == ["v2"]
    assert index.search(Query(text="v2")).cards[0].hash == "ab" * 32
    index.close()


def test_folders_stand_as_a_tree(folder: Path, tmp_path: Path, database: Path) -> None:
    put(tmp_path / "disk2" / "Lora" / "deep" / "er" / "x.safetensors")
    index = Index(database, [folder, tmp_path / "disk2" / "Lora", tmp_path / "absent"])
    index.scan()
    first, second = index.folders()
    assert (first.name, first.count, [child.name for child in first.children]) == ("Lora", 5, ["people"])
    assert (first.children[0].path, first.children[0].count) == ("Lora/people", 2)
    assert (second.name, second.children[0].children[0].path) == ("Lora (2)", "Lora (2)/deep/er")
    assert names(index, Query(folder="Lora (2)/deep/er")) == ["x"]
    index.close()


def test_notes_and_previews_are_written_and_shown(index: Index, folder: Path) -> None:
    (folder / "cat.json").write_text('{"modelId": 7}')
    (folder / "cat.webp").write_bytes(b"x")
    index.scan()
    changes = {"description": "d", "preferred_weight": 0.5, "activation_text": "sks\nred hat"}
    index.write_notes(card_id(index, "cat"), changes)
    index.write_preview(card_id(index, "cat"), b"y", ".png")
    card = index.card(card_id(index, "cat"))
    assert json.loads((folder / "cat.json").read_text()) == {
        "modelId": 7,
        "description": "d",
        "preferred weight": 0.5,
        "activation text": "sks\nred hat",
    }
    assert (card.side.description, card.side.preferred_weight) == ("d", 0.5)
    assert [one.words for one in card.trigger_sets] == [("sks",), ("red hat",)]
    assert [one.name for one in card.previews] == ["cat.png", "cat.webp"]
    index.choose_preview(card.id, "cat.webp")
    assert [one.name for one in index.card(card.id).previews] == ["cat.webp", "cat.png"]


def test_a_card_goes_out_as_json(index: Index) -> None:
    card = index.card(card_id(index, "people/cat"))
    fields = json.loads(json.dumps(card_json(card, lambda card, preview: f"{card.id}/{preview.name}")))
    assert (fields["name"], fields["alias"], fields["folder"]) == ("people/cat", "tabby", "Lora/people")
    assert (fields["algo"], fields["rank"], fields["family"]) == ("lora", 4, "sdxl")
    assert fields["family_title"] == "Stable Diffusion XL"
    assert not any(str(card.path.parent) in str(value) for value in fields.values())
