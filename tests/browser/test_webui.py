"""The picker and the strip in the real WebUI, drawn by the scripts that it loads itself."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page, expect

from tests.browser.picker import Picker
from tests.browser.real_page import PATIENCE, real_page, small_pictures
from tests.host.driver import make_data_dir

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The WebUI's own folder."""
    return make_data_dir(tmp_path_factory.mktemp("webui") / "data")


@pytest.fixture(scope="module")
def page(browser: Browser, data_dir: Path) -> Generator[Page]:
    """Its page, loaded once."""
    with real_page(browser, data_dir) as page:
        yield page


@pytest.fixture
def picker(page: Page) -> Picker:
    """The picker of txt2img, with an empty prompt, and nothing over it."""
    page.keyboard.press("Escape")
    picker = Picker(page)
    picker.open()
    picker.prompt.fill("")
    return picker


def test_files_of_equal_names_are_two_tiles(picker: Picker) -> None:
    expect(picker.tile("one/twin")).to_have_count(1)
    expect(picker.tile("two/twin")).to_have_count(1)
    expect(picker.tile("alpha").locator(".lyco-badge").first).to_have_text("SD1")


def test_search_is_the_servers(picker: Picker) -> None:
    picker.search.fill("twin")
    expect(picker.tiles).to_have_count(2)
    picker.search.fill("")


def test_a_click_and_the_strip_edit_the_prompt(picker: Picker) -> None:
    picker.click("two/twin")
    picker.wait_for_prompt(" <lora:two/twin:1>")
    picker.rows.first.get_by_label("Blocks of two/twin").select_option("MIDD")
    picker.wait_for_prompt(" <lora:two/twin:1:lbw=MIDD>")
    picker.rows.first.get_by_role("button", name="Mute").click()
    picker.wait_for_prompt(" <lora:two/twin:1:lbw=NONE>")
    picker.click("two/twin")
    picker.wait_for_prompt("")


def test_after_a_picture_the_strip_says_what_was_applied(page: Page, picker: Picker) -> None:
    picker.prompt.fill("a circle <lora:alpha:0.5> <lora:nobody:1>")
    page.get_by_role("button", name="Generation").first.click()
    small_pictures(page)
    page.locator("#txt2img_generate").click()
    state = picker.rows.first.locator(".lyco-state")
    expect(state).to_have_text("applied 9 of 9", timeout=PATIENCE)
    expect(picker.rows.nth(1).locator(".lyco-state")).to_have_class("lyco-state lyco-problem")


def test_the_editors_notes_appear_on_the_tile(page: Page, picker: Picker) -> None:
    picker.tile("beta").hover()
    picker.tile("beta").get_by_role("button", name="Edit metadata").click()
    editor = page.locator("#txt2img_lora_edit_user_metadata")
    expect(editor.locator(".prose.extra-network-name")).to_have_text("beta")
    editor.get_by_label("Description").fill("Written in the editor.")
    editor.get_by_role("button", name="Save").click()
    expect(picker.tile("beta").locator(".description")).to_have_text("Written in the editor.")


def test_the_strip_of_img2img_has_a_prompt_of_its_own(page: Page, picker: Picker) -> None:
    picker.prompt.fill("<lora:beta:1>")
    page.locator("#tabs > .tab-nav button", has_text="img2img").click()
    other = Picker(page, "img2img")
    other.open()
    other.prompt.fill("")
    other.click("alpha")
    other.wait_for_prompt(" <lora:alpha:1>")
    expect(other.rows).to_have_count(1)
    other.rows.first.get_by_role("button", name="Mute").click()
    other.wait_for_prompt(" <lora:alpha:1:lbw=NONE>")
    other.prompt.fill("<lora:beta:0.25>")
    expect(other.rows.first.get_by_role("slider").first).to_have_value("0.25")
    expect(picker.prompt).to_have_value("<lora:beta:1>")
    page.locator("#tabs > .tab-nav button", has_text="txt2img").click()


def test_a_new_file_appears_by_itself(picker: Picker, data_dir: Path) -> None:
    folder = data_dir / "models" / "Lora"
    shutil.copy(folder / "alpha.safetensors", folder / "just trained.safetensors")
    expect(picker.tile("just trained")).to_have_count(1, timeout=PATIENCE)


def test_an_xray_of_two(page: Page, picker: Picker) -> None:
    picker.prompt.fill("<lora:alpha:1> <lora:beta:1>")
    picker.strip.get_by_role("button", name="X-ray of all").click()
    window = page.get_by_role("dialog")
    expect(window.locator(".lyco-drawing svg")).to_be_visible(timeout=PATIENCE)
    expect(window.locator(".lyco-findings li").first).not_to_have_text("")
    window.get_by_role("button", name="Close").click()


def test_details_and_path(page: Page, picker: Picker, data_dir: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    picker.tile("alpha").hover()
    picker.tile("alpha").get_by_role("button", name="Copy path").click()
    expect(picker.status).to_contain_text(str(data_dir / "models" / "Lora" / "alpha.safetensors"))
    picker.tile("alpha").hover()
    picker.tile("alpha").get_by_role("button", name="Details").click()
    expect(page.get_by_role("dialog").get_by_role("row", name="File")).to_contain_text("alpha.safetensors")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
