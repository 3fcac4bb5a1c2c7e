from collections.abc import Iterator, MutableMapping
from typing import Any

class ExtraNetworksPage:
    title: str
    name: str
    items: MutableMapping[str, dict[str, Any]]
    metadata: MutableMapping[str, dict[str, Any]]
    def __init__(self, title: str) -> None: ...
    def refresh(self) -> None: ...
    def create_html(self, tabname: str, *, empty: bool = False) -> str:
        """Of the whole pane; asked for at each load of the page and each refresh of any page."""
    def create_item(
        self, name: str, index: int | None = None, enable_filter: bool = True
    ) -> dict[str, Any] | None: ...
    def list_items(self) -> Iterator[dict[str, Any]]: ...
    def allowed_directories_for_previews(self) -> list[str]: ...
    def create_user_metadata_editor(self, ui: Any, tabname: str) -> Any: ...

extra_pages: list[ExtraNetworksPage]

def register_page(page: ExtraNetworksPage) -> None:
    """Adds a page, and the folders from which previews may be served, of all pages anew."""

def quote_js(s: str) -> str: ...
