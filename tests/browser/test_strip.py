"""The strip and the prompt say the same, whichever of them is edited."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page, expect

from tests.browser.fake_api import FakeApi
from tests.browser.made_up import NASTY
from tests.browser.picker import Picker


@pytest.fixture
def strip(page: Page) -> Picker:
    """The page with its tab Lora closed."""
    return Picker(page)


def test_without_tags_there_is_no_strip(strip: Picker) -> None:
    strip.prompt.fill("a cat")
    expect(strip.strip).to_be_hidden()


def test_rows_follow_the_text(strip: Picker) -> None:
    strip.prompt.fill("a <lora:ink:0.5> b <lora:people/cat:te=1:unet=0.25> <hypernet:x:1>")
    expect(strip.rows).to_have_count(2)
    expect(strip.rows.nth(0).get_by_label("UNet strength of ink").first).to_have_value("0.5")
    expect(strip.rows.nth(1).get_by_label("UNet strength of people/cat").first).to_have_value("0.25")
    expect(strip.rows.nth(1).get_by_label("Text encoder strength of people/cat").first).to_have_value("1")
    strip.prompt.fill("a")
    expect(strip.strip).to_be_hidden()


def test_a_text_put_in_without_an_event_is_seen(strip: Picker) -> None:
    strip.prompt.evaluate("area => { area.value = 'pasted <lora:ink:1>'; }")
    expect(strip.rows).to_have_count(1)


def test_linked_sliders_write_one_number(page: Page, strip: Picker) -> None:
    strip.prompt.fill("🎨 a <lora:ink:0.5> b")
    slider = strip.rows.first.get_by_label("Text encoder strength of ink").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    strip.wait_for_prompt("🎨 a <lora:ink:0.51> b")
    assert page.evaluate("document.activeElement.type") == "range"
    expect(strip.rows.first.get_by_label("UNet strength of ink").last).to_have_value("0.51")
    strip.rows.first.get_by_label("UNet strength of ink").last.fill("-0.75")
    strip.rows.first.get_by_label("UNet strength of ink").last.press("Enter")
    strip.wait_for_prompt("🎨 a <lora:ink:-0.75> b")


def test_apart_they_write_two(strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:0.5>")
    strip.rows.first.get_by_role("button", name="One strength for both").click()
    strip.wait_for_prompt("<lora:ink:0.5:unet=0.5>")
    number = strip.rows.first.get_by_label("UNet strength of ink").last
    number.fill("0.2")
    number.press("Enter")
    strip.wait_for_prompt("<lora:ink:0.5:unet=0.2>")
    strip.rows.first.get_by_role("button", name="One strength for both").click()
    strip.wait_for_prompt("<lora:ink:0.5>")


def test_a_slider_moved_quickly_ends_where_it_is(strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:0>")
    slider = strip.rows.first.get_by_label("UNet strength of ink").first
    slider.focus()
    for _ in range(8):
        slider.press("ArrowRight", delay=0)
    strip.wait_for_prompt("<lora:ink:0.08>")


@pytest.mark.parametrize(
    ("before", "muted"),
    [
        ("a <lora:ink:0.8> b", "a <lora:ink:0.8:lbw=NONE> b"),
        ("<lora:ink:0.8:1@0,0@1:hr=0.5>", "<lora:ink:0.8:1@0,0@1:hr=0.5:lbw=NONE>"),
        ("<lora:ink:1:lbw=MIDD:start=3>", "<lora:ink:1:lbw=NONE:start=3>"),
        ("<lora:ink:1:MIDD:ATTNDEEPOFF>", "<lora:ink:1:NONE>"),
    ],
)
def test_mute_keeps_the_tag_and_gives_it_back(strip: Picker, before: str, muted: str) -> None:
    strip.prompt.fill(before)
    mute = strip.rows.first.get_by_role("button", name="Mute")
    mute.click()
    strip.wait_for_prompt(muted)
    expect(strip.rows.first.locator(".lyco-state")).to_have_text("muted")
    expect(mute).to_have_attribute("aria-pressed", "true")
    mute.click()
    strip.wait_for_prompt(before.replace(":MIDD:ATTNDEEPOFF", ":MIDD:lbwe=ATTNDEEPOFF"))
    expect(mute).to_have_attribute("aria-pressed", "false")


def test_remove_takes_the_tag_and_nothing_else(strip: Picker) -> None:
    strip.prompt.fill("a <lora:ink:1> b <lora:people/cat:1>")
    strip.rows.first.get_by_role("button", name="Remove").click()
    strip.wait_for_prompt("a  b <lora:people/cat:1>")
    expect(strip.rows).to_have_count(1)


def test_presets_are_offered_and_written(strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:1>")
    select = strip.rows.first.get_by_label("Blocks of ink")
    expect(select.locator("option[value=OUTALL]")).to_have_count(1)
    select.select_option("MIDD")
    strip.wait_for_prompt("<lora:ink:1:lbw=MIDD>")
    select.select_option("")
    strip.wait_for_prompt("<lora:ink:1>")
    strip.prompt.fill("<lora:ink:1:lbw=IN05-OUT05>")
    expect(select).to_have_value("IN05-OUT05")


def test_a_schedule_is_written_and_drawn(strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:1>")
    schedule = strip.rows.first.get_by_label("UNet strength by step of ink")
    schedule.fill("0@0,1@0.5,0@1")
    schedule.press("Enter")
    strip.wait_for_prompt("<lora:ink:1:unet=0@0,1@0.5,0@1>")
    expect(strip.rows.first.locator("polyline")).to_have_attribute(
        "points", "1.0,17.0 1.0,17.0 32.0,1.0 63.0,17.0 63.0,17.0"
    )
    expect(strip.rows.first.get_by_label("UNet strength of ink").first).to_be_disabled()
    schedule.fill("")
    schedule.press("Enter")
    strip.wait_for_prompt("<lora:ink:1>")


def test_the_x_ray_of_a_schedule_is_at_its_strongest(api: FakeApi, strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:1:unet=0@0,-1.5@0.5,1@1> <lora:people/cat:0.5>")
    strip.strip.get_by_role("button", name="X-ray of all").click()
    expect(strip.page.get_by_role("dialog")).to_be_visible()
    assert any(asked.startswith("GET xray") and asked.endswith("unet=-1.5,0.5") for asked in api.asked)


def test_the_text_between_stays_as_it_is(strip: Picker) -> None:
    text = "(a:1.2) [b|c]\n<lora:ink:1>\n\n <lora:people/cat:1> 🎨 {x} "
    strip.prompt.fill(text)
    strip.rows.nth(1).get_by_label("Blocks of people/cat").select_option("INS")
    strip.wait_for_prompt(text.replace("cat:1>", "cat:1:lbw=INS>"))


def test_mistakes_are_told_while_typing(strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:1:lbw=MIDDD> <lora:nobody:1>")
    expect(strip.rows.nth(0).locator(".lyco-state")).to_contain_text("Did you mean MIDD or MID?")
    expect(strip.rows.nth(1).locator(".lyco-state")).to_have_text("There is no network of this name.")


def test_what_was_applied_is_shown_after_each_picture(api: FakeApi, page: Page, strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:1> <lora:people/cat:1>")
    expect(strip.rows).to_have_count(2)
    api.applied = [
        {"tag": "<lora:ink:1>", "applied": 192, "total": 192, "problem": None},
        {"tag": "<lora:people/cat:1>", "applied": 190, "total": 192, "problem": "2 layers do not fit"},
    ]
    page.evaluate("document.getElementById('txt2img_interrupt').style.display = 'block'")
    page.wait_for_timeout(50)
    page.evaluate("document.getElementById('txt2img_interrupt').style.display = 'none'")
    expect(strip.rows.nth(0).locator(".lyco-state")).to_have_text("applied 192 of 192")
    expect(strip.rows.nth(1).locator(".lyco-state")).to_have_text("applied 190 of 192: 2 layers do not fit")
    strip.prompt.fill("<lora:ink:0.5>")
    expect(strip.rows.nth(0).locator(".lyco-state")).to_have_text("")


def test_what_the_user_types_meanwhile_is_not_lost(page: Page, strip: Picker) -> None:
    strip.prompt.fill("<lora:ink:1>")
    expect(strip.rows).to_have_count(1)
    page.route("**/lyco/edit", lambda route: (page.wait_for_timeout(300), route.continue_()))
    strip.rows.first.get_by_label("Blocks of ink").select_option("INS")
    strip.prompt.evaluate("area => { area.value = 'typed meanwhile'; }")
    expect(strip.strip.locator("> .lyco-problem")).to_have_text("The prompt has changed meanwhile.")
    expect(strip.prompt).to_have_value("typed meanwhile")


def test_undo_goes_through_the_strips_edits(page: Page, strip: Picker) -> None:
    strip.prompt.press_sequentially("<lora:ink:1>")
    strip.rows.first.get_by_label("Blocks of ink").select_option("INS")
    strip.wait_for_prompt("<lora:ink:1:lbw=INS>")
    strip.prompt.focus()
    page.keyboard.press("Control+z")
    strip.wait_for_prompt("<lora:ink:1>")
    expect(strip.rows.first.get_by_label("Blocks of ink")).to_have_value("")


def test_names_in_rows_are_text(page: Page, strip: Picker) -> None:
    strip.prompt.fill(f"<lora:{NASTY.replace('>', '')}:1>")
    expect(strip.rows).to_have_count(1)
    assert strip.rows.locator("img").count() == 0
    assert page.evaluate("window.hacked") is None
