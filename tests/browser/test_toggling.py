"""A click on a tile puts its tag into the prompt, and takes any form of it out again."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page, expect

from tests.browser.fake_api import FakeApi
from tests.browser.made_up import NASTY
from tests.browser.picker import Picker


def test_a_click_adds_what_the_builtin_adds(api: FakeApi, picker: Picker) -> None:
    picker.prompt.fill("a cat")
    picker.negative.fill("blurry")
    picker.click("watercolour")
    picker.wait_for_prompt("a cat <lora:watercolour:0.8> watercolour, wet paper")
    expect(picker.negative).to_have_value("blurry (photo:1)")
    expect(picker.tile("watercolour")).to_have_class("card lyco-tile lyco-held")
    assert {} in api.sent

    picker.click("watercolour")
    picker.wait_for_prompt("a cat")
    expect(picker.negative).to_have_value("blurry")
    expect(picker.tile("watercolour")).to_have_class("card lyco-tile")


@pytest.mark.parametrize(
    "tag",
    [
        "<lora:watercolour:-0.5>",
        "<lora:watercolour:te=0.5:unet=0.8>",
        "<lora:watercolour:1:0@0,1@0.5>",
        "<lyco:watercolour:1:1:lbw=MIDD>",
        "<lora:wc_v2:1>",
        "<lora:styles/watercolour>",
        "<lora:watercolour:1:lbw=NONE>",
    ],
)
def test_any_form_of_the_tag_is_taken_out(picker: Picker, tag: str) -> None:
    picker.prompt.fill(f"🎨 a cat {tag}, <hypernet:watercolour:1> b")
    picker.expect_held("watercolour", True)
    picker.click("watercolour")
    picker.wait_for_prompt("🎨 a cat, <hypernet:watercolour:1> b")


def test_the_same_network_twice_goes_at_once(picker: Picker) -> None:
    picker.prompt.fill("<lora:watercolour:1> a <lora:wc_v2:0.5> b")
    expect(picker.rows).to_have_count(2)
    picker.click("watercolour")
    picker.wait_for_prompt(" a b")


def test_equal_names_are_two_networks(picker: Picker) -> None:
    picker.click("people/cat")
    picker.wait_for_prompt(" <lora:people/cat:1>")
    picker.expect_held("people/cat", True)
    picker.expect_held("animals/cat", False)
    picker.click("animals/cat")
    picker.wait_for_prompt(" <lora:people/cat:1> <lora:animals/cat:1>")


def test_the_options_of_the_webui_are_heeded(page: Page, picker: Picker) -> None:
    page.evaluate(
        "opts.extra_networks_add_text_separator = ', '; opts.extra_networks_default_multiplier = 0.7"
    )
    picker.prompt.fill("a cat")
    picker.click("ink")
    picker.wait_for_prompt("a cat, <lora:ink:0.7>")
    picker.click("ink")
    picker.wait_for_prompt("a cat")


def test_a_chip_brings_its_words(picker: Picker) -> None:
    picker.tile("ink").get_by_text("10_day").click()
    picker.wait_for_prompt(" <lora:ink:1> day scene, sunlight")
    picker.tile("ink").get_by_text("10_day").click()
    picker.wait_for_prompt(" <lora:ink:1>")
    picker.tile("ink").get_by_text("10_day").click()
    picker.wait_for_prompt(" <lora:ink:1>, day scene, sunlight")


def test_a_file_that_no_tag_can_name_says_so(picker: Picker) -> None:
    picker.click(NASTY.replace("/", ""))
    expect(picker.status).to_contain_text("No tag can hold this name")
    expect(picker.prompt).to_have_value("")


def test_undo_brings_the_prompt_back(page: Page, picker: Picker) -> None:
    picker.prompt.press_sequentially("a cat")
    picker.click("ink")
    picker.wait_for_prompt("a cat <lora:ink:1>")
    picker.prompt.focus()
    page.keyboard.press("Control+z")
    picker.wait_for_prompt("a cat")


def test_the_caret_and_the_active_prompt_stay(page: Page, picker: Picker) -> None:
    picker.prompt.fill("a cat")
    page.evaluate("activePromptTextarea.txt2img = document.querySelector('#txt2img_neg_prompt textarea')")
    picker.prompt.evaluate("area => area.setSelectionRange(2, 2)")
    picker.click("ink")
    picker.wait_for_prompt("a cat <lora:ink:1>")
    assert picker.prompt.evaluate("area => [area.selectionStart, area.selectionEnd]") == [2, 2]
    assert page.evaluate("activePromptTextarea.txt2img.closest('[id]').id") == "txt2img_neg_prompt"


def test_img2img_has_its_own(page: Page, picker: Picker) -> None:
    page.locator("#tabs > .tab-nav button", has_text="img2img").click()
    other = Picker(page, "img2img")
    other.open()
    other.click("ink")
    other.wait_for_prompt(" <lora:ink:1>")
    picker.expect_held("ink", False)
    expect(picker.prompt).to_have_value("")
    assert picker.rows.count() == 0
    expect(other.rows).to_have_count(1)
