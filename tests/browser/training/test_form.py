"""Settings: from a folder to a queued run, and what others have written; on a real `lyco ui`."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("playwright")

from playwright.sync_api import Locator, Page, expect

from tests.browser.training.conftest import Ui

SLOW = 60_000.0
"""Milliseconds: the server reads images and shapes of layers, on a machine that others use too."""


class Form:
    """The section, as a user sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.locator("#lyco_train_form")
        self.sentence = self.root.locator(".lyco-train-sentence")
        self.sentence.wait_for(timeout=SLOW)

    def press(self, name: str) -> None:
        """A button of the section."""
        self.root.get_by_role("button", name=name, exact=True).click()

    def option(self, name: str) -> Locator:
        """The field of an option."""
        return self.root.locator(f"[data-option={name}]")

    def set(self, name: str, value: str) -> None:
        """Types into an option's field."""
        box = self.page.locator(f"#lyco_train_option_{name}")
        box.fill(value)
        box.press("Tab")

    def answer(self, name: str, value: str) -> None:
        """Types into one of Simple's fields."""
        self.page.locator(f"#lyco_train_simple_{name}").fill(value)

    def config(self) -> dict[str, object]:
        """The options that are not at their default."""
        return self.page.evaluate("JSON.parse(localStorage.getItem('lyco-train-config') ?? '{}')")

    def paste(self, text: str) -> Locator:
        """Reads a pasted text; its window."""
        self.press("Paste…")
        window = self.page.get_by_role("dialog", name="Paste options")
        window.get_by_label("Text to read").fill(text)
        window.get_by_role("button", name="Read", exact=True).click()
        return window


@pytest.fixture
def form(training_page: Page) -> Generator[Form]:
    """It, opened."""
    yield Form(training_page)


def test_from_a_folder_to_a_queued_run(form: Form, ui: Ui) -> None:
    form.answer("folder", str(ui.images))
    form.answer("trigger", "ohwx")
    form.root.get_by_label("Quick", exact=True).check()
    # 800 showings / (6 images x 4 epochs) = 33.3
    num = len(list(ui.images.rglob("*.png")))
    repeats = round(800 / (num * 4))
    expected = f"{num} images x {repeats} x 4 epochs = {num * repeats * 4} steps"
    expect(form.sentence).to_contain_text(expected, timeout=SLOW)
    expect(form.sentence).to_contain_text("file 1.", timeout=SLOW)
    form.press("Advanced")
    form.root.locator("summary", has_text="Images and buckets").click()
    for name, value in {"max_steps": "2", "rank": "1", "resolution": "64", "resolution_1": "64"}.items():
        form.set(name, value)
    form.page.locator("#lyco_train_option_buckets").uncheck()
    expect(form.sentence).to_contain_text("2 steps in 1 epoch", timeout=SLOW)
    form.press("Add to queue")
    expect(form.sentence).to_have_text("ohwx is in the queue.", timeout=SLOW)
    status = ui.get("runs")
    runs = [*status["queue"], *status["past"], *([status["current"]] if status["current"] else [])]
    told = ui.get(f"runs/{next(run['id'] for run in runs if run['name'] == 'ohwx')}")
    assert told["config"]["max_steps"] == 2
    assert told["config"]["caption_prefix"] == "ohwx,"
    assert Path(told["config"]["output"]) == ui.output


def test_a_pasted_command_line_fills_the_form(form: Form) -> None:
    window = form.paste(
        "accelerate launch train_network.py --train_data_dir=H:\\lain --resolution=448,640 "
        "--train_batch_size=3 --learning_rate=1e-4 --network_dim=32 --xformers --clip_skip=2"
    )
    expect(window.get_by_role("status")).to_have_text(re.compile(r"\d+ options are set."))
    expect(window.locator("li", has_text="xformers")).to_have_count(1)
    window.get_by_role("button", name="Close").last.click()
    expect(form.page.locator("#lyco_train_option_batch_size")).to_have_value("3")
    expect(form.page.locator("#lyco_train_option_rank")).to_have_value("32")
    assert form.config()["images"] == "H:\\lain"
    assert form.config()["resolution"] == [448, 640]
    form.press("Export…")
    text = form.page.get_by_label("The options as text")
    expect(text).to_have_value(re.compile(r"rank = 32"))
    form.page.get_by_label("Form", exact=True).select_option("command")
    expect(text).to_have_value(re.compile(r"^lyco train .*--batch-size=3"))


