"""Measures the page with many networks: `python -m bench.picker --webui DIR --python PY`.

A real WebUI is started twice on the same made-up files, once with its builtin Lora page, once with ours,
and headless Chromium opens each. Times of the page are the browser's own clock; what a frame takes is
measured while the cards are scrolled by 60 pixels a frame.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.catalog import make_files
from tests.host.driver import make_data_dir
from tests.host.real import RealHost

WAIT = 600_000
"""Milliseconds for whatever the page has to wait for."""
REPEATS = 40
ROUTES = {
    "first cards": ("cards", {"limit": "60"}),
    "cards in the middle, by path": ("cards", {"limit": "60", "offset": "4980", "sort": "path"}),
    "newest first": ("cards", {"limit": "60", "sort": "created", "desc": "1"}),
    "search for three words": ("cards", {"limit": "60", "text": "net 7 sd1"}),
    "search, nothing found": ("cards", {"limit": "60", "text": "absent"}),
    "what the page polls": ("cards/revision", {}),
    "folders": ("folders", {}),
}
TAB = "#txt2img_extra_tabs > .tab-nav button"
CARDS = "#txt2img_lora_cards"

_FRAMES = """async (place) => {
    const frame = () => new Promise(requestAnimationFrame);
    let box = document.querySelector(place);
    const scrolls = (one) => one.scrollHeight > one.clientHeight + 1
        && /auto|scroll/.test(getComputedStyle(one).overflowY);
    while (box && !scrolls(box)) box = box.parentElement;
    box = box || document.scrollingElement;
    const deltas = [];
    let last = await frame();
    for (let at = 0; at < 180; at++) {
        box.scrollTop += 60;
        const now = await frame();
        deltas.push(now - last);
        last = now;
    }
    return deltas;
}"""
_SHOWN = """async ([tab, card]) => {
    const start = performance.now();
    [...document.querySelectorAll(tab)].find((one) => one.textContent.trim() === 'Lora').click();
    const isShown = () => [...document.querySelectorAll(card)].some((one) => one.offsetHeight);
    while (!isShown()) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    return performance.now() - start;
}"""
_TYPED = """async ([field, text, settled]) => {
    const box = document.querySelector(field);
    const isSettled = new Function('return ' + settled);
    const start = performance.now();
    let longest = 0;
    for (let end = 1; end <= text.length; end++) {
        const pressed = performance.now();
        box.value = text.slice(0, end);
        box.dispatchEvent(new Event('input', {bubbles: true}));
        await new Promise(requestAnimationFrame);
        longest = Math.max(longest, performance.now() - pressed);
        await new Promise((done) => setTimeout(done, 60));
    }
    const last = performance.now();
    while (!isSettled()) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    return [longest, performance.now() - last];
}"""


@dataclass(frozen=True)
class Arm:
    """One of the two pages."""

    name: str
    card: str
    """What a card is, as a selector."""
    settled: str
    """Whether the page shows what was found for `TEXT`, in JavaScript."""


TEXT = "net 777"
OURS = Arm(
    "ours",
    f"{CARDS} .lyco-tile",
    "parseInt(document.querySelector('#txt2img_lora_pane .lyco-total').textContent) < 1000",
)
BUILTIN = Arm(
    "builtin",
    f"{CARDS} .card",
    f"[...document.querySelectorAll('{CARDS} .card')].filter((one) => one.offsetHeight).length < 1000",
)


def measure(arm: Arm, host: RealHost, browser: Browser) -> dict[str, str]:
    """The rows of one arm: what -> figure."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(WAIT)
    received = count_bytes(page)
    start = time.perf_counter()
    page.goto(host.address)
    page.locator("#txt2img_prompt textarea").wait_for()
    if arm is BUILTIN:
        page.locator(arm.card).first.wait_for(state="attached")
    else:
        page.locator("#txt2img_lora_lyco_controls select").first.wait_for(state="attached")
    opened = time.perf_counter() - start
    shown = page.evaluate(_SHOWN, [TAB, arm.card])
    page.wait_for_timeout(2000)
    rows = {
        "page loaded, cards or frame in it": f"{opened:.1f} s",
        "received by the browser": f"{received() / 1e6:.1f} MB",
        "tab opened to first cards": f"{shown:.0f} ms",
        "DOM nodes of the page": f"{page.evaluate('document.querySelectorAll(`*`).length')}",
        "DOM nodes below the cards": f"{page.locator(CARDS).locator('*').count()}",
    }
    deltas = sorted(page.evaluate(_FRAMES, CARDS))
    rows["a frame while scrolling, median / p95 / longest"] = (
        f"{statistics.median(deltas):.0f} / {deltas[len(deltas) * 95 // 100]:.0f} / {deltas[-1]:.0f} ms"
    )
    longest, settled = page.evaluate(_TYPED, ["#txt2img_lora_extra_search", TEXT, arm.settled])
    rows["typing a search: longest frame of a key"] = f"{longest:.0f} ms"
    rows["last key to what was found"] = f"{settled:.0f} ms"
    page.close()
    return rows


