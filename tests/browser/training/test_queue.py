"""Runs outlive the page, the program and each other: on `lyco ui` with the embedded model."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page
from safetensors.torch import load_file

from tests.browser.training.conftest import Ui

pytestmark = pytest.mark.parametrize("ui", ["lyco ui"], indirect=True)  # the program itself is killed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_program_leaves_a_queue_and_a_run_that_ends_as_if_never_killed(ui: Ui) -> None:
    undisturbed = ui.wait_for(ui.submit(name="undisturbed", save_every_n_steps=1), "finished")
    options: dict[str, Any] = {"name": "killed", "save_every_n_steps": 1, "output": str(ui.data / "other")}
    killed = ui.submit(**options)
    waiting = ui.submit(name="waiting", max_steps=1)
    ui.wait_for(killed, "training", step=2)
    ui.end(signal.SIGKILL)
    ui.start()
    assert ui.get(f"runs/{killed}")["state"] == "interrupted"
    assert ui.wait_for(waiting, "finished")["step"] == 1
    ui.post(f"runs/{killed}/do", {"action": "again"})
    again = ui.wait_for(killed, "finished")
    found, expected = load_file(again["path"]), load_file(undisturbed["path"])
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert ui.get(f"runs/{killed}/losses")["steps"] == [1, 2, 3, 4]


def test_failure_in_the_middle_ends_one_run_and_the_page_says_it_in_a_sentence(ui: Ui) -> None:
    empty = ui.data / "empty"
    empty.mkdir()
    failing = ui.submit(name="failing", images=str(empty))
    after = ui.submit(name="after", max_steps=1)
    ui.wait_for(after, "finished")
    failed = ui.get(f"runs/{failing}")
    assert failed["state"] == "failed" and str(empty) in failed["message"]
    assert "Traceback" not in failed["message"] and "Traceback" in ui.get(f"runs/{failing}/report")["text"]


def test_run_goes_on_over_a_reload_and_a_closed_page(ui: Ui, training_page: Page) -> None:
    id = ui.submit(name="reloaded", max_steps=12)
    ui.wait_for(id, "training", step=1)
    training_page.reload()
    training_page.locator("#lyco_train .lyco-train-tabs").wait_for(state="attached")
    training_page.wait_for_function(
        "(id) => document.getElementById('lyco_train').shell.desk.status?.current?.id === id"
        " || document.getElementById('lyco_train').shell.desk.status?.past[0]?.id === id",
        arg=id,
    )
    training_page.goto("about:blank")
    record = ui.wait_for(id, "finished")
    assert record["step"] == 12 and Path(record["path"]).is_file()


def test_ctrl_c_saves_the_run_for_another_day(ui: Ui) -> None:
    id = ui.submit(name="evening", max_steps=12)
    ui.wait_for(id, "training", step=2)
    ui.end(signal.SIGINT)
    ui.start()
    stopped = ui.get(f"runs/{id}")
    assert stopped["state"] == "interrupted" and stopped["step"] >= 2
    assert list(ui.output.glob("evening-step*.state"))
    ui.post(f"runs/{id}/do", {"action": "again"})
    assert ui.wait_for(id, "finished")["step"] == 12