def test_a_problem_leads_to_its_field(form: Form) -> None:
    form.paste(
        "train_network.py --train_data_dir=nowhere --output_name=cat --network_dim=4 --network_alpha=9"
    )
    form.page.keyboard.press("Escape")
    form.press("Train")
    problems = form.root.get_by_role("region", name="Check").locator("li")
    expect(problems.first).to_contain_text("Must be mended", timeout=SLOW)
    problems.get_by_role("button", name="Go to Image folder").first.click()
    expect(form.page.locator("#lyco_train_option_images")).to_be_focused()


def test_images_without_captions_are_confirmed_with_one_click(form: Form, tmp_path: Path) -> None:
    for name in ("one", "two"):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{name}.png")
    (tmp_path / "one.txt").write_text("a cat", encoding="utf-8")
    form.paste(f"train_network.py --train_data_dir={tmp_path} --caption_extension=.txt")
    form.page.keyboard.press("Escape")
    form.press("Check")
    confirm = form.root.get_by_role("button", name="Train all the same")
    expect(form.root.get_by_text("others in their folder have one")).to_be_visible(timeout=SLOW)
    confirm.click()
    expect(confirm).to_have_count(0, timeout=SLOW)
    assert form.config()["allow_untagged"] is True


def test_a_search_finds_what_is_meant(form: Form) -> None:
    form.press("Advanced")
    form.root.get_by_role("searchbox").fill("snr gamma")
    expect(form.option("min_snr_gamma")).to_be_visible()
    expect(form.option("rank")).to_be_hidden()
    form.root.get_by_role("searchbox").fill("no such thing")
    expect(form.root.get_by_text("No option is found.")).to_be_visible()


def test_only_what_the_algorithm_uses_is_shown(form: Form) -> None:
    form.press("Advanced")
    expect(form.option("factor")).to_be_hidden()
    form.page.locator("#lyco_train_option_algo").select_option("lokr")
    expect(form.option("factor")).to_be_visible()
    expect(form.option("dropout")).to_be_hidden()
    form.option("algo").get_by_role("button", name="Back to the preset's value").click()
    expect(form.option("factor")).to_be_hidden()


def test_a_preset_is_saved_and_loaded(form: Form) -> None:
    form.press("Advanced")
    form.set("rank", "7")
    form.set("name", "tom")
    form.press("Presets…")
    window = form.page.get_by_role("dialog", name="Presets")
    window.get_by_label("Save the present options as").fill("Sevens")
    window.get_by_role("button", name="Save").click()
    expect(window.get_by_role("button", name="Sevens", exact=True)).to_be_visible()
    window.get_by_role("button", name="SDXL, 8 GB").click()
    expect(form.page.locator("#lyco_train_option_rank")).to_have_value("16")
    expect(form.page.locator("#lyco_train_option_name")).to_have_value("tom")
    form.press("Presets…")
    window.get_by_role("button", name="Sevens", exact=True).click()
    expect(form.page.locator("#lyco_train_option_rank")).to_have_value("7")
    expect(form.root.locator(".lyco-train-count")).to_have_text("0 changed from Sevens")
    form.set("rank", "8")
    expect(form.root.locator(".lyco-train-count")).to_have_text("1 changed from Sevens")


def test_a_wrong_number_is_told_and_not_taken(form: Form) -> None:
    form.press("Advanced")
    form.set("rank", "0")
    expect(form.option("rank").get_by_role("alert")).to_have_text("From 1 to 1024.")
    assert "rank" not in form.config()


def test_blocks_are_edited_in_their_drawing(form: Form) -> None:
    form.press("Advanced")
    form.root.locator("summary", has_text="Blocks").click()
    blocks = form.root.get_by_role("group", name="Blocks of the UNet").get_by_role("textbox")
    expect(blocks).to_have_count(25)
    blocks.nth(4).fill("0.3")
    blocks.nth(4).press("Tab")
    expect(form.page.locator("#lyco_train_option_down_lr_weight")).to_have_value(
        "1,1,1,1,0.3,1,1,1,1,1,1,1"
    )
    form.press("All alike")
    assert "down_lr_weight" not in form.config()


def test_tabs_are_reached_with_the_keyboard(training_page: Page) -> None:
    tabs = training_page.locator("#lyco_train [role=tab]")
    tabs.first.focus()
    training_page.keyboard.press("ArrowLeft")
    expect(tabs.last).to_be_focused()
    expect(tabs.last).to_have_attribute("aria-selected", "true")
    training_page.keyboard.press("Home")
    expect(training_page.locator("#lyco_train_form")).to_be_visible()
