"""Masks drawn by hand in the section Dataset: with mouse, keys and fingers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright")

from PIL import Image
from playwright.sync_api import expect

from tests.browser.training.dataset import Section


def test_a_mask_is_drawn_taken_back_and_kept(section: Section, folder: Path) -> None:
    page = section.page
    section.picture("green.png").click()
    section.editor.get_by_role("button", name="Draw mask…").click()
    window, paper = page.get_by_role("dialog"), page.locator(".lyco-train-mask-canvas")
    expect(window.get_by_role("button", name="Undo")).to_be_disabled()
    window.get_by_role("button", name="Larger").click()
    window.get_by_role("button", name="Fit").click()
    window.get_by_label("Size of the brush").fill("20")
    box = paper.bounding_box()
    assert box  # 90x60 pixels
    across, down = box["width"] / 90, box["height"] / 60
    page.mouse.move(box["x"] + 5 * across, box["y"] + 30 * down)
    page.mouse.down()
    page.mouse.move(box["x"] + 40 * across, box["y"] + 30 * down, steps=3)
    page.mouse.up()
    window.get_by_role("button", name="Invert").click()
    window.get_by_role("button", name="Undo").click()
    paper.focus()
    # from where the mouse was, 20 pixels to the left, and there a hole
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("e")
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    expect(window.get_by_role("status")).to_contain_text("not saved yet")
    window.get_by_role("button", name="Save").click()
    expect(window).to_have_count(0)
    tile = section.root.locator('.lyco-train-set-tile[data-name="green.png"]')
    expect(tile.locator(".lyco-train-set-mask")).to_be_visible()
    masks = folder.with_name("3_set_masks") / "3_set"
    with Image.open(masks / "green.png") as mask:
        drawn = [mask.getpixel(place) for place in ((2, 30), (20, 30), (46, 30), (80, 30), (30, 50))]
        assert (mask.size, drawn) == ((90, 60), [0, 255, 0, 255, 255])
    assert sorted(path.name for path in masks.iterdir()) == ["blue.png", "gold.png", "green.png", "red.png"]
    section.button("Undo").click()
    expect(section.button("Undo")).to_be_disabled()
    assert not (masks / "green.png").exists()


def test_a_finger_draws_and_two_fingers_do_not(section: Section) -> None:
    page = section.page
    section.picture("gold.png").click()
    section.editor.get_by_role("button", name="Draw mask…").click()
    undo = page.get_by_role("dialog").get_by_role("button", name="Undo")
    expect(undo).to_be_disabled()
    touch = """([pointerId, kind, clientX, clientY]) => {
        const finger = {pointerId, pointerType: "touch", clientX, clientY, bubbles: true};
        document.querySelector(".lyco-train-mask-canvas").dispatchEvent(new PointerEvent(kind, finger));
    }"""
    page.evaluate("HTMLElement.prototype.setPointerCapture = () => {}")
    red = """() => {
        const canvas = document.querySelector(".lyco-train-mask-canvas");
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, place) => place % 4 === 3 && value).length;
    }"""
    box = page.locator(".lyco-train-mask-canvas").bounding_box()
    assert box
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(touch, [1, "pointerdown", *middle])
    assert page.evaluate(red) > 0
    page.evaluate(touch, [2, "pointerdown", middle[0] + 20, middle[1]])
    assert page.evaluate(red) == 0
    page.evaluate(touch, [2, "pointermove", middle[0] + 40, middle[1]])
    larger = page.locator(".lyco-train-mask-canvas").bounding_box()
    assert larger and larger["width"] == pytest.approx(2 * box["width"], rel=0.02)
    for number in (1, 2):
        page.evaluate(touch, [number, "pointerup", *middle])
    expect(undo).to_be_disabled()
    page.evaluate(touch, [1, "pointerdown", *middle])
    page.evaluate(touch, [1, "pointerup", *middle])
    expect(undo).to_be_enabled()
