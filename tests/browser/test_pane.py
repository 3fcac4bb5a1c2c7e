"""The pane: what is in it, in which order, and that it follows what changes."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page, expect

from tests.browser.fake_api import FakeApi
from tests.browser.made_up import NASTY, many, some
from tests.browser.picker import Picker

COUNT = 10_000


def test_tiles_say_what_is_known(picker: Picker) -> None:
    tile = picker.tile("watercolour")
    expect(tile.locator(".lyco-badge")).to_have_text(["SD1", "lora", "rank 16", "36 MB"])
    expect(tile.locator(".description")).to_have_text("Soft washes on rough paper.")
    expect(tile.locator(".lyco-chip")).to_have_text(["watercolour, wet paper", "10_day", "10_night"])
    expect(picker.tile("people/cat")).to_have_count(1)
    expect(picker.tile("animals/cat")).to_have_count(1)


def test_a_broken_file_says_why(picker: Picker) -> None:
    expect(picker.tile("cut off").locator(".lyco-problem")).to_contain_text("The file is cut off: got 4096")
    expect(
        picker.tile("cut off").get_by_role("button", name="The file is cut off", exact=False).first
    ).to_be_attached()


def test_ten_thousand_are_a_few_tiles(api: FakeApi, page: Page) -> None:
    api.set_entries(many(COUNT))
    picker = Picker(page)
    picker.open()
    expect(picker.status).to_contain_text(f"{COUNT} networks")
    assert picker.tiles.count() < 60
    picker.pane.locator(".lyco-cards").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    expect(picker.tiles.last).to_have_attribute("aria-posinset", str(COUNT))
    assert picker.tiles.count() < 60
    picker.pane.locator(".lyco-cards").evaluate("box => { box.scrollTop = 0; }")
    expect(picker.tiles.first).to_have_attribute("aria-posinset", "1")
    assert picker.tiles.count() < 60


def test_search_asks_once_the_user_stops_typing(api: FakeApi, picker: Picker) -> None:
    api.asked.clear()
    picker.search.press_sequentially("watercolour", delay=10)
    expect(picker.tiles).to_have_count(1)
    assert sum("GET cards?" in asked and "text=w" in asked for asked in api.asked) == 1


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("created", "日本語/水彩 🎨", "animals/cat"),
        ("trained", "watercolour", None),
        ("path", "cut off", None),
    ],
)
def test_orders(api: FakeApi, page: Page, sort: str, first: str, last: str | None) -> None:
    api.set_entries([entry for entry in some() if "onerror" not in entry.name])
    picker = Picker(page)
    picker.open()
    picker.pane.get_by_label("Sort", exact=True).select_option(sort)
    stem = first.split("/")[-1]
    expect(picker.tiles.first.locator(".name")).to_have_text(stem if sort == "created" else first)
    if last is not None:
        expect(picker.tiles.last.locator(".name")).to_have_text(last)
        picker.pane.get_by_label("Reverse the order").click()
        expect(picker.tiles.first.locator(".name")).to_have_text(last)


def test_the_order_is_remembered(page: Page, picker: Picker) -> None:
    picker.pane.get_by_label("Sort", exact=True).select_option("created")
    picker.pane.get_by_label("Reverse the order").click()
    page.reload()
    picker.open()
    assert picker.pane.get_by_label("Sort", exact=True).input_value() == "created"
    expect(picker.tiles.first.locator(".name")).to_have_text("animals/cat")


def test_hidden_ones_are_counted_and_shown(picker: Picker) -> None:
    expect(picker.status).to_contain_text("2 hidden: other base model")
    picker.status.get_by_role("button", name="show").click()
    expect(picker.tile("large")).to_have_class("card lyco-tile lyco-misfit")
    picker.status.get_by_role("button", name="hide").click()
    expect(picker.tile("large")).to_have_count(0)


def test_another_checkpoint_is_followed(api: FakeApi, picker: Picker) -> None:
    api.set_base("sdxl")
    expect(picker.tile("large")).to_have_count(1)
    expect(picker.tile("watercolour")).to_have_count(0)


def test_a_new_file_appears_and_nothing_is_asked_unseen(api: FakeApi, page: Page, picker: Picker) -> None:
    api.set_entries(some()[:2])
    expect(picker.tiles).to_have_count(2)
    page.get_by_role("button", name="Generation").first.click()
    page.wait_for_timeout(100)
    api.asked.clear()
    page.wait_for_timeout(3300)
    assert not [asked for asked in api.asked if "cards" in asked]


def test_folders_narrow_the_list(picker: Picker) -> None:
    picker.pane.get_by_role("button", name="Show folders").click()
    picker.pane.locator('.lyco-folder[data-path="Lora/styles"]').click()
    expect(picker.tiles).to_have_count(2)
    expect(picker.pane.locator(".lyco-folder[aria-current=true]")).to_have_text("styles2")
    picker.pane.locator('.lyco-folder[data-path=""]').click()
    expect(picker.tiles).to_have_count(len(some()) - 2)


def test_folders_that_cannot_be_read_are_told(api: FakeApi, page: Page) -> None:
    api.problems = ["The folder locked cannot be read: Permission denied"]
    picker = Picker(page)
    picker.open()
    expect(picker.status).to_contain_text("Permission denied")


def test_how_far_a_scan_is_is_no_problem(api: FakeApi, page: Page) -> None:
    api.news = "New files are being read: 128 of 10000."
    picker = Picker(page)
    picker.open()
    expect(picker.status).to_contain_text("128 of 10000")
    expect(picker.status.locator(".lyco-problem")).to_have_count(0)


def test_a_star_is_kept_and_sorts(api: FakeApi, picker: Picker) -> None:
    picker.tile("animals/cat").hover()
    picker.tile("animals/cat").get_by_role("button", name="Star").click()
    expect(picker.tile("animals/cat").locator(".lyco-star")).to_have_text("★")
    assert api.sent == [{"starred": True}]
    picker.pane.get_by_role("button", name="Only starred").click()
    expect(picker.tiles).to_have_count(1)


def test_several_previews_are_turned(picker: Picker) -> None:
    tile = picker.tile("watercolour")
    expect(tile.locator(".lyco-count")).to_have_text("1 / 3")
    tile.hover()
    tile.get_by_role("button", name="Previous picture").click()
    expect(tile.locator(".lyco-count")).to_have_text("3 / 3")
    expect(tile.locator("img")).to_have_attribute(
        "src", "./picture/" + (tile.get_attribute("data-id") or "") + "/watercolour.preview.2.png"
    )
    assert tile.locator("img").get_attribute("loading") == "lazy"


def test_the_editor_opens_as_from_the_builtins_cards(page: Page, picker: Picker) -> None:
    picker.tile("people/cat").hover()
    picker.tile("people/cat").get_by_role("button", name="Edit metadata").click()
    assert page.evaluate("edited") == [["txt2img", "lora", "people/cat"]]


def test_the_path_is_copied(page: Page, picker: Picker) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    picker.tile("people/cat").hover()
    picker.tile("people/cat").get_by_role("button", name="Copy path").click()
    expect(picker.status).to_contain_text("Copied: /made-up/people/cat.safetensors")
    assert page.evaluate("navigator.clipboard.readText()") == "/made-up/people/cat.safetensors"


def test_the_keyboard_reaches_everything(page: Page, picker: Picker) -> None:
    picker.tiles.first.locator(".lyco-toggle").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.lyco-tile').ariaPosInSet") == "2"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('.lyco-tile').ariaPosInSet") == str(
        len(some()) - 2
    )
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(picker.tiles.nth(1).locator(".lyco-toggle")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect(picker.tiles.nth(1).locator(".lyco-toggle")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.className") == "lyco-toggle"


def test_the_keyboard_goes_through_ten_thousand(api: FakeApi, page: Page) -> None:
    api.set_entries(many(COUNT))
    picker = Picker(page)
    picker.open()
    picker.tiles.first.locator(".lyco-toggle").focus()
    page.keyboard.press("End")
    picker.wait_for(f"document.activeElement.closest('.lyco-tile')?.ariaPosInSet === '{COUNT}'")
    page.keyboard.press("PageUp")
    picker.wait_for(f"Number(document.activeElement.closest('.lyco-tile')?.ariaPosInSet) < {COUNT - 2}")


def test_everything_to_press_has_a_name(picker: Picker) -> None:
    nameless = picker.page.evaluate(
        "[...document.querySelectorAll(':is(.lyco-pane, .lyco-strip) :is(button, select, input)')]"
        ".filter(one => !(one.ariaLabel || one.textContent.trim() || one.closest('label'))).length"
    )
    assert nameless == 0


def test_names_are_text_and_nothing_else(page: Page, picker: Picker) -> None:
    name = NASTY.replace("/", "")
    expect(picker.tile(name).locator(".name")).to_have_text(name)
    expect(picker.tile(name).locator(".description")).to_have_text(NASTY)
    assert picker.pane.locator(".actions img, .lyco-chips img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_a_phone_has_two_columns(page: Page, picker: Picker) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    picker.wait_for("document.querySelectorAll('.lyco-tile').length > 2")
    picker.wait_for(
        "new Set([...document.querySelectorAll('.lyco-tile')].map(one => one.style.left)).size === 2"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_servers_complaint_is_shown(page: Page, picker: Picker) -> None:
    page.route(
        "**/lyco/cards?*", lambda route: route.fulfill(status=400, json={"detail": "The index is locked."})
    )
    picker.search.fill("x")
    expect(picker.status).to_have_text("The index is locked.")
