"""The real WebUI's page, for the tests that need it."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.host.driver import Host
from tests.host.networks import write_all, write_checkpoints
from tests.host.real import RealHost

PATIENCE = 20_000
"""Milliseconds for a page or a picture."""


@contextmanager
def real_page(browser: Browser, data_dir: Path) -> Generator[Page]:
    """Starts the WebUI with some networks, loads its page. An error in our scripts fails the last test."""
    if not os.environ.get("WEBUI_DIR"):
        pytest.skip("WEBUI_DIR names no WebUI")
    write_all(data_dir / "models" / "Lora")
    server = RealHost(data_dir)
    write_checkpoints(Host(server, data_dir).write_checkpoint)
    errors: list[str] = []
    try:
        server.start()
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
        page.goto(f"{server.address}/?__theme=dark")
        page.locator("#txt2img_lora_lyco_controls select").first.wait_for(state="attached")
        yield page
        page.close()
    finally:
        server.stop()
    assert not [error for error in errors if "lyco" in error]


def small_pictures(page: Page) -> None:
    """Sets width, height and steps to as little as there is."""
    for name, value in (("width", 64), ("height", 64), ("steps", 2)):
        page.locator(f"#txt2img_{name} input[type=number]").fill(str(value))
