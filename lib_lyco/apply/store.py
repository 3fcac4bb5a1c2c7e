"""Merged weights kept for the next time, least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.apply.backup import Origin, Slot
from lib_lyco.apply.wanted import Recipe
from lib_lyco.files.memory import empty_bytes


def count_bytes(tensor: Tensor) -> int:
    """Returns the memory that a tensor's elements take."""
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True)
class _Parked:
    origin: Origin
    tensor: Tensor


class MergedStore:
    """Merged tensors by parameter and recipe, within a byte budget.

    A tensor is in the model or here, never in both: `take` removes it. What is parked together was
    in the model together, so the oldest set is the first to go.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.num_bytes = 0
        self._parked: OrderedDict[tuple[Slot, Recipe], _Parked] = OrderedDict()

    def park(self, slot: Slot, recipe: Recipe, origin: Origin | None, tensor: Tensor) -> list[Tensor]:
        """Keeps a tensor; returns what had to go for it, or the tensor itself if it cannot be kept."""
        size = count_bytes(tensor)
        if origin is None or size > self.budget_bytes:
            return [tensor]
        dropped = self._pop((slot, recipe))
        self._parked[slot, recipe] = _Parked(origin, tensor)
        self.num_bytes += size
        while self.num_bytes > self.budget_bytes:
            dropped += self._pop(next(iter(self._parked)))
        return dropped

    def take(self, slot: Slot, recipe: Recipe, origin: Origin | None) -> Tensor | None:
        """Returns the tensor of a recipe, no longer kept here, or None if it must be made."""
        parked = self._parked.get((slot, recipe))
        if parked is None:
            return None
        self._pop((slot, recipe))
        return parked.tensor if origin is not None and parked.origin.is_same(origin) else None

    def discard(self, slots: set[Slot]) -> None:
        """Drops everything of some parameters: their originals are not what they were."""
        for key in [key for key in self._parked if key[0] in slots]:
            self._pop(key)

    def clear(self) -> None:
        self._parked.clear()
        self.num_bytes = 0

    def _pop(self, key: tuple[Slot, Recipe]) -> list[Tensor]:
        parked = self._parked.pop(key, None)
        if parked is None:
            return []
        self.num_bytes -= count_bytes(parked.tensor)
        return [parked.tensor]


_PIECE_BYTES = 32 << 20
_ALIGNMENT = 64


class Fresh:
    """New tensors on the CPU, side by side in large pieces of memory.

    The system hands out large pieces far faster than many small ones, which cost more than a merge.
    Each tensor has a storage of its own; a piece is given back once none of its tensors is left.
    """

    def __init__(self) -> None:
        self._piece = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def empty_like(self, like: Tensor) -> Tensor:
        """Returns a tensor in the form of `like` with any values."""
        size = count_bytes(like)
        if like.device.type != "cpu" or not like.is_contiguous() or not size:
            return torch.empty_like(like)
        if self._used + size > len(self._piece):
            self._piece, self._used = empty_bytes(max(size, _PIECE_BYTES)), 0
        start = self._used
        self._used += size + -size % _ALIGNMENT
        flat = torch.frombuffer(self._piece.numpy(), dtype=like.dtype, count=like.numel(), offset=start)
        return flat.view(like.shape)


class Spare:
    """Tensors that nobody needs any more, to write the next merges into: fresh memory costs time."""

    def __init__(self) -> None:
        self._tensors: dict[tuple[object, ...], list[Tensor]] = {}
        self._fresh = Fresh()

    def add(self, tensors: list[Tensor]) -> None:
        for tensor in tensors:
            self._tensors.setdefault(_form(tensor), []).append(tensor)

    def take(self, like: Tensor) -> Tensor:
        """Returns a tensor in the form of `like` with any values: a spare one, or a new one."""
        found = self._tensors.get(_form(like))
        return found.pop() if found else self._fresh.empty_like(like)

    def shrink(self, max_bytes: int) -> None:
        """Lets go of all but so many bytes, and of everything on devices whose memory torch keeps."""
        num_bytes = 0
        for form, tensors in self._tensors.items():
            kept: list[Tensor] = []
            for tensor in tensors:
                size = count_bytes(tensor)
                if tensor.device.type == "cpu" and num_bytes + size <= max_bytes:
                    num_bytes += size
                    kept.append(tensor)
            self._tensors[form] = kept
        self._fresh = Fresh()


def _form(tensor: Tensor) -> tuple[object, ...]:
    return (tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
