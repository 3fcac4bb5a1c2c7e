"""The picker's routes: JSON for the page, which draws only what is in view.

Addresses are relative to the page's (`./lyco/cards`), since the WebUI may live below another path. An
example of every answer is in `tests/browser/samples`. An error is `{"detail": a sentence}`: 400 what was
sent cannot be used, 401 nobody is logged in, 403 sent by another site, 404 there is no such card.
A POST carries a JSON object. Files are named by the `id` of their card and by nothing else.

| route | asks | answers |
| --- | --- | --- |
| GET `cards` | `text folder sort desc offset limit show_hidden starred` | `total`, `hidden` (reason -> count), `problems` (sentences about folders), `news` (how far a scan is, or ""), `base`, `revision`, `tag_kind`, `cards` |
| GET `cards/revision` | | `revision`, `base`, `tag_kind`; another revision: ask for the cards again |
| GET `cards/{id}` | | a card with `metadata` (name -> value), `tags` ([tag, count], most first) and `details` ([label, text]) |
| GET `folders` | | `folders`: trees of `name`, `path` (for `folder=`), `count` (with all below), `children` |
| POST `cards/{id}/star` | `starred` | `card`, `revision` |
| POST `cards/{id}/used` | | `card`, `revision`; to be sent when a card's tag goes into a prompt |
| POST `cards/{id}/notes` | any of `description sd_version activation_text preferred_weight negative_text notes` | `card`, `revision` |
| POST `cards/{id}/preview` | `image` (data URL: becomes the preview) or `name` (of `previews`: comes first) | `card`, `revision` |
| POST `refresh` | | `revision`, `num_files`, `num_read`, `num_gone`, `problems`: folders and changed files were read anew |
| GET `applied` | | `serial` (grows with each activation), `model`, `hires`, `problems`: what the last one did; `rows` of the first pass, `hires_rows` of hires fix |
| GET `presets` | | `blocks` and `elements` (`name`, `weights`: block -> weight, or null where the tag's `x=` decides), `order` (the base model's blocks), `problems` |
| GET `xray` | `ids` and, in their order, `te`, `unet`: separated by commas; refused while a picture is drawn | `family`, `networks`, `together`, `overlaps`, `findings`, `svg` |
| POST `parse` | `prompt` | `tags` |
| POST `edit` | `prompt`, `at` (place in `tags`), `text` (the tag's, as a check) and `set` (option -> text) and/or `name`, or `remove` | `prompt`, `tags` |

`sort` is one of name, path, created, modified, trained, used, most_used, starred; flags are 0 or 1. Without
`show_hidden` the builtin's option `lora_show_all` decides.

A card: `id`; `name` (unique: the tile's `data-name`, which the WebUI's editor and metadata routes take);
`tag_name` (to be put into a tag; null where no tag can hold it); `stem`, `alias`, `folder`, `path_below`,
`size` (bytes), `created`, `modified`, `trained`, `last_used` (seconds since 1970, null for never), `algo`,
`rank`, `family`, `families`, `family_title`, `evidence` (how the base model is known), `fits` (the base model
in use), `hash`, `problem` (null, or why it is of no use), `embeddings`, `previews` ([`name`, `url`], the chosen
one first), `trigger_sets` ([`name`, `words`]), `insert_words` (to be put into the prompt with the tag),
`description`, `sd_version`, `activation_text`, `preferred_weight` (0: the WebUI's default), `negative_text`,
`notes`, `starred`, `used_count`. Times and counts may be null or 0.

`base`: `family`, `title`, `checkpoint` of the base model in use; null where it is unknown or none is loaded.

`tag_kind`: the word for tags to insert, `lora` or, where that is the builtin's, `lyco`.

A tag of `parse`: `start`, `end` (in UTF-16 units, as JavaScript counts; end excluded), `text`, `kind`, `name`,
`card_id` (null: no such network), `te`, `unet` (numbers, at the first step), `muted` (both are 0),
`options` (option -> text, as written), `schedule` (points [position, value] of the UNet's strength, null where it is
the same all along), `window` ([first step, last step or null] or null), `problem` (null, or why it asks for
nothing).

A row of `applied`: `tag` (its text), `name`, `card_id`, `te`, `unet`, `applied` of `total` layers, `problem`.
"""  # noqa: E501  a table

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any, cast, get_args

from modules import script_callbacks

from lib_lyco.catalog.card import Card, card_json
from lib_lyco.catalog.query import Query, Sort, fits
from lib_lyco.catalog.scan import FolderNode
from lib_lyco.catalog.side import FIELDS
from lib_lyco.catalog.triggers import tag_counts, written_sets
from lib_lyco.errors import ConfigError, LycoError, NetworkNotFoundError
from lib_lyco.host.app import HostApp
from lib_lyco.host.applied import AppliedState
from lib_lyco.host.base import base_in_use
from lib_lyco.host.details import details
from lib_lyco.host.live import applied_json, presets_json
from lib_lyco.host.previews import preview_link, read_picture
from lib_lyco.host.tag_json import changed_tag, describe_tags, edit_tag
from lib_lyco.host.tag_names import TagNames
from lib_lyco.host.web import add_routes
from lib_lyco.host.xray_json import xray_json
from lib_lyco.web.route import Ask, Route

