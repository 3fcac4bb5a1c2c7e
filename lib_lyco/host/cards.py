"""The picker's page among the WebUI's extra networks, in the place of the builtin's.

To the WebUI and to other extensions it is what the builtin's was: the page `lora` with its editor, its
previews, and the routes for one card, a thumbnail, a cover and the metadata. But its HTML is a frame that
never changes, whatever the number of files; the page's script fills it with the cards in view.

What the frame has, and why (facts of the WebUI's `extraNetworks.js` and `ui_extra_networks.py`, 1.10):

- `{tab}_lora_cards`, which other extensions look into;
- `{tab}_lora_extra_search`: the WebUI sets up its own pages only once there is a search field for each
  page. It leaves a page alone that lacks `_extra_sort_dir` and `_extra_refresh`, and so it leaves ours;
- the search of any page hides each `div` of class `card` in all pages that does not match: a tile must be
  another element (`article.card`);
- the same text each time: what the script has put in stays there when the WebUI "refreshes" its pages.

After the editor has saved notes or a preview, the window gets the event `lyco-card-changed` with the
card's name as its `detail`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from html import escape
from typing import Any, TypeVar

from modules import script_callbacks, shared, ui_extra_networks
from modules.ui_extra_networks import ExtraNetworksPage, quote_js

from lib_lyco.catalog.card import Card
from lib_lyco.catalog.index import Index
from lib_lyco.errors import NetworkNotFoundError
from lib_lyco.files.hashes import short_hash
from lib_lyco.host.api import read_object
from lib_lyco.host.app import HostApp
from lib_lyco.host.editor import LycoEditor
from lib_lyco.host.folders import network_folders
from lib_lyco.host.previews import PAGE, preview_link
from lib_lyco.host.tag_names import TagNames

NEEDS = (
    ("modules.script_callbacks", "on_before_ui"),
    ("modules.ui_extra_networks", "ExtraNetworksPage"),
    ("modules.ui_extra_networks", "extra_pages"),
    ("modules.ui_extra_networks", "register_page"),
    ("modules.ui_extra_networks_user_metadata", "UserMetadataEditor"),
)

_FRAME = """
<div id="{tab}_lora_pane" class="extra-network-pane lyco-pane" data-tabname="{tab}" data-page="lora">
  <div id="{tab}_lora_lyco_controls" class="lyco-controls">
    <input id="{tab}_lora_extra_search" class="extra-network-control--search-text" type="search"
      placeholder="Search" aria-label="Search networks">
  </div>
  <div class="extra-network-pane-content-dirs lyco-content">
    <div id="{tab}_lora_lyco_folders" class="lyco-folders"></div>
    <div id="{tab}_lora_cards" class="extra-network-cards lyco-cards"></div>
  </div>
</div>
"""

_Value = TypeVar("_Value")


def register(app: HostApp) -> None:
    """Puts the page in whenever the WebUI collects its pages; what there is to see is read meanwhile."""

    def before_ui() -> None:
        app.watcher.look(0.0)
        put_page(app)

    script_callbacks.on_before_ui(before_ui)


def put_page(app: HostApp) -> None:
    """Replaces the builtin's page by ours, if `<lora:>` is ours or there is no such page."""
    pages = ui_extra_networks.extra_pages
    if app.options.own_lora or all(page.name != PAGE for page in pages):
        pages[:] = [page for page in pages if page.name != PAGE]
        ui_extra_networks.register_page(LycoPage(app))


class LycoPage(ExtraNetworksPage):
    """The page `lora`."""

    def __init__(self, app: HostApp) -> None:
        super().__init__("Lora")
        self._app = app
        self._tag_names = TagNames(app.catalog)
        self.items = ByName(app.catalog, self._item)
        self.metadata = ByName(app.catalog, self._metadata)

    def refresh(self) -> None:
        """The refresh button of any page."""
        self._app.catalog.scan()

    def create_html(self, tabname: str, *, empty: bool = False) -> str:
        """The frame."""
        del empty
        return _FRAME.format(tab=escape(tabname))

    def create_item(
        self, name: str, index: int | None = None, enable_filter: bool = True
    ) -> dict[str, Any] | None:
        """One card for the WebUI's own template and for other extensions, with the builtin's fields."""
        del enable_filter
        item = self.items.get(name)
        if item is not None and index is not None:
            item["sort_keys"]["default"] = index
        return item

    def list_items(self) -> Iterator[dict[str, Any]]:
        """Every card. The page itself never asks."""
        for index, name in enumerate(self.items):
            item = self.create_item(name, index)
            if item is not None:
                yield item

    def allowed_directories_for_previews(self) -> list[str]:
        """The networks folders."""
        return [str(folder) for folder in network_folders()]

    def create_user_metadata_editor(self, ui: Any, tabname: str) -> LycoEditor:
        """The editor of one tab."""
        return LycoEditor(ui, tabname, self, self._app)

    def _item(self, card: Card) -> dict[str, Any]:
        stem = str(card.path.with_suffix(""))
        side = card.side
        hash_text = card.hash or ""
        return {
            "name": card.name,
            "filename": str(card.path),
            "shorthash": short_hash(hash_text) or None,
            "preview": preview_link(card, card.previews[0]) if card.previews else None,
            "description": side.description,
            "search_terms": [f"{card.folder}/{card.path.name}", *filter(None, [hash_text])],
            "local_preview": f"{stem}.{shared.opts.samples_format}",
            "metadata": self._metadata(card),
            "sort_keys": {
                "default": 0,
                "date_created": int(card.created),
                "date_modified": int(card.modified),
                "name": card.stem.lower(),
                "path": str(card.path).lower(),
            },
            "prompt": self._prompt(card),
            "negative_prompt": quote_js(f"({side.negative_text}:1)" if side.negative_text else ""),
        }

    def _prompt(self, card: Card) -> str:
        """What a click adds, as an expression in JavaScript."""
        kind = "lora" if self._app.options.own_lora else "lyco"
        name = self._tag_names.of(card, self._app.options.inserts_alias) or card.name
        weight = card.side.preferred_weight
        strength = str(weight) if weight else "opts.extra_networks_default_multiplier"
        written = " ".join(card.side.activation_text.split())
        words = f" {written}" if written else ""
        return f"{quote_js(f'<{kind}:{name}:')} + {strength} + {quote_js(f'>{words}')}"

    def _metadata(self, card: Card) -> dict[str, Any]:
        metadata = self._app.catalog.with_id(card.id).metadata
        return {key: read_object(text) for key, text in metadata.items()}


class ByName(MutableMapping[str, _Value]):
    """What there is to say of each card, by its name, made when it is asked for.

    The WebUI has a dict there and writes into it; what it writes is what it has just been given.

    Args:
        index: The networks.
        make: Makes a value.
    """

    def __init__(self, index: Index, make: Callable[[Card], _Value]) -> None:
        self._index = index
        self._make = make

    def __getitem__(self, name: str) -> _Value:
        try:
            return self._make(self._index.card(self._index.entry(name).id))
        except NetworkNotFoundError as error:
            raise KeyError(name) from error

    def __setitem__(self, name: str, value: _Value) -> None:
        pass

    def __delitem__(self, name: str) -> None:
        pass

    def __iter__(self) -> Iterator[str]:
        return (self._index.short_name(entry) for entry in self._index.list())

    def __len__(self) -> int:
        return len(self._index.list())
