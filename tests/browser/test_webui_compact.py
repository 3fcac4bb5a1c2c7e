"""The real WebUI with its compact prompt box, in Japanese, and with the prompts of hires fix."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.picker import Picker
from tests.browser.real_page import PATIENCE, real_page, small_pictures
from tests.browser.test_japanese import ENGLISH, TEXTS
from tests.host.driver import make_data_dir

pytestmark = pytest.mark.host

OPTIONS = {
    "compact_prompt_box": True,
    "localization": "ja_JP",
    "hires_fix_show_prompts": True,
    "extra_networks_tree_view_default_enabled": True,
}


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Generator[Page]:
    """Its page, loaded once."""
    data_dir: Path = tmp_path_factory.mktemp("webui") / "data"
    with real_page(browser, make_data_dir(data_dir, options=OPTIONS)) as page:
        (data_dir / "models" / "Lora" / "broken.safetensors").write_bytes(b"\x05")
        yield page


@pytest.fixture
def picker(page: Page) -> Picker:
    """txt2img, its tab Generation open."""
    page.keyboard.press("Escape")
    page.locator("#txt2img_extra_tabs > .tab-nav button").first.click()
    return Picker(page)


def expect_below(upper: Locator, lower: Locator) -> None:
    """One ends where the other begins, nothing of note between them, and one is as wide as the other."""
    expect(lower).to_be_visible()
    above, below = upper.bounding_box(), lower.bounding_box()
    assert above is not None and below is not None
    assert 0 <= below["y"] - (above["y"] + above["height"]) < 40
    assert abs(above["width"] - below["width"]) < 40


def test_the_strip_goes_with_the_prompt_from_tab_to_tab(picker: Picker) -> None:
    picker.prompt.fill("<lora:alpha:0.5> <lora:nobody:1>")
    expect_below(picker.prompt, picker.strip)
    picker.open()
    expect_below(picker.prompt, picker.strip)
    picker.click("beta")
    picker.wait_for_prompt("<lora:alpha:0.5> <lora:nobody:1> <lora:beta:1>")
    expect(picker.rows).to_have_count(3)


def test_nothing_of_ours_is_english(page: Page, picker: Picker) -> None:
    picker.prompt.fill("<lora:alpha:0.5> <lora:nobody:1> <lora:words:1:0@0,1@1>")
    picker.open()
    expect(picker.tile("broken")).to_have_count(1, timeout=PATIENCE)
    assert [text for text in page.evaluate(TEXTS) if ENGLISH.search(text)] == []
    assert picker.search.get_attribute("placeholder") == "検索"


def test_cards_go_into_the_prompt_of_hires_fix_and_both_strips_tell(page: Page, picker: Picker) -> None:
    picker.prompt.fill("a circle <lora:alpha:0.5>")
    small_pictures(page)
    page.locator("#txt2img_hr .label-wrap").click()
    hires = page.locator("#hires_prompt textarea")
    hires.fill("a circle")
    picker.open()
    picker.click("beta")
    expect(hires).to_have_value("a circle <lora:beta:1>")
    page.locator("#txt2img_extra_tabs > .tab-nav button").first.click()
    page.locator("#txt2img_generate").click()
    rows = page.locator("#hires_lyco_strip .lyco-row")
    expect(rows.locator(".lyco-state")).to_have_text("9 層中 9 層に適用", timeout=3 * PATIENCE)
    expect(picker.rows.locator(".lyco-state")).to_have_text("9 層中 9 層に適用")