def count_bytes(page: Page) -> Callable[[], float]:
    """How many bytes the page has received until it is asked, frames of web sockets included."""
    total = [0.0]
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def loaded(event: dict[str, Any]) -> None:
        total[0] += event["encodedDataLength"]

    def framed(event: dict[str, Any]) -> None:
        total[0] += len(event["response"]["payloadData"])

    session.on("Network.loadingFinished", loaded)
    session.on("Network.webSocketFrameReceived", framed)
    return lambda: total[0]


def ask(address: str, path: str, given: dict[str, str]) -> float:
    """Seconds of one answer."""
    start = time.perf_counter()
    with urllib.request.urlopen(f"{address}/lyco/{path}?{urllib.parse.urlencode(given)}") as answer:
        answer.read()
    return time.perf_counter() - start


def wait_for_scan(host: RealHost, count: int) -> float:
    """Until all networks are in the index; seconds."""
    start = time.perf_counter()
    while True:
        _, found = host.call("GET", "/lyco/cards", query={"limit": 1, "show_hidden": 1})
        if found["total"] == count:
            return time.perf_counter() - start
        time.sleep(0.5)


def run(arm: Arm, folder: Path, networks: Path, count: int) -> dict[str, Any]:
    """Starts a WebUI for one arm, measures, and stops it."""
    data = make_data_dir(folder / arm.name, extension=arm is OURS, options={"lora_show_all": True})
    host = RealHost(data, ("--api", "--lora-dir", str(networks)))
    start = time.perf_counter()
    try:
        host.start()
        rows = {"start of the WebUI, nothing known": f"{time.perf_counter() - start:.1f} s"}
        if arm is OURS:
            rows["until the last file is read, beside it"] = f"{wait_for_scan(host, count):.1f} s"
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            rows |= measure(arm, host, browser)
            browser.close()
        for name, (path, given) in ROUTES.items() if arm is OURS else ():
            times = sorted(ask(host.address, path, given) for _ in range(REPEATS))
            p95 = times[REPEATS * 95 // 100]
            rows[f"answer: {name}, p50 / p95"] = (
                f"{statistics.median(times) * 1e3:.0f} / {p95 * 1e3:.0f} ms"
            )
        return {**rows, "load of the machine": f"{os.getloadavg()[0]:.1f}"}
    finally:
        host.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the files, measures both, prints the table."""
    parser = argparse.ArgumentParser(prog="bench.picker", description=__doc__)
    parser.add_argument("--webui", type=Path, required=True, help="the WebUI's folder")
    parser.add_argument("--python", required=True, help="the interpreter that has what it needs")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument(
        "--networks", type=Path, help="made by an earlier run; otherwise they are made anew"
    )
    options = parser.parse_args(arguments)
    os.environ |= {"WEBUI_DIR": str(options.webui), "WEBUI_PYTHON": options.python}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = options.networks or folder / "networks"
        if options.networks is None:
            make_files(networks, options.files)
        found = [run(arm, folder, networks, options.files) for arm in (BUILTIN, OURS)]
    print("| | builtin | ours |\n|---|---|---|")
    for what in dict.fromkeys([*found[0], *found[1]]):
        print(f"| {what} | {found[0].get(what, '')} | {found[1].get(what, '')} |")


if __name__ == "__main__":
    main()
