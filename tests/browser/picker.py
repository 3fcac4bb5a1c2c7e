"""The picker and the strip as a user sees them."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


class Picker:
    """One tab's.

    Args:
        page: The page.
        tab: Which tab.
    """

    def __init__(self, page: Page, tab: str = "txt2img") -> None:
        self.page = page
        self.tab = tab
        self.pane = page.locator(f"#{tab}_lora_pane")
        self.strip = page.locator(f"#{tab}_lyco_strip")
        self.rows = self.strip.locator(".lyco-row")
        self.prompt = page.locator(f"#{tab}_prompt textarea")
        self.negative = page.locator(f"#{tab}_neg_prompt textarea")
        self.search = self.pane.locator("input[type=search]")
        self.tiles = self.pane.locator(".lyco-tile")
        self.status = self.pane.locator(".lyco-status")

    def open(self) -> None:
        """Goes to the tab Lora."""
        self.page.locator(f"#{self.tab}_extra_tabs > .tab-nav button", has_text="Lora").click()
        self.tiles.first.wait_for()

    def tile(self, name: str) -> Locator:
        """The tile of a network."""
        return self.pane.locator(f".lyco-tile[data-name={_quoted(name)}]")

    def click(self, name: str) -> None:
        """Clicks a tile where a user would: on its picture."""
        self.tile(name).locator(".lyco-toggle").click(position={"x": 60, "y": 90})

    def names(self) -> list[str]:
        """The names on the tiles, in their order."""
        return self.tiles.locator(".name").all_text_contents()

    def wait_for(self, script: str) -> None:
        """Until an expression of the page is true."""
        self.page.wait_for_function(script)

    def wait_for_prompt(self, text: str) -> None:
        """Until the prompt is this text."""
        self.page.wait_for_function(
            "([place, text]) => document.querySelector(place).value === text",
            arg=[f"#{self.tab}_prompt textarea", text],
        )

    def expect_held(self, name: str, held: bool) -> None:
        """A tile says whether its network is in the prompt."""
        expect(self.tile(name).locator(".lyco-toggle")).to_have_attribute("aria-pressed", str(held).lower())


def _quoted(text: str) -> str:
    """A text in a selector."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
