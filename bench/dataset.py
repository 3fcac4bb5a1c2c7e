"""Measures the section Dataset of the training tab with many images: `python -m bench.dataset`.

`lyco ui` runs in a process of its own, headless Chromium opens its page. A time goes from the click or the
key in the browser to the frame that shows what came of it, by the browser's own clock; at that time the
files are written.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.training.conftest import Ui

SIZES = ((768, 512), (512, 768), (640, 640))
TAGS, TAGS_OF_ONE = 800, 20
REPEATS = 12
_ROOT = "#lyco_train_dataset"

_TIMED = """async ([act, done]) => {
    const root = document.getElementById("lyco_train_dataset");
    const isDone = new Function("root", "return " + done);
    const start = performance.now();
    new Function("root", act)(root);
    while (!isDone(root)) {
        if (performance.now() - start > 120000) throw new Error("waited for " + done);
        await new Promise(requestAnimationFrame);
    }
    await new Promise(requestAnimationFrame);
    return performance.now() - start;
}"""
_ENTER = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})"
_ALL_SHOWN = """(() => {
    const shown = [...root.querySelectorAll(".lyco-train-set-tile img")].filter((one) => {
        const box = one.getBoundingClientRect();
        return box.top < innerHeight && box.bottom > 0;
    });
    return shown.length > 3 && shown.every((one) => one.complete && one.naturalWidth);
})()"""


def make_images(folder: Path, count: int) -> None:
    """Images with large areas of colour, and captions of 20 tags out of 800."""
    folder.mkdir(parents=True, exist_ok=True)
    chance, colours = random.Random(0), numpy.random.default_rng(0)
    for number in range(count):
        areas = Image.fromarray(colours.integers(0, 255, (6, 7, 3), dtype=numpy.uint8))
        image = areas.resize(chance.choice(SIZES), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:05}.jpg", quality=80)
        tags = ["thing", *(f"tag {one}" for one in chance.sample(range(TAGS), TAGS_OF_ONE))]
        (folder / f"{number:05}.txt").write_text(", ".join(tags) + "\n", encoding="utf-8")


def timed(page: Page, act: str, done: str) -> float:
    """Milliseconds from an action to the frame that shows what came of it; both in JavaScript."""
    return page.evaluate(_TIMED, [act, done])


def add(tag: str) -> str:
    """Adds a tag to the selected images, as Enter in the field does."""
    return (
        "const field = root.querySelector('[data-part=add]');"
        f"field.value = '{tag}'; field.dispatchEvent({_ENTER});"
    )


def has_chip(tag: str) -> str:
    """Whether the editor shows a tag of all selected images."""
    chips = "[...root.querySelectorAll('.lyco-train-set-chip')]"
    return f"{chips}.some((one) => one.innerText.includes('{tag}'))"


def measure(page: Page, folder: Path) -> dict[str, str]:
    """The rows: what -> figure."""
    page.locator("#lyco_train").get_by_role("tab", name="Dataset").click()
    opening = f"root.querySelector('.lyco-train-set-folder').value = '{folder.as_posix()}';"
    opening += f"root.querySelector('.lyco-train-set-folder').dispatchEvent({_ENTER});"
    rows = {"opened to the first page of thumbnails, nothing known": timed(page, opening, _ALL_SHOWN)}
    page.wait_for_timeout(3000)
    page.reload()
    page.locator("#lyco_train").get_by_role("tab", name="Dataset").click()
    rows["the same, after the page was loaded anew"] = timed(page, opening, _ALL_SHOWN)
    page.wait_for_timeout(3000)
    rows["one image selected"] = timed(
        page, "root.querySelector('.lyco-toggle').click()", "root.querySelector('[data-part=add]')"
    )
    ones = [timed(page, add(f"new{number}"), has_chip(f"new{number}")) for number in range(REPEATS)]
    rows["a tag added to one"] = statistics.median(ones)
    rows["the slowest of them"] = max(ones)
    undo = "[...root.querySelectorAll('button')].find((one) => one.title.startsWith('Undo')).click()"
    rows["that taken back"] = timed(page, undo, f"!{has_chip(f'new{REPEATS - 1}')}")
    page.locator(f"{_ROOT} .lyco-toggle").first.press("Control+a")
    rows["a tag added to all"] = timed(page, add("everywhere"), has_chip("everywhere"))
    rows["that taken back from all"] = timed(page, undo, f"!{has_chip('everywhere')}")
    page.locator(f"{_ROOT} .lyco-toggle").first.press("Escape")
    told = {what: f"{milliseconds:.0f} ms" for what, milliseconds in rows.items()}
    told["tiles in the page"] = str(page.locator(f"{_ROOT} .lyco-train-set-tile").count())
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the images, measures, prints the table."""
    parser = argparse.ArgumentParser(prog="bench.dataset", description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="of an earlier run; otherwise it is made anew")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name) / "images"
        if not folder.is_dir():
            make_images(folder, options.images)
        ui = Ui(Path(name))
        try:
            ui.start()
            with sync_playwright() as playwright:
                chromium = shutil.which("chromium") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                page.set_default_timeout(120_000)
                ui.show(page)
                rows = measure(page, folder.resolve())
                browser.close()
        finally:
            ui.end(signal.SIGKILL)
    print("| | |\n|---|---|")
    for what, figure in rows.items():
        print(f"| {what} | {figure} |")
    print(f"| load of the machine | {os.getloadavg()[0]:.1f} |")


if __name__ == "__main__":
    main()
