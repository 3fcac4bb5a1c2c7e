"""Names and places of every kind: found, shown and starred; none leads out of the folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lib_lyco.catalog import scan as scan_module
from lib_lyco.catalog.card import card_json
from lib_lyco.catalog.index import Index
from lib_lyco.catalog.query import Query
from lib_lyco.errors import NetworkNotFoundError
from tests.catalog.test_index import Clock, card_id, database, folder, index, names, put

__all__ = ["database", "folder", "index"]

NAMES = (
    'it\'s "quoted"',
    "{braces} [x] (1)",
    "\N{CAT FACE}\N{SPARKLES}",
    "猫の絵",
    "e\u0301",
    "a.b c",
    "%2e%2e",
    "-rf",
)


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids some of these names")
def test_names_of_every_kind_are_found_shown_and_starred(folder: Path, database: Path) -> None:
    for name in (*NAMES, "line\nbreak", "dots.."):
        put(folder / "odd" / f"{name}.safetensors")
        (folder / "odd" / f"{name}.json").write_text('{"notes": "here"}')
    os.rename(put(folder / "x.safetensors"), os.fsencode(folder) + b"/caf\xe9.safetensors")
    index = Index(database, [folder], clock=Clock())
    index.scan()
    for name in NAMES:
        card = index.card(card_id(index, name))
        assert (card.name, card.side.notes, card.problem) == (name, "here", None)
        index.star(card.id, True)
        assert name in names(index, Query(text=name))
    page = index.search(Query())
    json.dumps([card_json(card, lambda _, preview: preview.name) for card in page.cards]).encode()
    for card in page.cards:
        json.dumps(card_json(card, lambda _, preview: preview.name), ensure_ascii=False).encode("utf-8")
    assert "caf%E9" in names(index, Query()) and index.find("caf%E9").exists()
    index.close()
    again = Index(database, [folder], clock=Clock())
    assert again.scan().num_read == 0
    assert again.search(Query(starred=True)).total == len(NAMES)
    again.close()


@pytest.mark.parametrize("card", ["", "../../etc/passwd", "0" * 20, "cat", "\0", "%2e%2e%2f"])
def test_no_card_leads_out_of_the_folders(index: Index, folder: Path, card: str) -> None:
    with pytest.raises(NetworkNotFoundError):
        index.card(card)
    with pytest.raises(NetworkNotFoundError):
        index.use(card)
    with pytest.raises(NetworkNotFoundError):
        index.star(card, True)
    with pytest.raises(NetworkNotFoundError):
        index.write_notes(card, {"notes": "x"})
    with pytest.raises(NetworkNotFoundError):
        index.write_preview(card, b"x", ".png")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["Lora", "cache"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_loops_and_closed_folders(
    folder: Path, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "disk2" / "far.safetensors")
    (folder / "more").symlink_to(tmp_path / "disk2")
    (folder / "people" / "loop").symlink_to(folder)
    (folder / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    (folder / "link.safetensors").symlink_to(folder / "cat.safetensors")
    (folder / "closed").mkdir()
    real = os.scandir

    def scandir(path: str) -> object:
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    # as root nothing is closed
    monkeypatch.setattr(scan_module.os, "scandir", scandir)
    index = Index(database, [folder], clock=Clock())
    (problem,) = index.scan().problems
    assert "closed" in problem and "Permission denied" in problem
    assert index.find("far") == folder / "more" / "far.safetensors"
    assert names(index, Query(text="cat")) == ["cat", "people/cat"]
    assert index.card(card_id(index, "link")).families == ("sd1",)
    assert "no such file" in str(index.card(index.search(Query(text="gone")).cards[0].id).problem)
    index.close()
