"""The editor behind a card's pencil: the builtin's fields, in the builtin's files, through the index.

The WebUI builds its frame, its buttons and the fields that all its editors have; the others come from
`ui.editor`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from random import Random
from typing import Any

from modules import images, infotext_utils, shared
from modules.ui_extra_networks_user_metadata import UserMetadataEditor

from lib_lyco.catalog.card import Card
from lib_lyco.catalog.scan import IMAGE_SUFFIXES
from lib_lyco.catalog.triggers import tag_counts
from lib_lyco.errors import LycoError, NetworkNotFoundError, one_line
from lib_lyco.host.app import HostApp
from lib_lyco.host.details import details
from lib_lyco.host.fields import TagCounts
from lib_lyco.host.previews import preview_link

EDITED = (
    "description",
    "sd_version",
    "activation_text",
    "preferred_weight",
    "negative_text",
    "notes",
)
"""The fields that are saved, in the order of `Fields.edited` behind the description."""

_BRACKETS = str.maketrans({bracket: f"\\{bracket}" for bracket in "({[]})"})


class LycoEditor(UserMetadataEditor):
    """The editor of one tab.

    Args:
        ui: The WebUI's own.
        tabname: `txt2img` or `img2img`.
        page: The page that it belongs to.
        app: Whose index is read and written.
    """

    def __init__(self, ui: Any, tabname: str, page: Any, app: HostApp) -> None:
        super().__init__(ui, tabname, page)
        self._app = app
        self._fields = app.editor_fields()
        self._random = Random()

    def create_extra_default_items_in_left_column(self) -> None:
        """Called by the WebUI while it builds its part."""
        self._fields.add_left()

    def create_editor(self) -> None:
        """Builds everything and says what happens at which button."""
        self.create_default_editor_elems()
        self._fields.add_below()
        self._fields.wire(self.edit_name_input, self.draw_prompt)
        self.create_default_buttons()
        viewed = [self.edit_name, self.edit_description, self.html_filedata, self.html_preview]
        viewed += [self.html_status, *self._fields.viewed]
        self.button_edit.click(fn=self.show, inputs=[self.edit_name_input], outputs=viewed).then(
            fn=lambda: {"visible": True, "__type__": "update"}, inputs=[], outputs=[self.box]
        )
        edited = [self.edit_description, *self._fields.edited]
        self.button_save.click(
            fn=self.save, inputs=[self.edit_name_input, *edited], outputs=[self.html_status]
        ).then(fn=None, _js=_AFTER_SAVING, inputs=[self.edit_name_input, self.html_status], outputs=[])

    def setup_ui(self, gallery: Any) -> None:
        """Called by the WebUI once there is a gallery."""
        chosen = f"selected_gallery_index_id('{self.tabname}_gallery_container')"
        self.button_replace_preview.click(
            fn=self.save_preview,
            _js=f"function(x, y, z){{return [{chosen}, y, z]}}",
            inputs=[self.edit_name_input, gallery, self.edit_name_input],
            outputs=[self.html_preview, self.html_status],
        ).then(fn=None, _js=_AFTER_PREVIEW, inputs=[self.edit_name_input], outputs=[])

    def show(self, name: str) -> list[Any]:
        """What all components show when the editor opens."""
        try:
            card = self._card(name)
        except NetworkNotFoundError as error:
            return [escape(name), "", "", "", escape(one_line(error)), *self._fields.show({}, (), "")]
        tags = self._tags(card)
        return [
            escape(name),
            card.side.description,
            self._table(card),
            self._picture(card),
            escape(card.problem or ""),
            *self._fields.show(vars(card.side), tags, random_prompt(tags, self._random)),
        ]

    def save(self, name: str, *values: Any) -> str:
        """Writes what was edited; returns what went wrong, "" for nothing."""
        changes: dict[str, object] = dict(zip(EDITED, values, strict=True))
        try:
            self._app.catalog.write_notes(self._card(name).id, changes)
        except LycoError as error:
            return escape(one_line(error))
        return ""

    def save_preview(self, index: float, gallery: Sequence[Any], name: str) -> tuple[str, str]:
        """Makes the gallery's chosen picture the preview; returns the preview and what went wrong."""
        try:
            card = self._card(name)
            if not gallery:
                return self._picture(card), "There is no picture in the gallery."
            chosen = min(max(int(index), 0), len(gallery) - 1)
            self._app.catalog.write_preview(card.id, *encode(gallery[chosen]))
            return self._picture(self._card(name)), ""
        except LycoError as error:
            return "", escape(one_line(error))

    def draw_prompt(self, name: str) -> str:
        """Another random prompt."""
        try:
            return random_prompt(self._tags(self._card(name)), self._random)
        except NetworkNotFoundError:
            return ""

    def _card(self, name: str) -> Card:
        """Raises NetworkNotFoundError where there is none of that name."""
        return self._app.catalog.card(self._app.catalog.entry(name).id)

    def _tags(self, card: Card) -> TagCounts:
        return tag_counts(self._app.catalog.with_id(card.id).metadata)

    def _table(self, card: Card) -> str:
        rows = details(card, self._app.catalog.with_id(card.id).metadata)
        cells = (f"<tr><th>{escape(label)}:</th><td>{escape(text)}</td></tr>" for label, text in rows)
        return f'<table class="file-metadata">{"".join(cells)}</table>'

    @staticmethod
    def _picture(card: Card) -> str:
        source = escape(preview_link(card, card.previews[0])) if card.previews else ""
        picture = f'<img src="{source}" class="preview" alt="">' if source else ""
        return f'<div class="card standalone-card-preview">{picture}</div>'


_CHANGED = "window.dispatchEvent(new CustomEvent('lyco-card-changed', {detail: name}));"
_AFTER_SAVING = f"function(name, problem) {{ if (!problem) {{ closePopup(); }} {_CHANGED} }}"
_AFTER_PREVIEW = f"function(name) {{ {_CHANGED} }}"


def encode(picture: Any) -> tuple[bytes, str]:
    """A picture of the gallery as a file's bytes and suffix, with its infotext, as the WebUI saves it."""
    image = infotext_utils.image_from_url_text(picture)
    infotext, _ = images.read_info_from_image(image)
    suffix = f".{shared.opts.samples_format}".lower()
    suffix = suffix if suffix in IMAGE_SUFFIXES else ".png"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"preview{suffix}")
        images.save_image_with_geninfo(image, infotext, str(path))
        return path.read_bytes(), suffix


def random_prompt(tags: TagCounts, random: Random) -> str:
    """Some tags of the training set, each as likely as it is frequent, compared with the commonest."""
    most = tags[0][1] if tags else 0
    drawn = (tag for tag, count in tags if count > random.random() * most)
    return ", ".join(sorted(tag.translate(_BRACKETS) for tag in drawn))
