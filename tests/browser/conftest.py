"""A browser, and the page in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator

import pytest

from tests.browser.fake_api import FakeApi
from tests.browser.made_up import some
from tests.browser.server import serve

pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.picker import Picker


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    """The system's Chromium: none is downloaded."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed")
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def api() -> FakeApi:
    """The server's side, with one network of each kind."""
    return FakeApi(some())


@pytest.fixture
def page(browser: Browser, api: FakeApi) -> Generator[Page]:
    """The page, loaded. An error in a script fails the test."""
    errors: list[str] = []
    with serve(api) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        yield page
        page.close()
    assert errors == []


@pytest.fixture
def picker(page: Page) -> Picker:
    """The picker of txt2img, opened."""
    picker = Picker(page)
    picker.open()
    return picker
