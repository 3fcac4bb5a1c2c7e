"""The picker's routes over made-up networks: cards, queries and tags by the code that the WebUI runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from lib_lyco.catalog.card import Card, Preview, card_json, make_card
from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.catalog.query import Query, Sort, fits, make_line, select
from lib_lyco.catalog.store import Kept
from lib_lyco.errors import LycoError
from lib_lyco.host.tag_json import changed_tag, describe_tags, edit_tag
from lib_lyco.naming.layer import Family
from lib_lyco.prompt.presets import Presets

Answer = dict[str, Any]


class FakeApi:
    """The answers. Fields without an underscore are for tests to change and to look at.

    Args:
        entries: The networks.
    """

    def __init__(self, entries: Sequence[CatalogEntry]) -> None:
        self.base: Family = "sd1"
        self.problems: list[str] = []
        self.news = ""
        self.applied: list[Answer] = []
        self.applied_hires: list[Answer] = []
        self.xray: Answer = {}
        self.asked: list[str] = []
        """`METHOD path?query` of each request."""
        self.sent: list[Answer] = []
        """The bodies of POSTs other than parse."""
        self.tags: list[tuple[str, int]] = []
        self.metadata: dict[str, str] = {}
        self._presets = Presets()
        self._changes = 0
        self._kept: dict[str, Kept] = {}
        self.set_entries(entries)

    def set_entries(self, entries: Sequence[CatalogEntry]) -> None:
        """Other networks, as if the folders had changed."""
        self._changes += 1
        self._lines = sorted(map(make_line, entries), key=lambda line: line.name_key)
        stems = Counter(entry.stem for entry in entries)
        self._names = {entry.id: entry.stem if stems[entry.stem] == 1 else entry.name for entry in entries}
        self._by_id = {entry.id: entry for entry in entries}
        self._by_name = {name: card_id for card_id, name in self._names.items()}
        self._by_name |= {entry.name: entry.id for entry in entries}
        self._by_name |= {
            entry.facts.alias: entry.id for entry in entries if entry.facts and entry.facts.alias
        }

    def set_base(self, family: Family) -> None:
        """Another checkpoint was chosen."""
        self.base = family
        self._changes += 1

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Answer) -> tuple[int, Answer]:
        """Status and content."""
        self.asked.append(f"{method} {path}?{'&'.join(f'{key}={value}' for key, value in query.items())}")
        if method == "POST" and path != "parse":
            self.sent.append(body)
        try:
            return 200, self._answer(path, query, body)
        except LycoError as error:
            return 400, {"detail": str(error)}
        except KeyError:
            return 404, {"detail": f"There is no such card or route: {path}"}

    def _answer(self, path: str, query: Mapping[str, str], body: Answer) -> Answer:
        plain: Mapping[str, Callable[[], Answer]] = {
            "cards": lambda: self._cards(query),
            "cards/revision": self._revision,
            "folders": lambda: {"folders": self._folders()},
            "refresh": lambda: {**self._revision(), "num_files": len(self._lines)},
            "applied": lambda: {"rows": self.applied, "hires_rows": self.applied_hires},
            "presets": lambda: {"blocks": [{"name": name} for name in self._presets.blocks]},
            "xray": lambda: self.xray,
            "parse": lambda: {"tags": self._tags(body["prompt"])},
            "edit": lambda: self._edit(body),
        }
        if path in plain:
            return plain[path]()
        _, card_id, *what = path.split("/")
        entry = self._by_id[card_id]
        if not what:
            return self._full(entry)
        self._change(entry, what[0], body)
        return {"card": self._json(entry), "revision": str(self._changes)}

    def _revision(self) -> Answer:
        base = {"family": self.base, "title": self.base.upper(), "checkpoint": "made-up.safetensors"}
        return {"revision": str(self._changes), "base": base, "tag_kind": "lora"}

    def _cards(self, query: Mapping[str, str]) -> Answer:
        wanted = Query(
            text=query["text"],
            folder=query["folder"],
            starred=query["starred"] == "1",
            sort=cast(Sort, query["sort"]),
            descending=query["desc"] == "1",
            base_family=self.base,
            show_hidden=query.get("show_hidden") == "1",
        )
        lines, hidden = select(wanted, self._lines, self._kept)
        first = int(query["offset"])
        cards = [self._json(line.entry) for line in lines[first : first + int(query["limit"])]]
        found = {"total": len(lines), "hidden": hidden, "problems": self.problems, "news": self.news}
        return {**found, "cards": cards, **self._revision()}

    def _card(self, entry: CatalogEntry) -> Card:
        kept = self._kept.get(entry.file.place, Kept(entry.file.place))
        return make_card(entry, self._names[entry.id], kept)

    def _json(self, entry: CatalogEntry) -> Answer:
        card = self._card(entry)
        written = bool(card.side.activation_text)
        return {
            **card_json(card, _link),
            "tag_name": None if ">" in card.name else card.name,
            "fits": fits(card, self.base),
            "insert_words": card.trigger_sets[0].words if written else (),
        }

    def _full(self, entry: CatalogEntry) -> Answer:
        details = [("File", f"{entry.file.folder}/{entry.stem}.safetensors"), ("Size", "36.1 MB")]
        return {**self._json(entry), "metadata": self.metadata, "tags": self.tags, "details": details}

    def _change(self, entry: CatalogEntry, what: str, body: Answer) -> None:
        kept = self._kept.get(entry.file.place, Kept(entry.file.place))
        changed = {
            "star": lambda: kept._replace(starred=body["starred"]),
            "used": lambda: kept._replace(used_count=kept.used_count + 1, last_used=1.8e9 + self._changes),
            "preview": lambda: kept._replace(preview=body.get("name", kept.preview)),
        }
        self._kept[entry.file.place] = changed[what]()
        self._changes += 1

    def _folders(self) -> list[Answer]:
        counts = Counter[str]()
        for line in self._lines:
            parts = line.entry.file.folder.split("/")
            counts.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))

        def below(parent: str) -> list[Answer]:
            names = sorted(path for path in counts if path.rpartition("/")[0] == parent)
            return [
                {"name": path.split("/")[-1], "path": path, "count": counts[path], "children": below(path)}
                for path in names
            ]

        return below("")

    def _tags(self, prompt: str) -> list[Answer]:
        return describe_tags(prompt, self._presets, lambda name: self._by_name.get(name.strip()))

    def _edit(self, body: Answer) -> Answer:
        prompt = edit_tag(
            body["prompt"],
            body["at"],
            body["text"],
            lambda tag: None if body.get("remove") else changed_tag(tag, None, body.get("set", {})),
        )
        return {"prompt": prompt, "tags": self._tags(prompt)}


def _link(card: Card, preview: Preview) -> str:
    return f"./picture/{card.id}/{preview.name}"
