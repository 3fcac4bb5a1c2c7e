"""The cache never serves what is no longer in the file, and keeps to its budget."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_lyco.errors import FileError
from lib_lyco.files import identity
from lib_lyco.network import cache as cache_module
from lib_lyco.network.cache import NetworkCache, num_bytes
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network
from tests.network.samples import CONV, small_network

BIG = 1 << 30


def written(path: Path, seed: float = 0.0) -> Path:
    tensors = small_network()
    tensors[f"{CONV}.lora_up.weight"][0, 0] = seed
    save_file(tensors, path)
    return path


def aged(path: Path) -> Path:
    os.utime(path, ns=(10**18, 10**18))
    return path


def test_unchanged_file_is_the_same_object(tmp_path: Path) -> None:
    cache = NetworkCache(BIG)
    path = written(tmp_path / "a.safetensors")
    first = cache.load(path)
    assert cache.load(str(path)) is first
    assert cache.num_bytes == num_bytes(first) >= path.stat().st_size - 4096


def test_settled_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "TICK_NS", -1)
    cache = NetworkCache(BIG)
    path = aged(written(tmp_path / "a.safetensors"))
    first = cache.load(path)

    def fail(_: object) -> None:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(cache_module, "load_network", fail)
    assert cache.load(path) is first


def test_rewritten_file_is_a_new_network_even_with_the_same_time(tmp_path: Path) -> None:
    cache = NetworkCache(BIG)
    path = aged(written(tmp_path / "a.safetensors", 1.0))
    first = cache.load(path)
    aged(written(path, 2.0))
    second = cache.load(path)
    assert second is not first and second.content_id != first.content_id
    assert cache.num_bytes == num_bytes(second)


@pytest.mark.parametrize("how", ["replaced", "overwritten"])
def test_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its old state is kept with it, so that the next use sees another one."""
    path, new = aged(written(tmp_path / "a.safetensors")), written(tmp_path / "b.safetensors", 7.0)
    monkeypatch.setattr(identity, "TICK_NS", -1)
    cache = NetworkCache(BIG)

    def read(place: Path) -> Network:
        network = load_network(place)
        os.replace(new, path) if how == "replaced" else path.write_bytes(new.read_bytes())
        return network

    with monkeypatch.context() as patched:
        patched.setattr(cache_module, "load_network", read)
        first = cache.load(path)
    second = cache.load(path)
    values = [
        next(
            float(adapter.tensors()["lora_up.weight"].flatten()[0])
            for layer, adapter in network.adapters.items()
            if "resnets" in layer.path
        )
        for network in (first, second)
    ]
    assert values == [0.0, 7.0] and first.content_id != second.content_id
    assert cache.load(path) is second


def test_file_copied_over_with_the_same_bytes_stays_the_same_object(tmp_path: Path) -> None:
    cache = NetworkCache(BIG)
    path = written(tmp_path / "a.safetensors")
    first = cache.load(path)
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    os.replace(copy, path)
    assert cache.load(path) is first


def test_touched_file_stays_the_same_object_though_its_state_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "TICK_NS", -1)
    cache = NetworkCache(BIG)
    path = written(tmp_path / "a.safetensors")
    first = cache.load(path)
    aged(path)
    assert load_network(path).content_id != first.content_id
    assert cache.load(path) is first
    # one value, one name or one word of the metadata makes another network
    aged(written(path, 3.0))
    second = cache.load(path)
    assert second is not first
    save_file(load_file(path), path, metadata={"title": "new"})
    third = cache.load(path)
    assert third is not second
    tensors = load_file(path)
    tensors["lora_unet_odd.alpha"] = torch.tensor(1.0)
    save_file(tensors, path, metadata={"title": "new"})
    assert cache.load(path) is not third


def test_budget_drops_the_least_recently_used(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{n}.safetensors", n) for n in range(3)]
    size = num_bytes(load_network(paths[0]))
    cache = NetworkCache(2 * size)
    first, second = cache.load(paths[0]), cache.load(paths[1])
    assert cache.load(paths[0]) is first
    cache.load(paths[2])
    assert cache.num_bytes == 2 * size
    assert cache.load(paths[0]) is first
    assert cache.load(paths[1]) is not second


def test_network_larger_than_the_budget_is_given_but_not_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors")
    cache = NetworkCache(10)
    assert len(cache.load(path).adapters) == 3
    assert cache.num_bytes == 0


def test_broken_or_absent_file_is_dropped(tmp_path: Path) -> None:
    cache = NetworkCache(BIG)
    path = written(tmp_path / "a.safetensors")
    cache.load(path)
    path.write_bytes(b"broken")
    for _ in range(2):
        with pytest.raises(FileError):
            cache.load(path)
    assert cache.num_bytes == 0
    path.unlink()
    with pytest.raises(FileError):
        cache.load(path)


def test_threads_share_one_network(tmp_path: Path) -> None:
    cache = NetworkCache(BIG)
    paths = [written(tmp_path / f"{n}.safetensors", n) for n in range(3)]
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(cache.load, paths * 20))
    assert len({id(network) for network in loaded}) == 3
    cache.forget()
    assert cache.num_bytes == 0


def test_shared_storage_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(small_network(), path)
    network = load_network(path)
    held = [tensor for adapter in network.adapters.values() for tensor in adapter.tensors().values()]
    assert num_bytes(network) == sum(tensor.nbytes for tensor in held)
