"""What a screen reader gets: Chromium's accessibility tree."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Locator, Page, expect

from tests.browser.fake_api import FakeApi
from tests.browser.picker import Picker
from tests.browser.test_windows import SAMPLE

CONTROLS = {
    "button",
    "textbox",
    "searchbox",
    "combobox",
    "slider",
    "spinbutton",
    "checkbox",
    "link",
    "listbox",
}


class Heard:
    """The tree below an element, as the browser tells it to a screen reader."""

    def __init__(self, page: Page, place: Locator) -> None:
        session = page.context.new_cdp_session(page)
        session.send("DOM.enable")
        session.send("Accessibility.enable")
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        mark = place.evaluate("element => element.id || (element.id = 'lyco-heard')")
        root = session.send("DOM.getDocument")["root"]["nodeId"]
        found = session.send("DOM.querySelector", {"nodeId": root, "selector": f'[id="{mark}"]'})
        backend = session.send("DOM.describeNode", {"nodeId": found["nodeId"]})["node"]["backendNodeId"]
        by_id: dict[str, dict[str, Any]] = {node["nodeId"]: node for node in nodes}
        start = next(node["nodeId"] for node in nodes if node.get("backendDOMNodeId") == backend)
        self.nodes = list(_below(by_id, start))
        session.detach()

    def controls(self) -> list[tuple[str, str]]:
        """(role, name) of everything that can be used."""
        return [(_role(node), _name(node)) for node in self.nodes if _role(node) in CONTROLS]

    def roles(self, role: str) -> list[dict[str, Any]]:
        """The nodes of a role."""
        return [node for node in self.nodes if _role(node) == role]


def _below(by_id: dict[str, dict[str, Any]], start: str) -> list[dict[str, Any]]:
    node = by_id[start]
    mine = [] if node["ignored"] else [node]
    return [*mine, *(one for child in node.get("childIds", ()) for one in _below(by_id, child))]


def _role(node: dict[str, Any]) -> str:
    return str(node["role"]["value"])


def _name(node: dict[str, Any]) -> str:
    return str(node.get("name", {}).get("value", ""))


def _property(node: dict[str, Any], name: str) -> Any:
    return next(one["value"].get("value") for one in node["properties"] if one["name"] == name)


@pytest.fixture
def full(api: FakeApi, picker: Picker) -> Picker:
    """The picker with folders and strip."""
    api.tags, api.metadata = [("tree", 7)], {"ss_network_dim": "16"}
    api.xray = json.loads(SAMPLE.read_text(encoding="utf-8"))
    picker.pane.get_by_role("button", name="Show folders").click()
    picker.prompt.fill("<lora:ink:1> <lora:people/cat:0.5:0@0,1@1> <lora:nobody:1>")
    expect(picker.rows).to_have_count(3)
    return picker


def test_every_control_has_a_name(page: Page, full: Picker) -> None:
    pane, strip = Heard(page, full.pane).controls(), Heard(page, full.strip).controls()
    assert len(pane) > 40 and len(strip) > 20
    assert [control for control in pane + strip if not control[1].strip()] == []
    assert [name for role, name in strip if role == "slider"][:2] == [
        "Text encoder strength of ink",
        "UNet strength of ink",
    ]


@pytest.mark.parametrize("button", ["Details", "X-ray"])
def test_every_control_of_a_window_has_a_name(page: Page, full: Picker, button: str) -> None:
    full.tile("watercolour").hover()
    full.tile("watercolour").get_by_role("button", name=button).click()
    window = page.get_by_role("dialog")
    expect(window.locator(".lyco-table").first).to_be_attached()
    heard = Heard(page, window)
    assert _role(heard.nodes[0]) == "dialog" and _name(heard.nodes[0])
    assert heard.controls() and [control for control in heard.controls() if not control[1].strip()] == []


def test_cards_are_a_list_with_places(page: Page, full: Picker) -> None:
    heard = Heard(page, full.pane)
    lists = {_name(node): node for node in heard.roles("list")}
    assert "Networks" in lists
    assert [_name(node) for node in heard.roles("navigation")] == ["Folders"]
    cards = Heard(page, full.pane.locator(".lyco-cards"))
    items = cards.roles("listitem")
    assert len(items) == full.tiles.count()
    shown = full.tiles.evaluate_all("all => all.map(one => [one.ariaPosInSet, one.ariaSetSize])")
    assert shown == [[str(at + 1), str(len(items))] for at in range(len(items))]


def test_a_card_says_whether_it_is_in_the_prompt_and_what_is_wrong(page: Page, full: Picker) -> None:
    cards = Heard(page, full.pane.locator(".lyco-cards"))
    toggles = {_name(node): node for node in cards.roles("button") if _name(node) in ("ink", "watercolour")}
    assert _property(toggles["ink"], "pressed") == "true"
    assert _property(toggles["watercolour"], "pressed") == "false"
    assert any(name.startswith("cut off. The file is cut off") for _, name in cards.controls())


def test_changes_are_announced(page: Page, full: Picker) -> None:
    """What changes by itself or after a key lies in regions that a screen reader follows."""
    live = [node for node in Heard(page, full.pane).roles("status") if _property(node, "live") == "polite"]
    assert len(live) == 1
    states = Heard(page, full.strip).roles("status")
    assert {_property(node, "live") for node in states} == {"polite"}
    assert page.evaluate("document.querySelector('.lyco-status').getAttribute('role')") == "status"
    full.search.fill("absent")
    expect(full.status).to_contain_text("No network here.")
    full.search.fill("")
    full.rows.nth(0).get_by_role("button", name="Mute").click()
    expect(full.rows.nth(0).get_by_role("status")).to_have_text("muted")


def test_the_keyboard_does_all_that_the_mouse_does(page: Page, full: Picker) -> None:
    """From the search on by Tab alone: every control of the pane, one tile's and no other's."""
    full.search.focus()
    reached: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "() => { const one = document.activeElement; return one.closest('.lyco-pane')"
            " ? one.ariaLabel || one.textContent.trim() || one.tagName : null; }"
        )
        if name is None:
            break
        reached.append(name)
    for wanted in ("Sort", "Reverse the order", "Only starred", "Show folders", "Read the folders anew"):
        assert wanted in reached
    for wanted in (
        "Copy path to clipboard",
        "Details, tags and previews",
        "X-ray",
        "Edit metadata",
        "Star",
    ):
        assert reached.count(wanted) == 1
    assert "Open or close the folder" in reached and "all" in reached and "show" in reached


def test_the_strip_is_worked_by_keys(page: Page, full: Picker) -> None:
    row = full.rows.first
    row.get_by_role("button", name="Mute").focus()
    page.keyboard.press("Enter")
    full.wait_for_prompt("<lora:ink:1:lbw=NONE> <lora:people/cat:0.5:0@0,1@1> <lora:nobody:1>")
    row.get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")
    full.wait_for_prompt(" <lora:people/cat:0.5:0@0,1@1> <lora:nobody:1>")
