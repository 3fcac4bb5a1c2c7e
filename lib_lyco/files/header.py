"""The header of a safetensors file: names, dtypes, shapes and metadata, without a tensor's bytes.

The format (huggingface/safetensors, README "Format"): 8 bytes n, little-endian; n bytes of JSON
`{"__metadata__": {str: str}, name: {"dtype", "shape", "data_offsets": [start, end]}, ...}`; then
the tensors' bytes, which fill the rest of the file without gap or overlap. n is at most 100 MB.

The JSON is read entry by entry instead of as one tree: a hostile header can then neither nest
deeply nor grow into a tree many times its own size. `plain` has the short way for what the reference
implementation writes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn, cast

from lib_lyco.errors import FileError
from lib_lyco.files.access import read_exactly, reading
from lib_lyco.files.dtype import STORED
from lib_lyco.files.plain import PLAIN_ENTRY, TensorInfo, plain_info, read_plain, read_plain_shapes

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""

METADATA_KEY = "__metadata__"

_LENGTH_BYTES = 8
_SAMPLE_BYTES = 16 << 10
_METADATA_FIRST = f'{{"{METADATA_KEY}":'
_METADATA_LAST = b'"},"'  # or a part of a text: then what stands before it is no JSON
_MAX_ENTRY_CHARS = 4096
_BLANKS = re.compile(r"[ \t\r\n]*")
_FIELDS = frozenset({"dtype", "shape", "data_offsets"})


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands there twice")
    return fields


_TEXT = json.JSONDecoder()
_ENTRY = json.JSONDecoder(object_pairs_hook=_unique)


@dataclass(frozen=True)
class Header:
    """All that a file says before its tensors."""

    tensors: Mapping[str, TensorInfo]
    """In the file's order."""
    metadata: dict[str, str]
    data_start: int
    """Where the tensors' bytes begin in the file."""
    data_size: int
    """How many bytes of tensors there are."""


class Front(NamedTuple):
    """What stands before a file's tensors, taken apart no further than its metadata."""

    metadata: dict[str, str]
    layout: bytes
    """SHA-256 of the header behind its metadata: where two files have the same, their tensors have the
    same names, dtypes, shapes and places."""
    data_size: int
    """How many bytes follow the header."""
    sample: bytes
    """The first of these bytes, at most 16 KiB: what tells a file from another with the same header."""
    rest: bytes | memoryview
    """The header behind its metadata, for `read_shapes`."""


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads and checks the header of a safetensors file; no tensor byte is touched.

    Raises:
        FileError: The file cannot be read, is no safetensors file, is truncated, or its header
            contradicts itself or the file's size.
    """
    place = Path(path)
    with reading(place) as file:
        return parse_header(file, place)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Reads the metadata alone, which stands first in most files, and checks nothing after it.

    Raises:
        FileError: As for `read_header`.
    """
    place = Path(path)
    with reading(place) as file:
        for key, value in _Reader(_header_text(file, place), place).entries():
            if key == METADATA_KEY:
                return cast("dict[str, str]", value)
    return {}


def parse_front(file: BinaryIO, path: Path) -> Front:
    """Reads a header without looking at its tensors one by one: for many files, many of them alike.

    What stands behind the metadata is not copied: memory taken and given back costs more than its use.
    Raises FileError as `read_metadata`.
    """
    raw = _header_bytes(file, path)
    data_size = os.fstat(file.fileno()).st_size - _LENGTH_BYTES - len(raw)
    sample = bytes(read_exactly(file, min(data_size, _SAMPLE_BYTES), path))
    metadata, rest = _split_front(raw, path)
    return Front(metadata, hashlib.sha256(rest).digest(), data_size, sample, rest)


