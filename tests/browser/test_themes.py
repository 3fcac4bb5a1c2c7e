"""Both themes can be read: contrast as WCAG 2.1 defines it (success criterion 1.4.3: 4.5 to 1 for text)."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page

from tests.browser.fake_api import FakeApi
from tests.browser.picker import Picker

LEAST = 4.5

# relative luminance and contrast ratio: WCAG 2.1, "relative luminance", "contrast ratio"
_CONTRASTS = """(places) => {
    const read = (text) => {
        const [red, green, blue, alpha = 1] = text.match(/[0-9.]+/g).map(Number);
        return {rgb: [red, green, blue], alpha};
    };
    const behind = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) {
            const colour = read(getComputedStyle(one).backgroundColor);
            layers.push(colour);
            if (colour.alpha === 1) break;
        }
        return layers.reverse().reduce(
            (below, {rgb, alpha}) => below.map((value, at) => value * (1 - alpha) + rgb[at] * alpha),
            [255, 255, 255],
        );
    };
    const luminance = (rgb) => {
        const [red, green, blue] = rgb.map((value) => value / 255)
            .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const found = {};
    for (const place of places) {
        const element = document.querySelector(place);
        const {rgb, alpha} = read(getComputedStyle(element).color);
        const ground = behind(element);
        const ink = rgb.map((value, at) => value * alpha + ground[at] * (1 - alpha));
        const [low, high] = [luminance(ink), luminance(ground)].sort((one, other) => one - other);
        found[place] = (high + 0.05) / (low + 0.05);
    }
    return found;
}"""

PLACES = [
    ".lyco-status .lyco-problem",
    ".lyco-status .lyco-link",
    ".lyco-controls select",
    ".lyco-controls button[aria-pressed=true]",
    ".lyco-badge-family",
    ".lyco-badge-algo",
    ".lyco-broken .lyco-problem",
    ".lyco-folder[aria-current=true]",
    ".lyco-row-name",
    ".lyco-row .lyco-problem",
    ".lyco-mute",
    ".lyco-strip .lyco-link",
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out(api: FakeApi, page: Page, theme: str) -> None:
    api.problems = ["The folder locked cannot be read: Permission denied"]
    page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
    picker = Picker(page)
    picker.open()
    picker.pane.get_by_role("button", name="Show folders").click()
    picker.prompt.fill("<lora:nobody:1> <lora:ink:1>")
    picker.rows.nth(1).wait_for()
    contrasts: dict[str, float] = page.evaluate(_CONTRASTS, PLACES)
    assert {place: round(one, 2) for place, one in contrasts.items() if one < LEAST} == {}
