"""A run as the page shows it: the same card after a reload, its buttons, the queue and what has been."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Locator, Page, expect

from tests.browser.training.conftest import Ui

LONG = 2000
"""Steps of a run that is not waited for."""
PATIENCE = 30_000
"""Milliseconds for what the server has to do first, on a machine that others use too."""


@pytest.fixture(autouse=True)
def nothing_left(ui: Ui) -> Generator[None]:
    """Each test has the queue for itself."""
    yield
    status = ui.get("runs")
    for run in (*status["queue"], *filter(None, [status["current"]]), *status["past"]):
        ui.post(f"runs/{run['id']}/do", {"action": "discard"})
    ui.wait(lambda: ui.get("runs")["current"] is None, "the end of the run")


def opened(page: Page, name: str) -> Locator:
    tab = page.locator("#lyco_train").get_by_role("tab", name=name, exact=True)
    tab.click()
    section = page.locator(f"#{tab.get_attribute('aria-controls')}")
    expect(section).to_be_visible()
    return section


def fact(card: Locator, name: str) -> str:
    return card.locator("dl div", has=card.page.get_by_text(name, exact=True)).locator("dd").inner_text()


def test_card_is_the_same_after_a_reload_and_on_another_device(training_page: Page, ui: Ui) -> None:
    id = ui.submit(max_steps=LONG)
    ui.wait_for(id, "training", step=3)
    card = opened(training_page, "Run").locator("article")
    expect(card.locator("h3")).to_contain_text("cat")
    expect(card.locator(".lyco-train-state")).to_have_text("running", timeout=PATIENCE)
    ui.show(training_page)
    other = training_page.context.browser.new_page() if training_page.context.browser else training_page
    ui.show(other)
    for page in (training_page, other):
        card = opened(page, "Run").locator("article")
        expect(card.locator(".lyco-train-state")).to_have_text("running", timeout=PATIENCE)
        expect(card.locator("svg path[data-curve=loss]")).to_have_attribute("d", re.compile("^M.+L"))
        seen = ui.get("runs")["current"]["step"]
        page.wait_for_function(
            "step => Number(document.querySelector('#lyco_train_run progress').value) >= step", arg=seen
        )
        assert int(fact(card, "Step").split()[0]) >= seen
    other.close()


def test_pause_resume_and_stop(training_page: Page, ui: Ui) -> None:
    id = ui.submit(max_steps=LONG)
    ui.wait_for(id, "training", step=1)
    card = opened(training_page, "Run").locator("article")
    card.get_by_role("button", name="Pause and free memory").click()
    expect(card.locator(".lyco-train-state")).to_have_text("paused", timeout=PATIENCE)
    expect(card.get_by_role("button", name="Save now")).to_have_count(0)
    paused_at = ui.wait_for(id, "paused")["step"]
    card.get_by_role("button", name="Resume").click()
    ui.wait_for(id, "training", step=paused_at + 1)
    card.get_by_role("button", name="Stop and save").click()
    run = ui.wait_for(id, "stopped")
    expect(card.locator(".lyco-train-state")).to_have_text("stopped", timeout=PATIENCE)
    assert run["path"] and Path(run["path"]).is_file()
    card.get_by_role("button", name="Go on").click()
    ui.wait_for(id, "training", step=run["step"] + 1)


def test_nothing_is_discarded_without_a_yes(training_page: Page, ui: Ui) -> None:
    id = ui.submit()
    ui.wait_for(id, "finished")
    card = opened(training_page, "Run").locator("article")
    card.get_by_role("button", name="Remove").click()
    training_page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert (ui.output / "cat.safetensors").is_file()
    card.get_by_role("button", name="Remove").click()
    training_page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    ui.wait(lambda: not (ui.output / "cat.safetensors").exists(), "the removal")
    expect(training_page.get_by_text("There is no run yet.").first).to_be_visible(timeout=PATIENCE)


def test_a_failure_is_told_in_words(training_page: Page, ui: Ui) -> None:
    id = ui.submit(learning_rate=1e30, on_nan="stop", optimizer_type="SGD")
    run = ui.wait_for(id, "failed", "finished")
    assert run["state"] == "failed"
    card = opened(training_page, "Run").locator("article")
    expect(card.locator(".lyco-train-state")).to_have_text("failed", timeout=PATIENCE)
    told = card.locator("> .lyco-problem").inner_text()
    assert "not finite" in told and "learning rate" in told
    assert "Traceback" not in card.inner_text()
    expect(card.get_by_role("button", name="Go on")).to_be_enabled()


def test_plot_is_read_and_zoomed_with_the_keyboard(training_page: Page, ui: Ui) -> None:
    id = ui.submit(max_steps=8)
    ui.wait_for(id, "finished")
    losses = ui.get(f"runs/{id}/losses")
    card = opened(training_page, "Run").locator("article")
    readout = card.locator(".lyco-train-readout")
    expect(readout).to_contain_text("step 8:", timeout=PATIENCE)
    card.locator("svg.lyco-train-plot").focus()
    training_page.keyboard.press("Home")
    expect(readout).to_contain_text(f"step 1: loss {losses['losses'][0]:.4g}")
    training_page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text(f"step 2: loss {losses['losses'][1]:.4g}")
    whole = card.locator("path[data-curve=loss]").get_attribute("d")
    training_page.keyboard.press("+")
    expect(card.get_by_role("button", name="Show all")).to_be_visible()
    assert card.locator("path[data-curve=loss]").get_attribute("d") != whole
    training_page.keyboard.press("0")
    expect(card.locator("path[data-curve=loss]")).to_have_attribute("d", whole or "")


def names(section: Locator, of: str) -> list[str]:
    texts: list[str] = section.locator(f".lyco-train-{of} > li .lyco-train-name").all_inner_texts()
    return [text.split("\n")[0].split()[0] for text in texts]


def test_queue_is_put_in_order_and_survives_a_reload(training_page: Page, ui: Ui) -> None:
    ui.wait_for(ui.submit(name="first", max_steps=LONG), "training")
    for name in ("second", "third", "fourth"):
        ui.submit(name=name)
    section = opened(training_page, "Queue and history")
    expect(section.locator(".lyco-train-queue > li")).to_have_count(3, timeout=PATIENCE)
    section.get_by_role("button", name="Move fourth up").click()
    expect(section.locator(".lyco-train-queue > li").nth(1)).to_contain_text("fourth", timeout=PATIENCE)
    rows = section.locator(".lyco-train-queue > li")
    rows.nth(1).drag_to(rows.nth(0), target_position={"x": 20, "y": 4})
    expect(rows.nth(0)).to_contain_text("fourth", timeout=PATIENCE)
    ui.wait(lambda: [run["name"] for run in ui.get("runs")["queue"]][0] == "fourth", "the order")
    section.get_by_role("button", name="Take third out of the queue").click()
    expect(rows).to_have_count(2, timeout=PATIENCE)
    ui.show(training_page)
    section = opened(training_page, "Queue and history")
    expect(section.locator(".lyco-train-queue > li")).to_have_count(2, timeout=PATIENCE)
    assert names(section, "queue") == ["fourth", "second"]


def test_two_runs_differ_in_their_settings_and_one_goes_into_the_form(training_page: Page, ui: Ui) -> None:
    for name, rank in (("one", 1), ("two", 2)):
        ui.wait_for(ui.submit(name=name, rank=rank, max_steps=1), "finished")
    section = opened(training_page, "Queue and history")
    boxes = section.get_by_role("checkbox")
    expect(boxes).to_have_count(2, timeout=PATIENCE)
    for box in boxes.all():
        box.check()
    section.get_by_role("button", name="Differences between two").click()
    expect(section.locator("table")).to_be_visible(timeout=PATIENCE)
    table: list[list[str]] = [
        row.locator("th, td").all_inner_texts() for row in section.locator("table tr").all()
    ]
    assert table[1:] == [["Rank (dim)", "2", "1"], ["Name of the network", "two", "one"]]
    row = section.locator(".lyco-train-past > li", has_text="two")
    row.get_by_role("button", name="Settings into the form").click()
    training_page.wait_for_function("localStorage.getItem('lyco-train-config')?.includes('\"two\"')")
    kept: dict[str, Any] = json.loads(training_page.evaluate("localStorage.getItem('lyco-train-config')"))
    assert kept["rank"] == 2 and kept["max_steps"] == 1 and "flip" not in kept
