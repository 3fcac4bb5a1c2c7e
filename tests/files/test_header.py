"""The header against the reference implementation, and every way in which one can be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from lib_lyco.errors import FileError
from lib_lyco.files.header import MAX_HEADER_BYTES, read_header, read_metadata
from tests.files.samples import mixed_tensors

F32_2 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
PLAIN = json.dumps(F32_2, separators=(",", ":")).encode()


def written(folder: Path, header: object, data: bytes = bytes(8)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "made.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_header_names_what_the_reference_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = mixed_tensors()
    save_file(tensors, path, metadata={"ss_output_name": 'ü\n"x"', "b": ""})
    header = read_header(path)
    with safe_open(path, "pt") as reference:
        assert set(header.tensors) == set(reference.keys())
        assert header.metadata == reference.metadata()
        for key, info in header.tensors.items():
            assert list(info.shape) == reference.get_slice(key).get_shape()
            assert info.dtype == reference.get_slice(key).get_dtype()
    assert header.data_start + header.data_size == path.stat().st_size
    assert read_metadata(path) == header.metadata


def test_header_without_metadata_or_tensors_is_read(tmp_path: Path) -> None:
    assert read_header(written(tmp_path, {}, b"")).tensors == {}
    header = read_header(written(tmp_path, b'  {"a": %s }   ' % json.dumps(F32_2).encode()))
    assert header.metadata == {} and list(header.tensors) == ["a"]
    assert read_metadata(written(tmp_path, {"a": F32_2})) == {}


def test_files_of_the_same_layout_have_their_own_metadata_and_size(tmp_path: Path) -> None:
    tensors = mixed_tensors()
    for number in range(3):
        path = tmp_path / f"{number}.safetensors"
        save_file(tensors, path, metadata={"n": "x" * number})
        header = read_header(path)
        with safe_open(path, "pt") as reference:
            assert header.metadata == reference.metadata()
            assert set(header.tensors) == set(reference.keys())
        assert header.data_start + header.data_size == path.stat().st_size
    data, odd = (tmp_path / "0.safetensors").read_bytes(), tmp_path / "odd.safetensors"
    for changed, what in ((data[:-1], "truncated"), (data + b"x", "goes on")):
        odd.write_bytes(changed)
        with pytest.raises(FileError, match=what):
            read_header(odd)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["as the reference", "spaced"])
def test_entries_are_read_alike_in_every_spacing_and_place(
    tmp_path: Path, separators: tuple[str, str]
) -> None:
    fields = {
        "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
        "__metadata__": {"k": "v"},
        "b": {"data_offsets": [8, 10], "dtype": "F16", "shape": []},
        'c"\\': {"dtype": "U8", "shape": [2, 0, 3], "data_offsets": [10, 10]},
        "": {"dtype": "U8", "shape": [1], "data_offsets": [10, 11]},
    }
    header = read_header(written(tmp_path, json.dumps(fields, separators=separators).encode(), bytes(11)))
    assert header.metadata == fields.pop("__metadata__")
    assert list(header.tensors) == list(fields)
    for key, info in header.tensors.items():
        assert [info.dtype, list(info.shape)] == [fields[key]["dtype"], fields[key]["shape"]]
        assert [info.start, info.end] == fields[key]["data_offsets"]


BAD_HEADERS = {
    "not json": b"hello, world",
    "cut json": b'{"a": {"dtype": "F32"',
    "cut string": b'{"a',
    "list": [],
    "text after": b"{} x",
    "missing comma": b'{"a":' + json.dumps(F32_2).encode() + b' "b": 1}',
    "no fields": {"a": {}},
    "odd field": {"a": F32_2 | {"device": "cuda"}},
    "unknown dtype": {"a": F32_2 | {"dtype": "F99"}},
    "dtype list": {"a": F32_2 | {"dtype": 1}},
    "negative shape": {"a": F32_2 | {"shape": [-2]}},
    "float shape": {"a": F32_2 | {"shape": [2.0]}},
    "true shape": {"a": F32_2 | {"shape": [True, 2]}},
    "huge shape": {"a": F32_2 | {"shape": [2**62, 2**62]}},
    "shape too long": {"a": F32_2 | {"shape": [1] * 5000}},
    "one offset": {"a": F32_2 | {"data_offsets": [8]}},
    "reversed": {"a": F32_2 | {"data_offsets": [8, 0]}},
    "wrong length": {"a": F32_2 | {"shape": [3]}},
    "gap": {"a": F32_2 | {"data_offsets": [8, 16]}},
    "overlap": {"a": F32_2, "b": F32_2},
    "metadata number": {"__metadata__": {"a": 1}},
    "metadata list": {"__metadata__": []},
    "duplicate": b'{"a":%s,"a":%s}' % (json.dumps(F32_2).encode(), json.dumps(F32_2).encode()),
    "duplicate metadata": b'{"__metadata__":{},"__metadata__":{}}',
    "duplicate field": b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "comma after the last": b'{"a":%s,}' % PLAIN,
    "no comma between plain entries": b'{"a":%s"b":%s}' % (PLAIN, PLAIN),
    "duplicate of a plain entry": b'{"a":%s,"a":%s}' % (PLAIN, PLAIN),
    "metadata like a tensor": b'{"__metadata__":%s,"a":%s}' % (PLAIN, PLAIN),
    "plain entry with a leading zero": b'{"a":%s,"b":{}}' % PLAIN.replace(b"[2]", b"[02]"),
    "plain entry of another size": b'{"a":%s,"b":{}}' % PLAIN.replace(b"[2]", b"[3]"),
    "plain entry with an unknown dtype": b'{"a":%s,"b":{}}' % PLAIN.replace(b"F32", b"F99"),
    "control character in a plain entry's name": b'{"a\n":%s,"b":%s}' % (PLAIN, PLAIN),
    "not utf-8": b'{"\xff\xfe": {}}',
    "deep": b'{"a":' + b"[" * 100_000,
    "deep entry": b'{"a":{"shape":' + b"[" * 3000 + b"}",
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_wrong_header_is_refused_with_its_place(tmp_path: Path, header: object) -> None:
    path = written(tmp_path, header)
    with pytest.raises(FileError) as caught:
        read_header(path)
    assert str(path) in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize(("data", "word"), [(bytes(7), "truncated"), (bytes(9), "goes on")])
def test_data_of_other_size_than_promised_is_refused(tmp_path: Path, data: bytes, word: str) -> None:
    with pytest.raises(FileError, match=word):
        read_header(written(tmp_path, {"a": F32_2}, data))


def test_header_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.safetensors"
    with open(path, "wb") as file:
        file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(MAX_HEADER_BYTES + 100)
    with pytest.raises(FileError, match="larger than the format allows"):
        read_header(path)
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(FileError, match="larger than the format allows"):
        read_header(path)
    path.write_bytes((1000).to_bytes(8, "little") + b"{}")
    with pytest.raises(FileError, match="shorter than its header"):
        read_header(path)


def test_what_is_no_file_is_named_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    for path, word in ((tmp_path, "folder"), (tmp_path / "absent", "no such file"), (empty, "empty")):
        with pytest.raises(FileError, match=word):
            read_header(path)
    with pytest.raises(FileError):
        read_header(str(tmp_path / "nul\0name"))


@pytest.mark.skipif(os.name == "nt", reason="pipes have no path on Windows")
def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    with pytest.raises(FileError, match="pipe"):
        read_header(pipe)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user who can be refused")
def test_forbidden_file_is_named_so(tmp_path: Path) -> None:
    path = written(tmp_path, {})
    path.chmod(0)
    with pytest.raises(FileError, match="may not be read"):
        read_header(path)
