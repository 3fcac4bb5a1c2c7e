"""The pages of cards, and the routes by which anybody asks about a card."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any

from . import shared

extra_pages: list[ExtraNetworksPage] = []
allowed_dirs: set[str] = set()


class ExtraNetworksPage:
    """One page; its name is the title in small letters."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.name = title.lower()
        self.extra_networks_tabname = self.name.replace(" ", "_")
        self.allow_negative_prompt = False
        self.metadata: Any = {}
        self.items: Any = {}

    def create_item(self, name: str, index: int | None = None, enable_filter: bool = True) -> Any:
        """One card's fields."""
        raise NotImplementedError

    def read_user_metadata(self, item: dict[str, Any], use_cache: bool = True) -> None:
        """Adds the notes beside the file."""
        del use_cache
        path = Path(os.path.splitext(item["filename"])[0] + ".json")
        item["user_metadata"] = json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def create_item_html(self, tabname: str, item: dict[str, Any], template: str) -> str:
        """The WebUI's own card."""
        clicked = f"cardClicked('{tabname}', {item['prompt']}, {item['negative_prompt']})"
        return template.format(name=html.escape(item["name"]), card_clicked=html.escape(clicked))

    def allowed_directories_for_previews(self) -> list[str]:
        """Where its previews may be."""
        return []


def initialize() -> None:
    """Empties the list, before the pages register."""
    extra_pages.clear()


def register_page(page: ExtraNetworksPage) -> None:
    """Adds a page; one of the same name does not replace it."""
    extra_pages.append(page)
    allowed_dirs.clear()
    allowed_dirs.update(*(page.allowed_directories_for_previews() for page in extra_pages))


def quote_js(s: str) -> str:
    """A JavaScript string."""
    return json.dumps(s, ensure_ascii=False)


def fetch_file(filename: str = "") -> dict[str, int]:
    """A preview; its size stands for its bytes."""
    path = Path(filename)
    if not any(Path(folder).absolute() in path.absolute().parents for folder in allowed_dirs):
        raise ValueError(f"File cannot be fetched: {filename}")
    return {"size": path.stat().st_size}


def get_metadata(page: str = "", item: str = "") -> dict[str, str]:
    """What the file says, as JSON in JSON, without pictures."""
    metadata = next(found for found in extra_pages if found.name == page).metadata.get(item)
    if metadata is None:
        return {}
    told = {key: value for key, value in metadata.items() if key != "ssmd_cover_images"}
    return {"metadata": json.dumps(told, indent=4, ensure_ascii=False)}


def get_single_card(page: str = "", tabname: str = "", name: str = "") -> dict[str, str]:
    """One card anew."""
    found = next(found for found in extra_pages if found.name == page)
    item = found.create_item(name, enable_filter=False)
    found.items[name] = item
    found.read_user_metadata(item, use_cache=False)
    template = '<div class="card" onclick="{card_clicked}" data-name="{name}"></div>'
    return {"html": found.create_item_html(tabname, item, template)}


def add_pages_to_demo(app: Any) -> None:
    """The routes; nobody guards them."""
    app.add_api_route("/sd_extra_networks/thumb", fetch_file)
    app.add_api_route("/sd_extra_networks/metadata", get_metadata)
    app.add_api_route("/sd_extra_networks/get-single-card", get_single_card)


def register_login(app: Any) -> None:
    """gradio's own route: whether a user has logged in, where that is asked for."""

    def login_check(user: str | None = None) -> bool:
        wanted = shared.cmd_opts.gradio_auth
        return wanted is None or user in wanted.split(",")

    app.add_api_route("/login_check", login_check)
