"""The pages of cards."""

from __future__ import annotations

import json
from typing import Any

extra_pages: list[ExtraNetworksPage] = []


class ExtraNetworksPage:
    """One page; its name is the title in small letters."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.name = title.lower()
        self.extra_networks_tabname = self.name.replace(" ", "_")
        self.allow_negative_prompt = False
        self.metadata: dict[str, Any] = {}
        self.items: dict[str, Any] = {}


def initialize() -> None:
    """Empties the list, before the pages register."""
    extra_pages.clear()


def register_page(page: ExtraNetworksPage) -> None:
    """Adds a page; one of the same name does not replace it."""
    extra_pages.append(page)


def quote_js(s: str) -> str:
    """A JavaScript string."""
    return json.dumps(s)