def read_shapes(front: Front, path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors, whose front was read. Raises FileError as `read_header`."""
    shapes = read_plain_shapes(_decoded(front.rest, path), front.data_size)
    if shapes is None:
        shapes = {key: info.shape for key, info in read_header(path).tensors.items()}
    return shapes


def _split_front(raw: bytearray, path: Path) -> tuple[dict[str, str], bytes | memoryview]:
    """As `_split_metadata`, without the blanks that fill the header up to a multiple of 8 bytes."""
    if raw.startswith(_METADATA_FIRST.encode()) and (end := raw.find(_METADATA_LAST) + 2) >= 2:
        with suppress(ValueError, RecursionError):
            found = json.loads(str(raw[len(_METADATA_FIRST) : end], "utf-8"))
            if all(isinstance(value, str) for value in found.values()):
                return found, memoryview(raw)[end : len(raw) - 8 + len(raw[-8:].rstrip(b" "))]
    metadata, rest = _split_metadata(_decoded(raw, path), path)
    return metadata, rest.rstrip(" ").encode()


def _split_metadata(text: str, path: Path) -> tuple[dict[str, str], str]:
    """The metadata and the text behind it; all of the text where the metadata does not stand first."""
    if not text.startswith(_METADATA_FIRST):
        found = next((v for k, v in _Reader(text, path).entries() if k == METADATA_KEY), {})
        return cast("dict[str, str]", found), text
    start = len(_METADATA_FIRST)
    try:
        found, end = _TEXT.raw_decode(text, start)
    except (ValueError, RecursionError):
        found, end = None, start
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        return cast("dict[str, str]", found), text[end:]
    reader = _Reader(text, path)
    reader.at = start
    return reader.metadata(), text[reader.at :]


def parse_header(file: BinaryIO, path: Path) -> Header:
    """As `read_header`, from an open file; leaves its position at the first tensor's byte."""
    text = _header_text(file, path)
    data_start = file.tell()
    data_size = os.fstat(file.fileno()).st_size - data_start
    if text.startswith(_METADATA_FIRST):
        found, rest = _split_metadata(text, path)
        plain = read_plain(rest)
        if plain is not None and plain.size == data_size:
            return Header(plain.tensors, found, data_start, data_size)
    tensors, metadata = _read_entries(text, path)
    _demand_gapless(tensors, data_size, path)
    return Header(tensors, metadata, data_start, data_size)


def _read_entries(text: str, path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """All tensors, and the metadata, whatever the form they are written in."""
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] | None = None
    for key, value in _Reader(text, path).entries():
        if key in tensors or (key == METADATA_KEY and metadata is not None):
            _refuse(path, "The header names a tensor twice", got=repr(key[:200]))
        if isinstance(value, TensorInfo):
            tensors[key] = value
        else:
            metadata = value
    return tensors, metadata or {}


def _header_text(file: BinaryIO, path: Path) -> str:
    return _decoded(_header_bytes(file, path), path)


def _decoded(raw: bytes | bytearray | memoryview, path: Path) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        _refuse(path, "The header is not UTF-8 text", got=str(error))


def _header_bytes(file: BinaryIO, path: Path) -> bytearray:
    size = os.fstat(file.fileno()).st_size
    if size < _LENGTH_BYTES + 2:
        _refuse(path, "The file is too short to be a safetensors file", got=f"{size} bytes")
    length = int.from_bytes(read_exactly(file, _LENGTH_BYTES, path), "little")
    if length > MAX_HEADER_BYTES:
        _refuse(
            path,
            "The header is larger than the format allows",
            got=f"{length} bytes",
            expected=f"at most {MAX_HEADER_BYTES} bytes",
        )
    if length > size - _LENGTH_BYTES:
        _refuse(
            path,
            "The file is shorter than its header",
            got=f"{size} bytes",
            expected=f"at least {length + _LENGTH_BYTES} bytes",
        )
    return read_exactly(file, length, path)


class _Reader:
    """Reads the header's one object member by member; `at` is the next character."""

    def __init__(self, text: str, path: Path) -> None:
        self.text = text
        self.path = path
        self.at = 0

    def entries(self) -> Iterator[tuple[str, TensorInfo | dict[str, str]]]:
        """Yields each tensor and the metadata, checked by itself."""
        self._expect("{")
        is_open = not self._take("}")
        while is_open:
            yield from self._plain_entries()
            key = self._string()
            self._expect(":")
            yield key, self.metadata() if key == METADATA_KEY else self._tensor_info(key)
            is_open = self._take(",")
            if not is_open:
                self._expect("}")
        self._skip_blank()
        if self.at < len(self.text):
            self._not_json("text after the header's end")

    def _plain_entries(self) -> Iterator[tuple[str, TensorInfo]]:
        """Yields the entries that stand here in the plain form, up to the first in another."""
        while (plain := PLAIN_ENTRY.match(self.text, self.at)) is not None:
            key = plain["key"]
            if key == METADATA_KEY:
                return
            self.at = plain.end()
            yield key, _agreeing(plain_info(plain), key, self.path)

    def _members(self) -> Iterator[str]:
        """Yields the keys of an object; the caller reads each value before asking for the next."""
        self._expect("{")
        if self._take("}"):
            return
        while True:
            key = self._string()
            self._expect(":")
            yield key
            if not self._take(","):
                self._expect("}")
                return

    def metadata(self) -> dict[str, str]:
        """The object of texts that stands here."""
        metadata: dict[str, str] = {}
        for key in self._members():
            metadata[key] = self._string()
        return metadata

    def _tensor_info(self, key: str) -> TensorInfo:
        self._skip_blank()
        end = self.text.find("}", self.at, self.at + _MAX_ENTRY_CHARS) + 1
        body = self.text[self.at : end]
        # Two lists and no more: a deeper entry is refused before a parser recurses into it.
        if not end or body.count("[") != 2 or body.count("{") != 1:
            self._not_json(f"entry of {key[:200]!r}: {body[:80]!r}")
        try:
            fields: object = _ENTRY.decode(body)
        except ValueError as error:
            self._not_json(f"entry of {key[:200]!r}: {error}")
        self.at = end
        return _checked(fields, key, self.path)

    def _string(self) -> str:
        self._skip_blank()
        if not self.text.startswith('"', self.at):
            self._not_json(f"character {self.at}: {self.text[self.at : self.at + 20]!r}, not a string")
        try:
            value, self.at = _TEXT.raw_decode(self.text, self.at)
        except ValueError as error:
            self._not_json(str(error))
        return str(value)

    def _expect(self, char: str) -> None:
        if not self._take(char):
            self._not_json(f"character {self.at}: {self.text[self.at : self.at + 20]!r}, not {char!r}")

    def _take(self, char: str) -> bool:
        self._skip_blank()
        found = self.text.startswith(char, self.at)
        self.at += found
        return found

    def _skip_blank(self) -> None:
        self.at = cast("re.Match[str]", _BLANKS.match(self.text, self.at)).end()

    def _not_json(self, got: str) -> NoReturn:
        _refuse(self.path, "The header is not the JSON of a safetensors file", got=got)


def _checked(fields: object, key: str, path: Path) -> TensorInfo:
    """The entry of one tensor, if it has the format's fields, these their types, and all agree."""
    if not isinstance(fields, dict) or cast("dict[str, object]", fields).keys() != _FIELDS:
        _refuse(
            _place(path, key),
            "A tensor's entry has other fields than the format's",
            expected=", ".join(sorted(_FIELDS)),
        )
    entry = cast("dict[str, object]", fields)
    dtype, shape, offsets = entry["dtype"], _naturals(entry["shape"]), _naturals(entry["data_offsets"])
    if not isinstance(dtype, str):
        _refuse(_place(path, key), "A tensor's dtype is not a name", got=repr(dtype))
    if shape is None or offsets is None or len(offsets) != 2:
        _refuse(_place(path, key), "A tensor's shape or byte range is not a list of natural numbers")
    return _agreeing(TensorInfo(dtype, shape, *offsets), key, path)


def _agreeing(info: TensorInfo, key: str, path: Path) -> TensorInfo:
    """The same, if its dtype is known and its shape fits its bytes."""
    stored = STORED.get(info.dtype)
    if stored is None:
        _refuse(
            _place(path, key), "A tensor has a dtype that this version does not know", got=repr(info.dtype)
        )
    needed = math.prod(info.shape) * stored.size
    if info.end - info.start != needed:
        _refuse(
            _place(path, key),
            "A tensor's shape does not fit its bytes",
            got=f"{info.end - info.start} bytes",
            expected=f"{needed} bytes for {info.dtype} {list(info.shape)}",
        )
    return info


def _place(path: Path, key: str) -> str:
    return f"{path}, tensor {key[:200]!r}"


def _naturals(value: object) -> tuple[int, ...] | None:
    """A JSON list of natural numbers within 64 bits as a tuple; None for anything else."""
    if not isinstance(value, list):
        return None
    items = cast("list[object]", value)
    numbers = tuple(item for item in items if type(item) is int and 0 <= item < 2**63)
    return numbers if len(numbers) == len(items) else None


def _demand_gapless(tensors: dict[str, TensorInfo], data_size: int, path: Path) -> None:
    expected = 0
    for key, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != expected:
            fault = "overlap" if info.start < expected else "leave a gap between each other"
            _refuse(
                path,
                f"The tensors {fault}",
                got=f"{key[:200]!r} begins at byte {info.start} of the data",
                expected=f"byte {expected}",
            )
        expected = info.end
    if expected > data_size:
        _refuse(
            path,
            "The file is truncated",
            got=f"{data_size} bytes of tensors",
            expected=f"{expected} bytes",
            remedy="Copy or download the file again.",
        )
    if expected < data_size:
        _refuse(
            path,
            "The file goes on after its last tensor",
            got=f"{data_size} bytes of tensors",
            expected=f"{expected} bytes",
        )


def _refuse(
    where: Path | str, what: str, *, got: str = "", expected: str = "", remedy: str = ""
) -> NoReturn:
    raise FileError(
        what,
        where=str(where),
        got=got,
        expected=expected,
        remedy=remedy or "Get the file again; if it stays so, whoever made it wrote it wrongly.",
    )
