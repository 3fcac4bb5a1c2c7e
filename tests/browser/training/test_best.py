"""The best epoch: files are compared, one is kept, the others go."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page, expect

from tests.browser.training.conftest import Ui
from tests.browser.training.test_run import PATIENCE, opened


def test_one_of_the_files_is_kept_and_the_others_are_removed(training_page: Page, ui: Ui) -> None:
    id = ui.submit(max_steps=None, epochs=2, batch_size=8, save_every_n_epochs=1, class_tokens="sks cat")
    ui.wait_for(id, "finished")
    mine = ui.output / "cat-000009.safetensors"
    mine.write_bytes(b"not this run's")
    wanted = (ui.output / "cat-000001.safetensors").read_bytes()
    section = opened(training_page, "Best epoch")
    section.get_by_label("Strengths", exact=True).fill("0.5, 1")
    section.get_by_label("Prompts", exact=True).fill("sks cat --d 3 --s 2 --ss ddim")
    section.get_by_role("button", name="Compare the files").click()
    job = ui.wait(lambda: ui.get(f"best/{id}")["job"], "the comparison")
    ui.wait_for(job["id"], "finished")
    rows = section.locator("tbody tr")
    expect(section.get_by_role("button", name="Keep cat.safetensors at 1", exact=True)).to_be_visible(
        timeout=PATIENCE
    )
    expect(rows).to_have_count(3)
    expect(rows.locator("img")).to_have_count(5)
    verdict = ui.get(f"best/{id}")["verdict"]
    assert not verdict["held_out"] and verdict["problems"] == []
    expect(section.locator(".lyco-train-lowest")).to_have_count(1)
    assert "training images" in section.locator(".lyco-train-phase").inner_text()
    section.get_by_role("button", name="Keep cat-000001.safetensors at 0.5").click()
    dialog = training_page.get_by_role("dialog")
    expect(dialog).to_contain_text(re.compile(r"removed: .*cat\.safetensors.* \(\d.* KB\)"))
    dialog.get_by_role("button", name="Keep it, remove the others").click()
    expect(section.locator(".lyco-train-phase")).to_contain_text("was kept", timeout=PATIENCE)
    assert (ui.output / "cat.safetensors").read_bytes() == wanted
    assert sorted(path.name for path in ui.output.glob("*.safetensors")) == [mine.name, "cat.safetensors"]
    notes = json.loads((ui.output / "cat.json").read_text(encoding="utf-8"))
    assert notes["preferred weight"] == 0.5 and notes["activation text"]
    assert (ui.output / "cat.png").is_file()
    expect(section.get_by_role("button", name="Keep")).to_have_count(0)