NEEDS = (
    ("modules.script_callbacks", "on_app_started"),
    ("modules.sd_models", "model_data"),
    ("modules.call_queue", "queue_lock"),
)

_MAX_LIMIT = 500
_ONE_LINE = ("activation_text", "negative_text")
"""Of several lines, they would break the script that the builtin makes of them."""
_HIDDEN_METADATA = "ssmd_cover_images"
"""Pictures in base64: the page gets them as previews."""


def register(app: HostApp) -> None:
    """Adds the routes whenever the server has started."""
    api = CardApi(app)
    app.after_begin.append(lambda p, state: api.note(state))
    script_callbacks.on_app_started(lambda demo, server: add_routes(server, api.routes()))


class CardApi:
    """The answers.

    Args:
        app: What they are about.
    """

    def __init__(self, app: HostApp) -> None:
        self._app = app
        self._index = app.catalog
        self._names = TagNames(app.catalog)
        self._ids: tuple[str, dict[str, str | None]] = ("", {})
        self._first = AppliedState()

    def routes(self) -> list[Route]:
        """All of them; of two that fit an address the first answers."""
        card = "/lyco/cards/{id}"
        return [
            Route("GET", "/lyco/cards", self.cards),
            Route("GET", "/lyco/cards/revision", self.revision),
            Route("GET", card, self.card),
            Route("GET", "/lyco/folders", self.folders),
            Route("POST", f"{card}/star", self.star),
            Route("POST", f"{card}/used", self.used),
            Route("POST", f"{card}/notes", self.notes),
            Route("POST", f"{card}/preview", self.preview),
            Route("POST", "/lyco/refresh", self.refresh),
            Route("GET", "/lyco/applied", self.applied),
            Route("GET", "/lyco/presets", lambda ask: presets_json(self._app.presets, base_in_use())),
            Route("GET", "/lyco/xray", lambda ask: xray_json(self._app, ask.given)),
            Route("POST", "/lyco/parse", lambda ask: self._tags(_text(ask.body, "prompt"))),
            Route("POST", "/lyco/edit", self.edit),
        ]

    def cards(self, ask: Ask) -> dict[str, Any]:
        """The cards that a query asks for."""
        self._app.watcher.look()
        base = base_in_use()
        query = Query(
            text=ask.given.get("text", ""),
            folder=ask.given.get("folder", ""),
            starred=_flag(ask, "starred", False),
            sort=_sort(ask),
            descending=_flag(ask, "desc", False),
            offset=_number(ask, "offset", 0),
            limit=min(_number(ask, "limit", 100), _MAX_LIMIT),
            base_family=base.family,
            hide_unknown=self._app.options.hides_unknown(base.family),
            show_hidden=_flag(ask, "show_hidden", self._app.options.shows_all),
        )
        page = self._index.search(query)
        return {
            "total": page.total,
            "hidden": page.hidden,
            "problems": self._index.problems,
            "news": self._index.news,
            **self.revision(ask),
            "cards": [self._json(card) for card in page.cards],
        }

    def revision(self, ask: Ask) -> dict[str, Any]:
        """What the page polls: it changes with files, notes, the base model and the options."""
        del ask
        self._app.watcher.look()
        return {
            "revision": self._revision(),
            "base": asdict(base_in_use()),
            "tag_kind": "lora" if self._app.options.own_lora else "lyco",
        }

    def card(self, ask: Ask) -> dict[str, Any]:
        """One card with all that its file says."""
        card = self._card(ask)
        metadata = self._index.with_id(card.id).metadata
        told = {key: text for key, text in metadata.items() if key != _HIDDEN_METADATA}
        counts = tag_counts(metadata)
        return {**self._json(card), "metadata": told, "tags": counts, "details": details(card, metadata)}

    def folders(self, ask: Ask) -> dict[str, Any]:
        """The tree of folders."""
        del ask
        return {"folders": [_folder(node) for node in self._index.folders()]}

    def star(self, ask: Ask) -> dict[str, Any]:
        """Stars a card, or takes the star off."""
        self._index.star(ask.given["id"], ask.body.get("starred") is True)
        return self._changed(ask)

    def used(self, ask: Ask) -> dict[str, Any]:
        """Counts one use."""
        self._index.use(ask.given["id"])
        return self._changed(ask)

    def notes(self, ask: Ask) -> dict[str, Any]:
        """Writes some of the user's notes."""
        changes = {name: ask.body[name] for name in FIELDS if name in ask.body}
        for name, value in changes.items():
            wanted = (int, float) if name == "preferred_weight" else (str,)
            if type(value) not in wanted:
                raise _unusable(name, value, "a number" if name == "preferred_weight" else "a text")
            if name in _ONE_LINE and len(str(value).splitlines()) > 1:
                raise _unusable(name, value, "one line")
        self._index.write_notes(ask.given["id"], changes)
        return self._changed(ask)

    def preview(self, ask: Ask) -> dict[str, Any]:
        """Takes a new preview, or makes another one of those that are there the first."""
        card = self._card(ask)
        if "image" in ask.body:
            self._index.write_preview(card.id, *read_picture(_text(ask.body, "image")))
        else:
            name = _text(ask.body, "name")
            if all(one.name != name for one in card.previews):
                raise _unusable("name", name, "the name of one of the card's previews")
            self._index.choose_preview(card.id, name)
        return self._changed(ask)

    def refresh(self, ask: Ask) -> dict[str, Any]:
        """Reads folders and changed files now."""
        del ask
        report = self._index.scan()
        return {"revision": self._revision(), **asdict(report)}

    def note(self, state: AppliedState) -> None:
        """Called after each activation; that of a first pass is still asked for in the second."""
        if not state.hires:
            self._first = state

    def applied(self, ask: Ask) -> dict[str, Any]:
        """What became of the tags of the last picture."""
        del ask
        return applied_json(self._app.applied, self._first, self.card_id)

    def edit(self, ask: Ask) -> dict[str, Any]:
        """Changes one tag of a prompt."""
        prompt, body = _text(ask.body, "prompt"), ask.body
        at, options, name = body.get("at"), body.get("set", {}), body.get("name")
        if type(at) is not int:
            raise _unusable("at", at, "a whole number")
        if not isinstance(options, dict):
            raise _unusable("set", options, "an object")
        texts: dict[str, str | None] = {}
        for key, value in cast("dict[str, object]", options).items():
            if value is not None and not isinstance(value, str):
                raise _unusable(key, value, "a text, or null to take the option out")
            texts[key] = value
        if name is not None:
            name = _text(body, "name")
        changed = edit_tag(
            prompt,
            at,
            _text(body, "text"),
            lambda tag: None if body.get("remove") is True else changed_tag(tag, name, texts),
        )
        return {"prompt": changed, **self._tags(changed)}

    def card_id(self, name: str) -> str | None:
        """The card that a name in a tag means.

        A name that nobody has costs a reading of the folders: asked once for each revision.
        """
        revision = self._index.revision
        if self._ids[0] != revision:
            self._ids = (revision, {})
        known = self._ids[1]
        if name not in known:
            try:
                known[name] = self._index.entry(name).id
            except NetworkNotFoundError:
                known[name] = None
        return known[name]

    def _tags(self, prompt: str) -> dict[str, Any]:
        return {"tags": describe_tags(prompt, self._app.presets, self.card_id)}

    def _card(self, ask: Ask) -> Card:
        return self._index.card(ask.given["id"])

    def _changed(self, ask: Ask) -> dict[str, Any]:
        return {"card": self._json(self._card(ask)), "revision": self._revision()}

    def _json(self, card: Card) -> dict[str, Any]:
        family, options = base_in_use().family, self._app.options
        return {
            **card_json(card, preview_link),
            "tag_name": self._names.of(card, options.inserts_alias),
            "fits": family is None or fits(card, family),
            "insert_words": _insert_words(card, options.card_words),
        }

    def _revision(self) -> str:
        options, base = self._app.options, base_in_use()
        heeded = (options.own_lora, options.inserts_alias, options.shows_all, options.card_words)
        seen = (base, heeded, options.hides_unknown(base.family))
        return f"{self._index.revision}/{sha256(repr(seen).encode()).hexdigest()[:8]}"


