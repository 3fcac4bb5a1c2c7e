"""Reading and writing tensors against safetensors' own loader and torch.save."""

from __future__ import annotations

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from lib_lyco.errors import FileError, UnsafeFileError
from lib_lyco.files.access import read_into
from lib_lyco.files.header import read_header
from lib_lyco.files.identity import hash_content
from lib_lyco.files.save import save_tensors
from lib_lyco.files.tensors import begin_content, read_content, read_tensors
from tests.files.samples import identical, mixed_tensors, same


def test_safetensors_file_is_read_as_the_reference_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(mixed_tensors(), path, metadata={"a": "b"})
    assert same(read_tensors(path), load_file(path))
    content = read_content(path)
    assert same(content.tensors, load_file(path))
    assert content.metadata == {"a": "b"}
    assert content.content_id == hash_content(memoryview(path.read_bytes()))


def test_chosen_keys_are_read_alone_and_absent_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = mixed_tensors()
    save_file(tensors, path)
    assert same(read_tensors(path, ["z.int", "z.f8"]), {key: tensors[key] for key in ("z.int", "z.f8")})
    with pytest.raises(FileError, match="z.absent"):
        read_tensors(path, ["z.absent"])


def test_misaligned_tensors_are_read(tmp_path: Path) -> None:
    entries = {
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
    }
    header = json.dumps(entries).encode()
    path = tmp_path / "odd.safetensors"
    values = torch.tensor([1.5, -2.25])
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x07" + values.numpy().tobytes())
    for read in (read_tensors(path), read_content(path).tensors):
        assert list(read) == ["a", "b"] and read["a"].tolist() == [7]
        assert torch.equal(read["b"], values)


def test_stretches_hold_every_value_once(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = mixed_tensors()
    save_file(tensors, path)
    stretches = read_content(path).stretches
    for dtype in {tensor.dtype for tensor in tensors.values()}:
        flat = torch.cat([stretch for stretch in stretches if stretch.dtype == dtype])
        expected = torch.cat([tensor.flatten() for tensor in tensors.values() if tensor.dtype == dtype])
        assert sorted(flat.view(torch.uint8).tolist()) == sorted(expected.view(torch.uint8).tolist())
    assert len(stretches) == len({stretch.dtype for stretch in stretches})


def test_names_and_shapes_are_there_before_the_values(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(mixed_tensors(), path, metadata={"a": "b"})
    pending = begin_content(path)
    assert pending.shapes == {key: tuple(tensor.shape) for key, tensor in load_file(path).items()}
    assert pending.metadata == {"a": "b"}
    assert same(pending.content().tensors, load_file(path))


def test_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"t": torch.zeros(9)}, path)
    header = read_header(path)
    buffer = torch.empty(path.stat().st_size, dtype=torch.uint8)
    with open(path, "r+b", buffering=0) as file:
        file.truncate(header.data_start)
        with pytest.raises(FileError, match="ended"):
            read_into(file, buffer.numpy().data, path)


def test_tensors_live_on_after_their_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(mixed_tensors(), path)
    read = read_tensors(path)
    path.write_bytes(b"")
    path.unlink()
    assert same(read, mixed_tensors())


def test_written_file_is_the_references_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for metadata in ({"ss_output_name": 'ü"\\\n\x1f\x7f '}, {}):
        save_tensors(path, mixed_tensors(), metadata)
        assert path.read_bytes() == save(mixed_tensors(), metadata=metadata)


def test_written_file_is_the_same_every_time_and_read_back_with_all_metadata(tmp_path: Path) -> None:
    metadata = {f"key{n}": str(n) for n in range(50)}
    first, second = tmp_path / "a.safetensors", tmp_path / "b" / "c" / "b.safetensors"
    for path in (first, second):
        save_tensors(path, mixed_tensors(), metadata)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) == len(save(mixed_tensors(), metadata=metadata))
    content = read_content(first)
    assert content.metadata == metadata and list(content.metadata) == list(metadata)


def test_views_and_shared_tensors_are_written_as_they_look(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    save_tensors(tmp_path / "a.safetensors", {"t": base.T, "row": base[1], "all": base}, {})
    read = load_file(tmp_path / "a.safetensors")
    assert torch.equal(read["t"], base.T) and torch.equal(read["row"], base[1])
    assert torch.equal(read["all"], base)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_pickled_file_gives_back_what_torch_saved(tmp_path: Path, zipped: bool, protocol: int) -> None:
    path = tmp_path / "a.pt"
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {key: value for key, value in mixed_tensors().items() if "f8" not in key}
    tensors |= {"column": base[:, 2], "transposed": base.T, "parameter": torch.nn.Parameter(base[1:3])}
    torch.save(tensors, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert same(read_tensors(path), {key: value.detach() for key, value in tensors.items()})
    content = read_content(path)
    assert content.metadata == {} and content.content_id == hash_content(memoryview(path.read_bytes()))
    assert identical(content.tensors["column"], base[:, 2])


def test_nested_state_dict_and_module_state_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    rest = {
        "epoch": 3,
        "lr": 0.1,
        "done": True,
        "note": None,
        "list": [1, (2, 3)],
        "shape": torch.Size([1]),
    }
    torch.save(rest | {"state_dict": {"state_dict": OrderedDict(module.state_dict())}}, path)
    assert same(read_tensors(path), dict(module.state_dict()))


class Evil:
    """Makes a folder when unpickled by the standard library."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("ran",))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_in_a_pickle_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pt"
    torch.save({"a": torch.zeros(2), "b": Evil()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFileError, match="mkdir"):
        read_tensors(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UnsafeFileError, match="mkdir"):
        read_tensors(path)
    assert not (tmp_path / "ran").exists()


def test_pickle_without_named_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for value in ([torch.zeros(2)], {"a": 1}, torch.zeros(2)):
        torch.save(value, path)
        with pytest.raises(FileError, match="no named tensors"):
            read_tensors(path)


def test_view_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(1).expand(1000, 1000)}, path)
    with pytest.raises(FileError, match="beyond its storage"):
        read_tensors(path)
