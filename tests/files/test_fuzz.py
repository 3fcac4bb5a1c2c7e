"""Damaged and hostile files: an answer or an error of ours, soon, in memory the file accounts for."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from lib_lyco.errors import FileError, LycoError
from lib_lyco.files.header import read_header
from lib_lyco.files.pickle_machine import PickleError, run
from lib_lyco.files.tensors import read_tensors
from lib_lyco.network.load import load_network
from lib_lyco.tools.inspect import inspect
from tests.files.samples import mixed_tensors
from tests.network.samples import small_network

NUM_MUTATIONS = 200
ONE_FILE_EACH = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def pickled(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    tensors = {key: value for key, value in mixed_tensors().items() if "f8" not in key}
    torch.save({"state_dict": tensors}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


REAL_FILES = {
    "safetensors": save(mixed_tensors(), metadata={"ss_output_name": "x", "ss_tag_frequency": '{"a": {}}'}),
    "network": save(small_network()),
    "zip": pickled(zipped=True),
    "legacy": pickled(zipped=False),
}


def mutated(raw: bytes, random_: random.Random) -> bytes:
    """One to four damages: a byte changed, bytes cut out, doubled or put in; most near the start."""
    data = bytearray(raw)
    for _ in range(random_.randint(1, 4)):
        at = min(int(random_.expovariate(1 / 600)), len(data) - 1)
        length = random_.choice([1, 1, 2, 8, 100])
        match random_.randint(0, 4):
            case 0 | 1:
                data[at] = random_.choice([0, 1, 0x7F, 0x80, 0xFF, random_.randrange(256)])
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case _:
                data[at:at] = random_.randbytes(length)
        if not data:
            return b"\0"
    return bytes(data)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("kind", REAL_FILES)
def test_mutated_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    random_ = random.Random(kind)
    path = tmp_path / "a.safetensors"
    refused = 0
    for _ in range(NUM_MUTATIONS):
        raw = mutated(REAL_FILES[kind], random_)
        path.write_bytes(raw)
        tracemalloc.start()
        started = time.perf_counter()
        try:
            tensors = read_tensors(path)
            assert sum(tensor.nbytes for tensor in tensors.values()) <= 4 * len(raw)
        except FileError as error:
            assert error.where and str(path) in error.where
            refused += 1
        assert tracemalloc.get_traced_memory()[1] < 2_000_000 + 4 * len(raw)
        tracemalloc.stop()
        assert time.perf_counter() - started < 5
    assert refused > NUM_MUTATIONS // 10


@pytest.mark.parametrize("entry", [load_network, inspect])
def test_mutated_networks_are_understood_or_refused(tmp_path: Path, entry: object) -> None:
    random_ = random.Random(5)
    path = tmp_path / "a.safetensors"
    for _ in range(60):
        path.write_bytes(mutated(REAL_FILES["network"], random_))
        try:
            (load_network if entry is load_network else inspect)(path)
        except LycoError as error:
            assert str(path) in error.where


@ONE_FILE_EACH
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw)
    try:
        read_tensors(path)
    except FileError:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NUMBERS = st.lists(st.integers(-1, 9) | st.sampled_from([2**31, 2**63, 2**64]), max_size=4)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "U8", "I64", "X"]),
        "shape": NUMBERS,
        "data_offsets": NUMBERS,
    }
)


@ONE_FILE_EACH
@given(header=st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), ENTRY | JSON, max_size=4))
def test_any_json_header_is_read_or_refused(tmp_path: Path, header: dict[str, object]) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    try:
        found = read_header(path)
    except FileError:
        return
    assert sum(info.end - info.start for info in found.tensors.values()) == found.data_size


HOSTILE_PICKLES = {
    "text of 8 EiB": b"\x80\x04\x8d" + struct.pack("<Q", 2**63 - 1) + b"x.",
    "bytes of 4 GiB": b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"x.",
    "number of 2 GiB": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "steps without end": b"\x80\x02" + b"}0" * 300_000 + b".",
    "deep tuples as a key": b"\x80\x02})" + b"q\x01h\x01h\x01\x86" * 200 + b"Ns.",
    "marks": b"\x80\x02" + b"(" * 100_000 + b".",
    "empty stack": b"\x80\x02.",
    "end without a stop": b"\x80\x02}",
    "old-style instance": b"(i__main__\nEvil\n.",
    "extension code": b"\x80\x02\x82\x01.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\n.",
    "eval by STACK_GLOBAL": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
    "name with dots": b"\x80\x04\x8c\x05torch\x8c\x0chub.load.eve\x93.",
    "call of text": b"\x80\x02X\x01\x00\x00\x00a)R.",
    "negative memo": b"p-1\n.",
}


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
def test_hostile_pickle_is_refused_at_once(name: str) -> None:
    raw = HOSTILE_PICKLES[name]
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(PickleError):
        run(io.BytesIO(raw))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000 + 100 * len(raw)
    tracemalloc.stop()
    assert time.perf_counter() - started < 30


def test_huge_memo_index_takes_no_memory() -> None:
    """The standard library's unpickler would make room for 2^31 entries here."""
    tracemalloc.start()
    assert run(io.BytesIO(b"\x80\x02}r\xff\xff\xff\x7f.")) == {}
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_zip_bomb_and_foreign_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(FileError, match="compressed"):
        read_tensors(path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no tensors")
    with pytest.raises(FileError, match=r"without data\.pkl"):
        read_tensors(path)


def test_many_names_of_one_storage_take_its_memory_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    base = torch.zeros(250_000)
    torch.save({str(n): base for n in range(200)}, path)
    read = read_tensors(path)
    assert len(read) == 200
    assert len({tensor.data_ptr() for tensor in read.values()}) == 1


def test_pickle_of_plain_values_equals_the_standard_librarys() -> None:
    value = {
        "a": [1, -2, 3.5, 2**40, -(2**80)],
        "b": ("ü", None, True, False, ()),
        "c": {"d": [[], {}]},
    }
    for protocol in (2, 3, 4, 5):
        assert run(io.BytesIO(pickle.dumps(value, protocol=protocol))) == value
