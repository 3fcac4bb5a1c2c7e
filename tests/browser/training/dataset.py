"""The section Dataset as a user sees it, and small sets of images for it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page

from lib_lyco.train.data.folder import scan_folder
from lib_lyco.train.options.subset import SubsetOptions
from tests.studio.dataset.pictures import put_image, put_text

COLOURS = ("red", "green", "blue", "gold")


def put_set(folder: Path) -> None:
    """Four images in a folder of 3 repeats, all with the tag thing, half of them with one more."""
    for number, colour in enumerate(COLOURS):
        image = put_image(folder / f"{colour}.png", (60 + 30 * number, 60), colour)
        put_text(image.with_suffix(".txt"), f"thing, {colour}{', odd' if number % 2 else ''}")


def captions(folder: Path) -> dict[str, str]:
    """As training reads them."""
    return {one.path.stem: one.caption for one in scan_folder(folder, SubsetOptions()).records}


class Section:
    """The section as a user sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.locator("#lyco_train_dataset")
        self.tiles = self.root.locator(".lyco-train-set-tile")
        self.status = self.root.locator(".lyco-train-set-status")
        self.editor = self.root.get_by_role("complementary")
        self.grid = self.root.locator(".lyco-train-set-grid")

    def open(self, folder: Path) -> None:
        """Goes to the section and opens a folder."""
        self.page.locator("#lyco_train").get_by_role("tab", name="Dataset").click()
        field = self.root.get_by_label("Folder of images", exact=True)
        field.fill(str(folder))
        field.press("Enter")
        self.tiles.first.wait_for()

    def picture(self, name: str) -> Locator:
        """The tile of an image, where it is clicked."""
        return self.root.locator(f'.lyco-train-set-tile[data-name="{name}"] .lyco-toggle')

    def button(self, name: str) -> Locator:
        """The first button of that name."""
        return self.root.get_by_role("button", name=name, exact=True).first

    def selected(self) -> int:
        """How many tiles say that they are selected."""
        return self.root.locator(".lyco-toggle[aria-pressed=true]").count()

    def add(self, tags: str, button: str = "At the end") -> None:
        """Adds tags to the selected images."""
        self.editor.get_by_label("Tags to add, with commas between").fill(tags)
        self.editor.get_by_role("button", name=button).click()
