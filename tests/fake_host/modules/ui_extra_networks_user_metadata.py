"""The editor behind a card's pencil, as far as other editors build on it."""

from __future__ import annotations

from typing import Any


class UserMetadataEditor:
    """One tab's; its components are made by its subclasses' tests."""

    def __init__(self, ui: Any, tabname: str, page: Any) -> None:
        self.ui, self.tabname, self.page = ui, tabname, page
