"""The windows over the page: a card's details, and the x-ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Locator, Page, expect

from tests.browser.fake_api import FakeApi
from tests.browser.made_up import NASTY
from tests.browser.picker import Picker

SAMPLE = Path(__file__).parent / "samples" / "xray.json"


@pytest.fixture
def xray(api: FakeApi) -> dict[str, Any]:
    """What the server answers."""
    api.xray = json.loads(SAMPLE.read_text(encoding="utf-8"))
    return api.xray


def open_window(picker: Picker, name: str, button: str) -> Locator:
    """The window behind one of a tile's buttons."""
    picker.tile(name).hover()
    picker.tile(name).get_by_role("button", name=button).click()
    return picker.page.get_by_role("dialog")


def test_details_tell_what_the_file_says(api: FakeApi, picker: Picker) -> None:
    api.tags = [("watercolour", 24), ("tree", 7)]
    api.metadata = {"ss_network_dim": "16"}
    window = open_window(picker, "watercolour", "Details")
    expect(window.get_by_role("row", name="Size")).to_contain_text("36.1 MB")
    expect(window).to_contain_text("Best between 0.6 and 0.9.")
    window.get_by_text("tree").click()
    picker.wait_for_prompt(" <lora:watercolour:0.8> tree")
    window.get_by_text("Metadata").click()
    expect(window.get_by_role("row", name="ss_network_dim")).to_contain_text("16")


def test_a_preview_is_chosen_and_one_is_sent(api: FakeApi, picker: Picker, tmp_path: Path) -> None:
    window = open_window(picker, "watercolour", "Details")
    window.get_by_role("button", name="watercolour.preview.2.png").click()
    expect(window.locator(".lyco-thumb").first).to_have_attribute(
        "aria-label", "Show this picture first: watercolour.preview.2.png"
    )
    (tmp_path / "new.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with picker.page.expect_response("**/preview"):
        window.locator("input[type=file]").set_input_files(tmp_path / "new.png")
    assert api.sent == [
        {"name": "watercolour.preview.2.png"},
        {"image": "data:image/png;base64,iVBORw0KGgo="},
    ]


def test_escape_closes_the_window_and_stops_no_picture(page: Page, picker: Picker) -> None:
    page.evaluate("document.addEventListener('keydown', (event) => { window.seen = event.key; })")
    window = open_window(picker, "ink", "Details")
    expect(window.get_by_role("row", name="Size")).to_be_visible()
    page.keyboard.press("Escape")
    expect(window).to_have_count(0)
    assert page.evaluate("window.seen") is None
    assert page.evaluate("document.activeElement.title") == "Details, tags and previews"


@pytest.mark.usefixtures("xray")
def test_an_xray_shows_sentences_drawing_and_numbers(api: FakeApi, picker: Picker) -> None:
    window = open_window(picker, "ink", "X-ray")
    expect(window.locator(".lyco-findings")).to_contain_text("fight in BASE, IN00-IN02")
    expect(window.locator(".lyco-drawing svg rect")).to_be_visible()
    expect(window.locator("section")).to_have_count(1)
    expect(window.locator(".lyco-dialog-body")).not_to_contain_text("null")
    window.get_by_text("Keys without a home").click()
    expect(window).to_contain_text("lora_unet_foo: no such layer")
    window.get_by_text("Numbers").click()
    expect(window.get_by_role("row", name="IN01")).to_contain_text("0.040")
    assert any(asked.startswith("GET xray") and asked.endswith("te=1&unet=1") for asked in api.asked)


@pytest.mark.usefixtures("xray")
def test_the_set_of_the_prompt_is_asked_for_with_its_strengths(
    api: FakeApi, page: Page, picker: Picker
) -> None:
    picker.prompt.fill(
        "<lora:ink:0.5> <lora:people/cat:1:0.25> <lora:nobody:1> <lora:watercolour:1:lbw=NONE>"
    )
    picker.strip.get_by_role("button", name="X-ray of all").click()
    expect(page.get_by_role("dialog").locator(".lyco-findings")).to_be_visible()
    asked = next(asked for asked in api.asked if asked.startswith("GET xray"))
    assert asked.endswith("te=0.5,1&unet=0.5,0.25")


def test_a_drawing_can_run_nothing(xray: dict[str, Any], page: Page, picker: Picker) -> None:
    xray["svg"] = (
        '<svg xmlns="http://www.w3.org/2000/svg" onload="window.hacked=1" viewBox="0 0 9 9">'
        "<script>window.hacked = 1</script><foreignObject><p>x</p></foreignObject>"
        '<image href="x" onerror="window.hacked=1"/>'
        '<rect width="9" height="9" onclick="window.hacked=1"/></svg>'
    )
    xray["networks"][0]["name"] = NASTY
    xray["networks"][0]["homeless"] = [{"what": NASTY, "reason": NASTY}]
    xray["findings"] = [NASTY]
    window = open_window(picker, "ink", "X-ray")
    expect(window.locator(".lyco-findings")).to_have_text(NASTY)
    assert window.locator(".lyco-drawing *").evaluate_all("all => all.map(one => one.localName)") == [
        "svg",
        "rect",
    ]
    assert window.locator("[onload], [onclick], [onerror], img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_a_server_that_cannot_says_why(page: Page, picker: Picker) -> None:
    page.route(
        "**/lyco/xray?*",
        lambda route: route.fulfill(status=400, json={"detail": "Load a checkpoint first."}),
    )
    expect(open_window(picker, "ink", "X-ray").get_by_role("alert")).to_have_text(
        "Load a checkpoint first."
    )


def test_details_are_text(api: FakeApi, page: Page, picker: Picker) -> None:
    api.tags, api.metadata = [(NASTY, 1)], {NASTY: NASTY}
    window = open_window(picker, NASTY.replace("/", ""), "Details")
    expect(window.locator(".lyco-text").first).to_have_text(NASTY)
    assert window.locator("img").count() == 0
    assert page.evaluate("window.hacked") is None
