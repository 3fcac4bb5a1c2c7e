"""The page of `lyco ui`: our tab is in it, drawn by our scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.training.conftest import Ui

pytestmark = pytest.mark.parametrize("ui", ["lyco ui"], indirect=True)


def test_tab_is_drawn_by_our_scripts_and_style(training_page: Page) -> None:
    tabs = training_page.locator("#lyco_train [role=tablist]")
    names = training_page.evaluate("lyco.trainSections.map((section) => section.id)")
    assert tabs.locator("[role=tab]").count() == len(names)
    assert tabs.evaluate("(element) => getComputedStyle(element).display") == "flex"


def test_page_hands_out_nothing_but_its_files(training_page: Page, ui: Ui) -> None:
    for name in ("..%2Fpyproject.toml", "lyco_dom.js", "%2e%2e/README.md"):
        answer = training_page.request.get(f"{ui.address}lyco/page/{name}")
        assert answer.status == 404
