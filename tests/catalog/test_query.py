"""What is hidden, and why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.catalog.index import Index
from lib_lyco.catalog.query import Query


def write(path: Path, stem: str, width: int) -> None:
    parts = {"lora_down.weight": (4, width), "lora_up.weight": (width, 4)}
    save_file({f"{stem}.{part}": torch.ones(shape) for part, shape in parts.items()}, path)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    write(tmp_path / "xl.safetensors", "lora_te2_text_model_encoder_layers_31_self_attn_q_proj", 1280)
    for name in ("unknown", "told"):
        write(tmp_path / f"{name}.safetensors", "lora_unet_something", 8)
    (tmp_path / "told.json").write_text('{"sd version": "SD1"}', encoding="utf-8")
    (tmp_path / "broken.safetensors").write_bytes(b"no header")
    made = Index(None, [tmp_path])
    made.scan()
    return made


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        (Query(), "broken told unknown xl", {}),
        (Query(base_family="sd1"), "broken told unknown", {"other base model": 1}),
        (Query(base_family="sdxl"), "broken unknown xl", {"other base model": 1}),
        (
            Query(base_family="sd1", hide_unknown=True),
            "broken told",
            {"other base model": 1, "unknown base model": 1},
        ),
        (Query(base_family="sd1", hide_unknown=True, show_hidden=True), "broken told unknown xl", {}),
        (Query(hide_unknown=True), "broken told unknown xl", {}),
        (Query(base_family="sd1", text="xl"), "", {"other base model": 1}),
    ],
)
def test_nothing_disappears_unexplained(
    index: Index, query: Query, shown: str, hidden: dict[str, int]
) -> None:
    page = index.search(query)
    assert [card.name for card in page.cards] == shown.split()
    assert page.hidden == hidden


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        (Query(), "", {"hidden folder": 1}),
        (Query(text="draft"), "draft", {}),
        (Query(show_hidden=True), "draft", {}),
        (Query(folder="Lora/.drafts"), "draft", {}),
    ],
)
def test_hidden_folders_show_what_is_looked_for(
    tmp_path: Path, query: Query, shown: str, hidden: dict[str, int]
) -> None:
    (tmp_path / "Lora" / ".drafts").mkdir(parents=True)
    write(tmp_path / "Lora" / ".drafts" / "draft.safetensors", "lora_unet_something", 8)
    index = Index(None, [tmp_path / "Lora"])
    index.scan()
    page = index.search(query)
    assert [card.name for card in page.cards] == shown.split()
    assert page.hidden == hidden
