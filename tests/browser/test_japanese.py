"""With the WebUI's localization ja_JP nothing of ours is English, what the server says included."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("playwright")

from playwright.sync_api import Page, expect

from lib_lyco.catalog.facts import read_facts
from lib_lyco.catalog.layout import Layouts
from lib_lyco.naming.detect import detect_family
from tests.browser.fake_api import FakeApi
from tests.browser.made_up import lora, make_entry
from tests.browser.picker import Picker
from tests.browser.test_windows import SAMPLE
from tests.dialects.files import SAMPLES
from tests.tools.test_inspect import sparse_file

ROOT = Path(__file__).parent.parent.parent
ENGLISH = re.compile(r"[A-Za-z]{3,} [a-z]{3,}")

TEXTS = """() => {
    const found = new Set();
    for (const root of document.querySelectorAll('.lyco-pane, .lyco-strip, dialog')) {
        for (const element of [root, ...root.querySelectorAll('*')]) {
            for (const name of ['title', 'aria-label', 'placeholder']) {
                found.add(element.getAttribute(name) ?? '');
            }
            for (const node of element.childNodes) {
                found.add(node.nodeType === Node.TEXT_NODE ? node.textContent.trim() : '');
            }
        }
    }
    return [...found];
}"""


@pytest.fixture
def japanese(page: Page) -> Page:
    """The page as the WebUI sends it with the option `localization`."""
    texts = (ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8")
    page.add_init_script(f"window.localization = {texts};")
    page.reload()
    return page


def broken_files(folder: Path) -> list[Path]:
    """One of each kind."""
    whole = sparse_file(folder / "whole.safetensors", SAMPLES[0].shapes, {}).read_bytes()
    contents = {
        "empty": b"",
        "short": b"\x05",
        "cut": whole[:-1],
        "half a header": whole[:100],
        "page": b"<html>not found</html>" * 9,
        "half a pickle": b"PK\x03\x04" + bytes(99),
    }
    for name, data in contents.items():
        (folder / f"{name}.safetensors").write_bytes(data)
    torch.save({"a": torch.zeros(2), "b": read_facts}, folder / "code.pt")
    torch.save({"string_to_param": {"*": torch.zeros(2, 768)}}, folder / "embedding.pt")
    return [*sorted(folder.iterdir()), folder, folder / "absent.safetensors"]


def test_what_is_said_of_files_is_japanese(japanese: Page, tmp_path: Path) -> None:
    facts = [read_facts(path, Layouts()) for path in broken_files(tmp_path)]
    said = [one.problem for one in facts if one.problem]
    said += [detect_family(sample.shapes, sample.metadata).evidence for sample in SAMPLES]
    said += json.loads(SAMPLE.read_text(encoding="utf-8"))["findings"]
    said += ["New files are being read: 300 of 10000.", "The folders are being read."]
    said += ["The index a.sqlite cannot be used and is kept in memory only: locked"]
    assert len(said) > 20
    told: list[str] = japanese.evaluate("texts => texts.map(lyco.sayMade)", said)
    # what stands behind "got" is the system's or the file's own word
    left = [text for text in told if ENGLISH.search(re.sub(r"実際: .*?(、必要|）)", "", text))]
    assert left == []


def test_names_and_numbers_stay_in_the_sentence(japanese: Page) -> None:
    told = japanese.evaluate(
        "lyco.sayMade('The file is shorter than its header: got 9 bytes; expected at least 40 bytes. Odd.')"
    )
    assert told == "ファイルがヘッダーより短くなっています（実際: 9 バイト、必要: 40 バイト以上）。 Odd."
    told = japanese.evaluate("lyco.sayMade('a {b} and c. D fight in IN01 (cosine down to -0.51).')")
    assert told == "a {b} と c. D は IN01 で打ち消し合います（コサイン最小 -0.51）。"


def test_an_x_ray_is_japanese(api: FakeApi, japanese: Page) -> None:
    api.xray = json.loads(SAMPLE.read_text(encoding="utf-8"))
    api.xray["svg"] = (
        '<svg xmlns="http://www.w3.org/2000/svg" aria-label="Nothing remarkable was found.">'
        "<text>together</text><g><title>a b IN01: 12.5% of the base model</title></g>"
        "<g><title>a / b IN01: cosine -0.50</title></g></svg>"
    )
    picker = Picker(japanese)
    picker.prompt.fill("<lora:ink:1>")
    picker.strip.get_by_role("button", name="すべてのX線").click()
    drawing = japanese.get_by_role("dialog").locator(".lyco-drawing svg")
    expect(drawing.locator("text")).to_have_text("合計")
    assert drawing.locator("title").all_text_contents() == [
        "a b IN01: ベースモデルの 12.5%",
        "a / b IN01: コサイン -0.50",
    ]
    assert drawing.get_attribute("aria-label") == "目立つものはありません。"


def test_the_page_is_japanese(api: FakeApi, japanese: Page) -> None:
    problem = (
        "The file is truncated: got 4096 bytes; expected 37861176 bytes. Copy or download the file again."
    )
    layers = "264 of 264 layers have the shapes of Stable Diffusion 1 (Stable Diffusion 2: 160)."
    api.set_entries(
        [
            make_entry(
                "猫", lora(evidence=layers, embeddings=("猫",)), previews=("猫.png", "猫.preview.1.png")
            ),
            make_entry("犬", lora(problem=problem, evidence="")),
            make_entry("xl", lora("sdxl", evidence="")),
        ]
    )
    picker = Picker(japanese)
    picker.open()
    picker.prompt.fill("<lora:猫:1> <lora:犬:0.5:0@0,1@1:step=2-5> <lora:鳥:1:lbw=NONE>")
    expect(picker.rows).to_have_count(3)
    assert [text for text in japanese.evaluate(TEXTS) if ENGLISH.search(text)] == []
    picker.pane.get_by_role("button", name="詳細").first.click()
    expect(japanese.get_by_role("dialog").locator("section").first).to_be_visible()
    texts = [text for text in japanese.evaluate(TEXTS) if ENGLISH.search(text)]
    assert [text for text in texts if not text.startswith("Stable Diffusion")] == []
