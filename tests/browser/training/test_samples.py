"""The pictures of a run: prompts across, epochs down, with and without the network."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright")

from playwright.sync_api import Page, expect

from tests.browser.training.conftest import Ui, WebUi
from tests.browser.training.test_run import PATIENCE, opened

PROMPTS = "a photo of sks cat --d 5 --s 2\na dog --d 6 --s 2\n"


@pytest.fixture(scope="module")
def run(ui: Ui) -> str:
    """A run of two epochs with two prompts."""
    prompts = ui.data.parent / "prompts.txt"
    prompts.write_text(PROMPTS, encoding="utf-8")
    id = ui.submit(
        max_steps=None,
        epochs=2,
        batch_size=8,
        sample_prompts=str(prompts),
        sample_every_n_epochs=1,
        sample_without_network=True,
        sample_sampler="DDIM",
    )
    ui.wait_for(id, "finished")
    return id


def test_pictures_stand_by_epoch_and_prompt(training_page: Page, ui: Ui, run: str) -> None:
    section = opened(training_page, "Samples")
    table = section.locator("table")
    expect(table.locator("thead th")).to_have_text(["a photo of sks cat", "a dog"], timeout=PATIENCE)
    rows = table.locator("tbody tr")
    expect(rows.locator("th")).to_have_text(["epoch 1, step 1", "epoch 2, step 2"])
    names = {sample["name"] for sample in ui.get(f"runs/{run}")["samples"]}
    pictures = table.locator("img")
    expect(pictures).to_have_count(8, timeout=PATIENCE)
    shown = {str(picture.get_attribute("src")).split("name=")[1] for picture in pictures.all()}
    assert shown == names
    pictures.last.scroll_into_view_if_needed()
    training_page.wait_for_function(
        "[...document.querySelectorAll('#lyco_train_samples img')].every((one) => one.naturalWidth === 64)"
    )
    # none lies over another
    heights = [box["height"] for row in rows.all() if (box := row.bounding_box())]
    picture = pictures.first.bounding_box()
    assert picture and all(height >= picture["height"] for height in heights)
    section.get_by_label("Beside them without the network").uncheck()
    expect(pictures).to_have_count(4)
    section.get_by_label("Beside them without the network").check()


def test_a_picture_is_seen_large_beside_the_one_without(training_page: Page, ui: Ui, run: str) -> None:
    section = opened(training_page, "Samples")
    section.locator("tbody tr").first.locator("button").first.click()
    dialog = training_page.get_by_role("dialog")
    expect(dialog.locator("figcaption")).to_have_text(["with the network", "without the network"])
    expect(dialog.locator("strong")).to_have_text("epoch 1, step 1")
    infos = {sample["info"] for sample in ui.get(f"runs/{run}")["samples"] if sample["step"] == 1}
    assert dialog.locator("pre").inner_text() in infos
    training_page.keyboard.press("ArrowRight")
    expect(dialog.locator("strong")).to_have_text("epoch 2, step 2")
    # without a WebUI there is no txt2img
    expect(dialog.get_by_role("button", name="Send to txt2img")).to_have_count(int(isinstance(ui, WebUi)))


def test_a_picture_is_sent_to_the_webuis_txt2img(training_page: Page, ui: Ui, run: str) -> None:
    if not isinstance(ui, WebUi):
        pytest.skip("has no txt2img")
    section = opened(training_page, "Samples")
    section.locator("tbody tr").first.locator("button").first.click()
    dialog = training_page.get_by_role("dialog")
    info = dialog.locator("pre").inner_text()
    dialog.get_by_role("button", name="Send to txt2img").click()
    expect(training_page.locator("#txt2img_prompt textarea")).to_have_value(info.splitlines()[0])
    for field, value in {"steps": "2", "width": "64", "height": "64"}.items():
        expect(training_page.locator(f"#txt2img_{field} input[type=number]")).to_have_value(value)
    expect(training_page.locator("#txt2img_seed input")).to_have_value("5")


def test_a_picture_is_sent_to_txt2img_as_a_user_would(training_page: Page, ui: Ui, run: str) -> None:
    """With the WebUI's elements that are used: the prompt's field and the button that reads it."""
    if isinstance(ui, WebUi):
        pytest.skip("has elements of its own")
    section = opened(training_page, "Samples")
    training_page.evaluate(
        """() => {
            const box = document.createElement('div');
            box.id = 'txt2img_prompt';
            box.append(document.createElement('textarea'));
            const button = document.createElement('button');
            button.id = 'paste';
            window.done = [];
            window.updateInput = (field) => done.push(['input', field.value]);
            window.switch_to_txt2img = () => done.push(['switch']);
            button.onclick = () => done.push(['paste']);
            document.body.append(box, button);
        }"""
    )
    section.locator("tbody tr").first.locator("button").first.click()
    dialog = training_page.get_by_role("dialog")
    info = dialog.locator("pre").inner_text()
    dialog.get_by_role("button", name="Send to txt2img").click()
    training_page.wait_for_function("window.done.length === 3")
    assert training_page.evaluate("window.done") == [["input", info], ["switch"], ["paste"]]
    expect(dialog).to_have_count(0)