def _insert_words(card: Card, wanted: str) -> Sequence[str]:
    """The first set of words that the user wrote, or if so wanted, of those that captions suggest."""
    if wanted == "nothing" or not card.trigger_sets:
        return ()
    written = bool(written_sets(card.side.activation_text))
    return card.trigger_sets[0].words if written or wanted == "trigger words" else ()


def _folder(node: FolderNode) -> dict[str, Any]:
    children = [_folder(child) for child in node.children]
    return {"name": node.name, "path": node.path, "count": node.count, "children": children}


def _flag(ask: Ask, name: str, default: bool) -> bool:
    text = ask.given.get(name, "")
    if text not in ("", "0", "1"):
        raise _unusable(name, text, "0 or 1")
    return text == "1" if text else default


def _number(ask: Ask, name: str, default: int) -> int:
    text = ask.given.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _unusable(name, text, "a whole number")
    return int(text) if text else default


def _sort(ask: Ask) -> Sort:
    text, known = ask.given.get("sort") or "name", get_args(Sort)
    if text not in known:
        raise _unusable("sort", text, f"one of {', '.join(known)}")
    return cast(Sort, text)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise _unusable(name, value, "a text")
    return value


def _unusable(name: str, got: object, expected: str) -> LycoError:
    return ConfigError(f"{name} cannot be this", got=repr(got)[:80], expected=expected)
