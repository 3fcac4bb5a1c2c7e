"""Made-up networks as the picker's server knows them: no files, the catalog's own types."""

from __future__ import annotations

import colorsys
import struct
import zlib
from collections.abc import Sequence

from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.catalog.facts import FileFacts
from lib_lyco.catalog.scan import Beside, NetworkFile
from lib_lyco.catalog.side import SideFacts
from lib_lyco.catalog.triggers import TriggerSet
from lib_lyco.naming.layer import Family

DAY = 86400.0
START = 1_700_000_000.0

NASTY = '<img src=x onerror="window.hacked=1">"\'{0}'
"""A name that would do something if it were ever read as HTML."""

_SUBJECTS = ("watercolour", "ink", "clay", "neon", "paper", "glass", "moss", "chrome")
_ALGOS = ("lora", "locon", "loha", "lokr", "dora")


def make_entry(
    name: str,
    facts: FileFacts | None = None,
    side: SideFacts | None = None,
    *,
    day: float = 0,
    previews: Sequence[str] = (),
) -> CatalogEntry:
    """A network as if it lay in the folder `Lora`; `day`: when it was made and changed."""
    when = START + day * DAY
    folder = "/".join(("Lora", *name.split("/")[:-1]))
    file = NetworkFile(
        place=f"/made-up/Lora/{name}.safetensors",
        name=name,
        stamp=(int(when * 1e9), 37_861_176),
        created=when,
        beside=tuple(Beside(preview, (int(when * 1e9), 1000)) for preview in previews),
        folder=folder,
    )
    return CatalogEntry(file, facts=facts or lora(), side=side or SideFacts())


def lora(family: Family = "sd1", **facts: object) -> FileFacts:
    """What is known of an ordinary file."""
    known: dict[str, object] = {
        "algo": "lora",
        "rank": 16,
        "families": (family,),
        "evidence": "Text encoder layers have 768 columns.",
        **facts,
    }
    return FileFacts(**known)  # pyright: ignore[reportArgumentType]


def some() -> list[CatalogEntry]:
    """One of each kind that the picker shows in its own way."""
    words = (TriggerSet("10_day", ("day scene", "sunlight")), TriggerSet("10_night", ("night scene",)))
    return [
        make_entry(
            "styles/watercolour",
            lora(trained=START, alias="wc_v2", trigger_sets=words),
            SideFacts(
                description="Soft washes on rough paper.",
                activation_text="watercolour, wet paper",
                preferred_weight=0.8,
                negative_text="photo",
                notes="Best between 0.6 and 0.9.",
            ),
            day=3,
            previews=("watercolour.png", "watercolour.preview.1.png", "watercolour.preview.2.png"),
        ),
        make_entry("people/cat", lora(algo="lokr", rank=None), day=5, previews=("cat.png",)),
        make_entry("animals/cat", lora(algo="loha", rank=8), day=1),
        make_entry("styles/ink", lora(trigger_sets=words[:1], embeddings=("ink-neg",)), day=4),
        make_entry(
            "cut off",
            FileFacts(problem="The file is cut off: got 4096 bytes; expected 37861176. Download it again."),
            day=2,
        ),
        make_entry("日本語/水彩 🎨", day=6),
        make_entry(
            NASTY.replace("/", ""),
            lora(alias=NASTY, evidence=NASTY, trigger_sets=(TriggerSet(NASTY, (NASTY,)),)),
            SideFacts(description=NASTY, notes=NASTY),
            day=7,
        ),
        make_entry("flux/large", lora("sdxl"), day=8),
        make_entry("flux/huge", lora("sdxl"), day=9),
    ]


def many(count: int) -> list[CatalogEntry]:
    """A large collection in nested folders."""
    return [
        make_entry(
            f"set{at % 20:02}/part{at % 7}/{_SUBJECTS[at % len(_SUBJECTS)]} {at:05}",
            lora(algo=_ALGOS[at % len(_ALGOS)], rank=2 ** (at % 7)),
            day=at,
        )
        for at in range(count)
    ]


def picture(name: str) -> bytes:
    """A PNG in a colour that depends on the name."""
    hue = zlib.crc32(name.encode()) % 360 / 360
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.45, 0.75))
    rows = (b"\0" + bytes((red, green, min(255, blue + row // 2))) * 64 for row in range(96))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 64, 96, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(rows))),
        (b"IEND", b""),
    )
    data = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(data)
