"""What the index keeps of one network file: read from its header, or from its first bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lib_lyco.catalog.layout import LayoutFacts, Layouts
from lib_lyco.catalog.triggers import TriggerSet, trigger_sets
from lib_lyco.errors import FileError
from lib_lyco.files.access import reading
from lib_lyco.files.hashes import stated_hash
from lib_lyco.files.header import Front, parse_front, read_shapes
from lib_lyco.files.metadata import read_value
from lib_lyco.files.pickled import is_pickled, read_program
from lib_lyco.naming.foreign import EMBEDDING
from lib_lyco.naming.layer import Family

_HEAD_BYTES = 9
_END_BYTES = 16 << 10
_MAX_COVERS = 64


@dataclass(frozen=True)
class FileFacts:
    """All that a card says of a file and that only the file knows. The defaults: nothing is known."""

    content: str = ""
    """Stands for the content, as far as header and first bytes tell; "" where it cannot be read."""
    alias: str = ""
    """The name under which it was trained: `ss_output_name`."""
    hash: str | None = None
    """The hash that it states."""
    legacy_hash: str = ""
    trained: float | None = None
    """When its training began, in seconds since 1970."""
    algo: str = ""
    rank: int | None = None
    families: tuple[Family, ...] = ()
    other: str | None = None
    evidence: str = ""
    embeddings: tuple[str, ...] = ()
    trigger_sets: tuple[TriggerSet, ...] = ()
    covers: tuple[int, ...] = ()
    """Places of the pictures in the metadata's list (`ssmd_cover_images`)."""
    problem: str | None = None
    """Why it is of no use, and what to do."""

    def to_json(self) -> str:
        """The facts as text, without what is as it is by default."""
        return json.dumps(
            {name: value for name, value in vars(self).items() if value != getattr(FileFacts, name)}
        )

    @classmethod
    def from_json(cls, text: str) -> FileFacts:
        """Raises ValueError, TypeError or KeyError where `to_json` of this version did not write it."""
        fields: dict[str, Any] = json.loads(text)
        for name in fields.keys() & {"families", "embeddings", "covers"}:
            fields[name] = tuple(fields[name])
        if "trigger_sets" in fields:
            sets = (TriggerSet(name, tuple(words)) for name, words in fields["trigger_sets"])
            fields["trigger_sets"] = tuple(sets)
        return cls(**fields)


def read_facts(path: Path, layouts: Layouts) -> FileFacts:
    """Reads a file's header or pickle, and no tensor. Raises nothing: a file that is broken says so."""
    try:
        with reading(path) as file:
            head = file.read(_HEAD_BYTES)
            if is_pickled(head):
                # made by torch.save, which has no header and no metadata; its pickle is read, and not run
                program = read_program(file, path)
                return _facts({}, _ends(file, path), layouts.facts_of_pickle(program, path))
            file.seek(0)
            front = parse_front(file, path)
        layout = layouts.facts(front, lambda: read_shapes(front, path))
    except FileError as error:
        return FileFacts(problem=sentence(error))
    return _facts(front.metadata, _content(front), layout)


def _facts(metadata: Mapping[str, str], content: str, layout: LayoutFacts) -> FileFacts:
    started = read_value("ss_training_started_at", metadata.get("ss_training_started_at", ""))
    understood = layout.algo or layout.embeddings or layout.other
    problem = f"It holds no network that this version knows. {layout.evidence}"
    return FileFacts(
        content=content,
        alias=metadata.get("ss_output_name", ""),
        hash=stated_hash(metadata),
        legacy_hash=metadata.get("sshs_legacy_hash", ""),
        trained=float(started) if isinstance(started, (int, float)) else None,
        algo=layout.algo,
        rank=layout.rank,
        families=layout.families,
        other=layout.other,
        evidence=layout.evidence,
        embeddings=layout.embeddings,
        trigger_sets=trigger_sets(metadata),
        covers=tuple(place for place, cover in enumerate(cover_texts(metadata)) if cover)[:_MAX_COVERS],
        problem=None if understood else EMBEDDING if layout.evidence == EMBEDDING else problem,
    )


def cover_texts(metadata: Mapping[str, str]) -> list[str | None]:
    """The pictures in the metadata, in base64, at the places where the file has them; None for a gap."""
    found = read_value("ssmd_cover_images", metadata.get("ssmd_cover_images", ""))
    covers = found if isinstance(found, list) else []
    return [cover if isinstance(cover, str) and cover else None for cover in covers]


def sentence(error: FileError) -> str:
    """An error without its place, which the card has."""
    found = "; ".join(
        f"{label} {text}" for label, text in (("got", error.got), ("expected", error.expected)) if text
    )
    what = f"{error.what}: {found}" if found else error.what
    return f"{what.rstrip('.')}. {error.remedy}".strip()


def _content(front: Front) -> str:
    digest = hashlib.sha256(repr(sorted(front.metadata.items())).encode("utf-8", "surrogatepass"))
    for part in (front.data_size.to_bytes(8, "little"), front.layout, front.sample):
        digest.update(part)
    return digest.hexdigest()[:32]


def _ends(file: BinaryIO, path: Path) -> str:
    """As `_content`: a zip archive ends with a checksum of each of its members."""
    size = path.stat().st_size
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    for start in (0, max(size - _END_BYTES, 0)):
        file.seek(start)
        digest.update(file.read(_END_BYTES))
    return digest.hexdigest()[:32]
