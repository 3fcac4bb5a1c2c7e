"""With hires fix on, cards and a strip of its own work for its prompt, too."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Locator, Page, expect

from tests.browser.fake_api import FakeApi
from tests.browser.picker import Picker

PROMPT = "#hires_prompt textarea"


@pytest.fixture
def hires(page: Page) -> Picker:
    """The picker of txt2img, hires fix on, cards going into its prompt."""
    picker = Picker(page)
    page.locator("#txt2img_hr-checkbox input").check()
    page.locator(PROMPT).focus()
    picker.open()
    return picker


def put(place: Locator, text: str) -> None:
    """Writes into a field, even of a tab that is not shown."""
    place.evaluate("(area, text) => { area.value = text; updateInput(area); }", text)


def aim(picker: Picker) -> str:
    """Where the cards go."""
    return picker.pane.get_by_label("Where the cards go").evaluate(
        "box => box.selectedOptions[0].textContent"
    )


def test_without_hires_fix_there_is_one_prompt(page: Page, picker: Picker) -> None:
    expect(picker.pane.get_by_label("Where the cards go")).to_be_hidden()
    page.locator(PROMPT).evaluate("area => area.focus()")
    picker.click("ink")
    picker.wait_for_prompt(" <lora:ink:1>")


def test_cards_go_where_the_focus_was_last(page: Page, hires: Picker) -> None:
    put(page.locator(PROMPT), "sharp")
    assert aim(hires) == "into the hires prompt"
    hires.click("ink")
    expect(page.locator(PROMPT)).to_have_value("sharp <lora:ink:1>")
    expect(hires.prompt).to_have_value("")
    hires.expect_held("ink", True)

    hires.prompt.focus()
    assert aim(hires) == "into the prompt"
    hires.expect_held("ink", False)
    hires.click("ink")
    hires.wait_for_prompt(" <lora:ink:1>")


def test_the_goal_can_be_chosen_by_hand(page: Page, hires: Picker) -> None:
    hires.pane.get_by_label("Where the cards go").select_option("into the prompt")
    hires.click("ink")
    hires.wait_for_prompt(" <lora:ink:1>")
    expect(page.locator(PROMPT)).to_have_value("")


def test_an_empty_hires_prompt_is_the_prompts(page: Page, hires: Picker) -> None:
    """The WebUI then draws the second pass with the prompt, so a card is added to that."""
    put(hires.prompt, "a cat <lora:people/cat:1>")
    put(hires.negative, "blurry")
    hires.expect_held("people/cat", True)
    hires.click("watercolour")
    expect(page.locator(PROMPT)).to_have_value(
        "a cat <lora:people/cat:1> <lora:watercolour:0.8> watercolour, wet paper"
    )
    expect(page.locator("#hires_neg_prompt textarea")).to_have_value("blurry (photo:1)")
    expect(hires.prompt).to_have_value("a cat <lora:people/cat:1>")
    expect(hires.negative).to_have_value("blurry")
    hires.click("watercolour")
    expect(page.locator(PROMPT)).to_have_value("")
    expect(page.locator("#hires_neg_prompt textarea")).to_have_value("")


def test_hires_fix_switched_off_leads_back(page: Page, hires: Picker) -> None:
    page.locator("#txt2img_hr-checkbox input").evaluate("box => { box.checked = false; }")
    expect(hires.pane.get_by_label("Where the cards go")).to_be_hidden()
    hires.click("ink")
    hires.wait_for_prompt(" <lora:ink:1>")


def test_it_has_a_strip_of_its_own(api: FakeApi, page: Page) -> None:
    api.applied = [{"tag": "<lora:ink:1>", "applied": 192, "total": 192, "problem": None}]
    api.applied_hires = [{"tag": "<lora:ink:0.5>", "applied": 128, "total": 192, "problem": "64 layers"}]
    page.reload()
    main, rows = Picker(page), page.locator("#hires_lyco_strip .lyco-row")
    page.locator("#txt2img_hr-checkbox input").check()
    main.prompt.fill("<lora:ink:1>")
    page.locator(PROMPT).fill("<lora:ink:0.5>")
    expect(rows.locator(".lyco-state")).to_have_text("applied 128 of 192: 64 layers")
    expect(main.rows.locator(".lyco-state")).to_have_text("applied 192 of 192")
    rows.get_by_role("button", name="Mute").click()
    expect(page.locator(PROMPT)).to_have_value("<lora:ink:0.5:lbw=NONE>")
    expect(main.prompt).to_have_value("<lora:ink:1>")


def test_the_strips_of_both_do_not_move_the_goal(page: Page, hires: Picker) -> None:
    put(hires.prompt, "<lora:ink:1>")
    hires.rows.first.get_by_role("button", name="Mute").click()
    hires.wait_for_prompt("<lora:ink:1:lbw=NONE>")
    assert aim(hires) == "into the hires prompt"
