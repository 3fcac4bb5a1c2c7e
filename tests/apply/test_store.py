"""Memory for merged tensors: in few large pieces, yet each tensor by itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib_lyco.apply import store
from lib_lyco.apply.session import Session
from lib_lyco.apply.store import Fresh, Spare
from lib_lyco.apply.wanted import Wanted
from tests.apply.small import SmallModel, random_network, targets_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_fresh_tensors_do_not_overlap_and_have_storages_of_their_own(dtype: torch.dtype) -> None:
    fresh = Fresh()
    shapes = [(3, 5), (7,), (2, 3, 3, 3), (), (40, 40)]
    tensors = [fresh.empty_like(torch.empty(shape, dtype=dtype)) for shape in shapes]
    for value, tensor in enumerate(tensors):
        tensor.view(-1).view(torch.uint8).fill_(value)
    for value, (tensor, shape) in enumerate(zip(tensors, shapes, strict=True)):
        assert tensor.shape == shape and tensor.dtype == dtype and tensor.is_contiguous()
        assert (tensor.view(-1).view(torch.uint8) == value).all()
        # whoever saves or copies a storage gets this tensor and nothing beside it
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_tensor_larger_than_a_piece_and_the_one_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PIECE_BYTES", 256)
    fresh = Fresh()
    tensors = [fresh.empty_like(torch.empty(size)) for size in (40, 100, 40, 40)]
    for value, tensor in enumerate(tensors):
        tensor.fill_(value)
    assert [tensor.unique().tolist() for tensor in tensors] == [[0], [1], [2], [3]]


def test_other_layouts_keep_their_strides() -> None:
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    assert Fresh().empty_like(conv.weight).stride() == conv.weight.stride()
    assert Fresh().empty_like(torch.empty(0, 4)).shape == (0, 4)
    assert Fresh().empty_like(torch.empty(2, device="meta")).is_meta


def test_spare_tensor_is_taken_before_a_fresh_one() -> None:
    spare = Spare()
    dropped = torch.empty(3, 4)
    spare.add([dropped])
    assert spare.take(torch.empty(4, 3)) is not dropped
    assert spare.take(torch.empty(3, 4)) is dropped
    assert spare.take(torch.empty(3, 4)) is not dropped


def test_spare_tensors_are_kept_within_a_limit() -> None:
    spare, tensors = Spare(), [torch.empty(4), torch.empty(8), torch.empty(4)]
    spare.add(tensors)
    spare.shrink(8 * 4)
    kept = [spare.take(torch.empty(4)), spare.take(torch.empty(4)), spare.take(torch.empty(8))]
    assert [any(one is tensor for tensor in tensors) for one in kept] == [True, True, False]


def test_the_next_set_is_written_into_the_memory_of_one_that_was_dropped() -> None:
    model = SmallModel()
    sets = [random_network(targets_of(model), ("lora",), seed, share=1.0) for seed in range(3)]
    size = Session(targets_of(model)).apply([Wanted(sets[0])]).backup_bytes
    model = SmallModel()
    own = {parameter.data_ptr() for parameter in model.parameters()}
    session, merged = Session(targets_of(model), budget_bytes=size), list[set[int]]()
    for network in sets:
        session.apply([Wanted(network)])
        merged.append({parameter.data_ptr() for parameter in model.parameters()} - own)
        assert session.apply([]).parked_bytes == size
    assert merged[2] == merged[0] != merged[1]
