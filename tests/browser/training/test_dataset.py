"""The section Dataset on `lyco ui`: what a user does with captions is in the files afterwards."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy
import pytest

pytest.importorskip("playwright")

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.training.conftest import Ui
from tests.browser.training.dataset import Section, captions
from tests.studio.dataset.onnx_model import put_model
from tests.studio.dataset.pictures import put_image, put_text


def test_a_tag_is_added_and_removed_over_a_selection_and_taken_back(section: Section, folder: Path) -> None:
    before = captions(folder)
    section.picture("blue.png").click()
    section.picture("gold.png").click(modifiers=["Control"])
    expect(section.editor.get_by_role("heading")).to_have_text("2 images")
    section.add("smile, hat")
    expect(section.editor.get_by_text("smile")).to_be_visible()
    assert captions(folder) == {
        **before,
        "blue": "thing, blue, smile, hat",
        "gold": "thing, gold, odd, smile, hat",
    }
    section.editor.get_by_role("button", name="Remove thing").click()
    expect(section.editor.get_by_role("button", name="Remove thing")).to_have_count(0)
    assert captions(folder)["blue"] == "blue, smile, hat"
    section.add("sks", "As trigger")
    expect(section.editor.get_by_role("button", name="Remove sks")).to_be_visible()
    assert captions(folder)["gold"] == "sks, gold, odd, smile, hat"
    for label in ("Put in front: sks", "Remove tags: thing", "Add tags: smile, hat"):
        expect(section.button("Undo")).to_have_attribute("title", f"Undo: {label}")
        section.button("Undo").click()
    expect(section.button("Undo")).to_be_disabled()
    assert captions(folder) == before
    section.button("Redo").click()
    expect(section.button("Undo")).to_be_enabled()
    assert captions(folder)["blue"] == "thing, blue, smile, hat"


def test_selecting_as_in_a_window_of_files(section: Section) -> None:
    section.picture("blue.png").click()
    section.picture("green.png").click(modifiers=["Shift"])
    assert section.selected() == 3
    section.picture("gold.png").click(modifiers=["Control"])
    assert section.selected() == 2
    section.picture("red.png").click()
    assert section.selected() == 1
    section.page.keyboard.press("Control+a")
    expect(section.status).to_contain_text("4 selected")
    section.page.keyboard.press("Escape")
    assert section.selected() == 0
    section.picture("blue.png").focus()
    section.page.keyboard.press("Space")
    section.page.keyboard.press("Shift+ArrowRight")
    section.page.keyboard.press("Shift+ArrowRight")
    expect(section.status).to_contain_text("3 selected")


def test_tags_with_their_counts_filter_and_are_renamed(section: Section, folder: Path) -> None:
    tags = section.root.locator(".lyco-train-set-tag")
    assert tags.all_inner_texts()[:2] == ["thing4", "odd2"]
    tags.nth(1).click()
    expect(section.tiles).to_have_count(2)
    section.button("Select these images").click()
    assert section.selected() == 2
    section.button("Rename…").click()
    window = section.page.get_by_role("dialog")
    window.get_by_label("New tags, with commas between").fill("strange, rare")
    window.get_by_role("button", name="Rename").click()
    expect(section.tiles).to_have_count(4)
    expect(tags.filter(has_text="strange")).to_have_count(1)
    assert captions(folder)["gold"] == "thing, gold, strange, rare"


def test_what_is_written_stays_when_something_else_changes(section: Section) -> None:
    section.picture("red.png").click()
    field = section.editor.get_by_label("Tags to add, with commas between")
    text = section.editor.get_by_label("Caption", exact=True)
    field.fill("smile")
    section.editor.get_by_role("button", name="Remove thing").click()
    expect(text).to_have_value("red")
    expect(field).to_have_value("smile")
    section.picture("blue.png").click()
    expect(text).to_have_value("thing, blue")
    expect(field).to_have_value("")


def test_one_caption_as_text(section: Section, folder: Path) -> None:
    section.picture("red.png").click()
    text = section.editor.get_by_label("Caption", exact=True)
    expect(text).to_have_value("thing, red")
    expect(section.editor).to_contain_text("3 repeats")
    text.fill("a red thing, 猫\nsecond line")
    text.press("Control+Enter")
    expect(section.editor.get_by_role("button", name="Remove 猫")).to_be_visible()
    assert captions(folder)["red"] == "a red thing, 猫"
    assert (folder / "red.txt").read_text(encoding="utf-8") == "a red thing, 猫\nsecond line\n"


def test_find_and_replace(section: Section, folder: Path) -> None:
    section.button("Find and replace…").click()
    window = section.page.get_by_role("dialog")
    window.get_by_label("Find").fill("thing, ")
    window.get_by_label("Write instead").fill("$1, ")
    expect(window.get_by_role("status")).to_have_text("Changes 4 captions.")
    window.get_by_role("button", name="Replace").click()
    expect(window).to_have_count(0)
    assert captions(folder)["gold"] == "$1, gold, odd"
    section.button("Find and replace…").click()
    window.get_by_label("Find").fill("(g\\w+")
    window.get_by_label("regular expression").check()
    expect(window.get_by_role("status")).to_contain_text("This is no regular expression")
    window.get_by_label("Find").fill("(g\\w+)")
    window.get_by_label("Write instead").fill("dark $1")
    expect(window.get_by_role("status")).to_have_text("Changes 2 captions.")
    window.get_by_role("button", name="Replace").click()
    expect(window).to_have_count(0)
    assert captions(folder)["gold"] == "$1, dark gold, odd"
    section.button("Undo").click()
    expect(section.button("Undo")).to_have_attribute("title", "Undo: Find thing, , write $1, ")
    assert captions(folder)["gold"] == "$1, gold, odd"


def test_tags_are_cleaned_up_in_one_step(section: Section, folder: Path) -> None:
    put_text(folder / "red.txt", "red, thing, zed, Thing")
    section.button("Open").click()
    section.button("Clean up…").click()
    window = section.page.get_by_role("dialog")
    window.get_by_label("Order").select_option("frequency")
    window.get_by_label("Trigger words in front").fill("sks")
    window.get_by_role("button", name="Clean up").click()
    expect(window).to_have_count(0)
    assert captions(folder)["red"] == "sks, thing, red, zed"
    assert captions(folder)["gold"] == "sks, thing, odd, gold"
    section.button("Undo").click()
    expect(section.button("Undo")).to_be_disabled()
    assert captions(folder)["red"] == "red, thing, zed, Thing"


def test_an_image_is_left_out_and_taken_back(section: Section, folder: Path) -> None:
    section.picture("gold.png").click()
    section.editor.get_by_role("button", name="Leave out").click()
    expect(section.status).to_contain_text("3 images · 1 left out")
    assert sorted(captions(folder)) == ["blue", "green", "red"]
    section.root.get_by_label("Show", exact=True).select_option("excluded")
    expect(section.tiles).to_have_count(1)
    section.picture("excluded/gold.png").click()
    section.editor.get_by_role("button", name="Take back").click()
    expect(section.status).to_contain_text("4 images")
    assert captions(folder)["gold"] == "thing, gold, odd"


def test_crops_are_those_of_the_options(section: Section) -> None:
    section.button("Crops").click()
    tile = section.root.locator('.lyco-train-set-tile[data-name="gold.png"]')
    # 150x60 is nearest to 768x320; covering it makes it 800x320, of which 16 go at each side
    expect(tile.locator(".lyco-train-set-badge-bucket")).to_have_text("768×320")
    frame, crop = tile.locator(".lyco-train-set-frame"), tile.locator(".lyco-train-set-crop")
    whole, part = frame.bounding_box(), crop.bounding_box()
    assert whole and part
    assert part["width"] / whole["width"] == pytest.approx(0.96, abs=0.02)
    assert part["height"] / whole["height"] == pytest.approx(1, abs=0.02)
    assert whole["width"] / whole["height"] == pytest.approx(2.5, abs=0.1)
    section.page.evaluate("""() => {
        const {desk} = document.getElementById("lyco_train").shell;
        desk.setConfig({...desk.config, buckets: false});
    }""")
    expect(tile.locator(".lyco-train-set-badge-bucket")).to_have_text("512×512")


def test_duplicates_are_found_and_left_out(section: Section, folder: Path) -> None:
    areas = numpy.random.default_rng(0).integers(0, 255, (6, 7, 3), dtype=numpy.uint8)
    scene = Image.fromarray(areas).resize((240, 160), Image.Resampling.BICUBIC)
    scene.save(folder / "a.png")
    scene.resize((120, 80)).save(folder / "b.png")
    section.button("Open").click()
    expect(section.tiles).to_have_count(6)
    section.button("Duplicates…").click()
    window = section.page.get_by_role("dialog")
    near = window.locator("section", has_text="Nearly the same picture").filter(has_text="a.png")
    expect(near.locator("figcaption")).to_have_text([re.compile("^a.png"), re.compile("^b.png")])
    near.get_by_role("button", name="Leave out").nth(1).click()
    expect(near).to_have_count(0)
    assert (folder / "excluded" / "b.png").is_file()


def test_an_upload_says_what_it_did_not_take(training_page: Page, ui: Ui) -> None:
    page, packed = training_page, io.BytesIO()
    red = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(red, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("5_bird/a.png", red.getvalue())
        archive.writestr("5_bird/a.txt", "bird, red")
        archive.writestr("../../out.png", red.getvalue())
        archive.writestr("5_bird/readme.exe", b"MZ")
    page.evaluate("lyco.remember('train-config', {})")
    ui.show(page)
    page.locator("#lyco_train").get_by_role("tab", name="Dataset").click()
    section = Section(page)
    section.root.locator("input[type=file]").set_input_files(
        {"name": "birds.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}
    )
    window = page.get_by_role("dialog")
    expect(window.get_by_role("heading")).to_have_text("2 files were taken, 2 were not")
    expect(window).to_contain_text("../../out.png: Its name leads out of the folder")
    page.keyboard.press("Escape")
    expect(section.status).to_contain_text("1 images")
    kept = ui.data / "lyco" / "dataset" / "images" / "birds"
    assert captions(kept) == {"a": "bird, red"}
    assert page.evaluate("document.getElementById('lyco_train').shell.desk.config.images") == str(kept)


def test_captions_are_made_by_a_model_that_the_user_put_there(
    section: Section, folder: Path, ui: Ui
) -> None:
    pytest.importorskip("onnxruntime")
    put_model(ui.data / "models" / "wd14" / "colours")
    section.button("Auto-tag…").click()
    window = section.page.get_by_role("dialog")
    expect(window.get_by_label("Made by")).to_have_text("colours")
    window.get_by_label("In front of every caption").fill("sks")
    window.get_by_role("button", name="Start").click()
    expect(window).to_have_count(0)
    expect(section.button("Undo")).to_be_enabled()
    # a square is filled up with white, of which 1/3, 1/2 and 3/5 of the wider pictures are made
    assert captions(folder) == {
        "red": "sks, thing, red",
        "green": "sks, thing, green, odd",  # blue 0.33
        "blue": "sks, thing, blue, blue thing",  # blue 1
        "gold": "sks, thing, gold, odd, green, blue thing",  # green 0.94, blue 0.6
    }
    section.button("Undo").click()
    expect(section.button("Undo")).to_be_disabled()
    assert captions(folder)["red"] == "thing, red"


def test_masks_are_made_and_shown(section: Section, folder: Path) -> None:
    half = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 32, 64))
    half.save(folder / "half.png")
    section.button("Open").click()
    expect(section.tiles).to_have_count(5)
    section.button("Masks…").click()
    window = section.page.get_by_role("dialog")
    window.get_by_role("button", name="Make masks").click()
    expect(window.get_by_role("status")).to_have_text("5 masks were made, 0 were there.")
    window.get_by_role("button", name="Use these").click()
    section.button("Masks").click()
    shown = section.root.locator('.lyco-train-set-tile[data-name="half.png"] .lyco-train-set-mask')
    expect(shown).to_be_visible()
    section.page.wait_for_function(
        "() => [...document.querySelectorAll('.lyco-train-set-mask')].every((one) => one.naturalWidth > 0)"
    )
    masks = folder.with_name("3_set_masks")
    assert sorted(path.name for path in masks.glob("3_set/*.png"))[-2:] == ["half.png", "red.png"]


def test_thousands_of_images_are_not_all_in_the_page(training_page: Page, tmp_path: Path) -> None:
    image = put_image(tmp_path / "many" / "00000.png", (16, 16)).read_bytes()
    for number in range(3000):
        put_text(tmp_path / "many" / f"{number:05}.png", image)
        put_text(tmp_path / "many" / f"{number:05}.txt", f"many, number {number % 50}")
    section = Section(training_page)
    section.open(tmp_path / "many")
    expect(section.status).to_contain_text("3000 images")
    assert section.tiles.count() < 60
    section.picture("00000.png").focus()
    training_page.keyboard.press("End")
    expect(section.picture("02999.png")).to_be_focused()
    assert section.tiles.count() < 60
    training_page.keyboard.press("Control+a")
    section.add("new")
    expect(section.editor.get_by_role("button", name="Remove new")).to_be_visible()
    assert set(captions(tmp_path / "many").values()) == {f"many, number {one}, new" for one in range(50)}


def test_a_screen_reader_is_told_everything(section: Section) -> None:
    expect(section.grid).to_have_attribute("role", "list")
    expect(section.picture("red.png")).to_have_attribute("aria-label", re.compile("red.png.*thing, red"))
    nameless = section.page.evaluate(
        """() => [...document.querySelectorAll("#lyco_train_dataset :is(button, input, select, textarea)")]
            .filter((one) => !one.hidden && one.ariaHidden !== "true")
            .filter((one) => !(one.ariaLabel || one.innerText || one.closest("label")))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []


def test_a_phone_shows_it_without_scrolling_sideways(section: Section) -> None:
    section.page.set_viewport_size({"width": 390, "height": 844})
    section.picture("red.png").click()
    wide = section.page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 1
    assert section.tiles.first.is_visible()
