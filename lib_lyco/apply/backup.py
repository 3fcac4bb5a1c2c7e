"""One parameter of the model while a merged tensor stands in for its original.

A merge swaps the storage under the `Parameter` (`parameter.data = merged`) instead of copying over
it. So the original is never written to, restoring is exact by construction and takes no time, and
the `Parameter` object, its `requires_grad`, its place in optimizers and in ties stay what they are.
The price: whoever holds the storage itself (a view, a `state_dict` taken before, a captured CUDA
graph) goes on seeing the original, and a switch between forward and backward is not noticed by
autograd. In-place copies have the opposite faults, and need one more pass over all weights.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from lib_lyco.apply.merge import Failure
from lib_lyco.apply.room import Room
from lib_lyco.apply.wanted import Recipe
from lib_lyco.models.target import Target


@dataclass(frozen=True)
class Slot:
    """Where a parameter is found: it may be replaced there, so it is looked up anew each time."""

    owner: nn.Module
    name: str

    def find(self) -> nn.Parameter | None:
        found = getattr(self.owner, self.name, None)
        return found if isinstance(found, nn.Parameter) else None

    def can_create(self) -> bool:
        """Whether a bias that is missing here would be used if there were one."""
        return self.name not in vars(self.owner) and getattr(self.owner, self.name, self) is None


@dataclass(frozen=True, eq=False)
class Origin:
    """Which tensor an original is, so that it is known again as long as nobody has written to it."""

    parameter: weakref.ref[nn.Parameter]
    pointer: int
    version: int

    def is_same(self, other: Origin) -> bool:
        parameter = self.parameter()
        if parameter is None or parameter is not other.parameter():
            return False
        return self.pointer == other.pointer and self.version == other.version


class Change(Enum):
    """What happened to a merged parameter since it was merged."""

    NONE = "none"
    MOVED = "moved"
    """Another device, dtype or memory format: the original has to follow."""
    RELOADED = "reloaded"
    """Other values: the original is out of date."""


class Backup:
    """The original of one merged parameter, and the way back."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.parameter = slot.find()
        self.original = None if self.parameter is None else self.parameter.data
        """None where a bias had to be created."""
        self.recipe: Recipe = ()
        """What the merged tensor was made of; empty if that is no longer known."""
        self.failures: list[Failure] = []
        """What is missing from it."""
        self.is_aside = False
        """Whether the original waits on another device than the parameter."""
        self._is_ours = False
        self._pointer = 0 if self.original is None else self.original.data_ptr()
        self._version = None if self.parameter is None else _version(self.parameter)

    def origin(self) -> Origin | None:
        """Returns the original's identity, or None where torch cannot tell whether it was changed."""
        if self.parameter is None or self.original is None:
            return None
        version = _version(self.parameter)
        if version is None:
            return None
        return Origin(weakref.ref(self.parameter), self.original.data_ptr(), version)

    def install(self, merged: Tensor, recipe: Recipe) -> None:
        """Puts a merged tensor in the original's place, or in that of the one before."""
        if self.parameter is None:
            self.parameter = nn.Parameter(merged, requires_grad=False)
            setattr(self.slot.owner, self.slot.name, self.parameter)
        else:
            self.parameter.data = merged
        self.recipe = recipe
        self._is_ours = True
        self._pointer = merged.data_ptr()
        self._version = _version(self.parameter)

    def put_aside(self, room: Room) -> None:
        """Moves the original out of the way, once a merged tensor is installed in its place."""
        if self.original is not None and not self.is_aside:
            self.original = room.put_aside(self.original)
            self.is_aside = True

    def installed(self) -> Tensor | None:
        """Returns the merged tensor if it is the very one that was installed last, else None."""
        return self.parameter.data if self.parameter is not None and self._is_ours else None

    def change(self) -> Change:
        """Compares the parameter with what was installed.

        A reload is known by a new `Parameter` with other values or by torch's version counter. Two
        ways of writing leave no trace: `parameter.data.copy_(...)` and `parameter.data = ...` of the
        same `Parameter`; whoever does that calls `Session.forget`.
        """
        ours = self.parameter
        found = self.slot.find()
        if ours is None or found is None or found.is_meta:
            return Change.RELOADED
        if found is not ours:
            return Change.MOVED if _is_same(ours.data, found.data) else Change.RELOADED
        if _version(ours) != self._version:
            return Change.RELOADED
        return Change.NONE if ours.data_ptr() == self._pointer else Change.MOVED

    def follow(self) -> None:
        """After a move: takes the original to where, and to what dtype, the parameter went."""
        found = self.slot.find()
        assert found is not None
        assert self.parameter is not None
        if self.original is not None:
            original = self.original
            if original.dtype != found.dtype:
                self.recipe = ()  # the merge was rounded a second time
            device = original.device if self.is_aside else found.device
            self.original = original.to(device=device, dtype=found.dtype)
            if found is not self.parameter:
                self.parameter.data = original.to(self.parameter.device)
        self.parameter = found
        self._is_ours = False
        self._pointer = found.data_ptr()
        self._version = _version(found)

    def restore(self) -> None:
        """Puts the original back, bit for bit. For an unchanged parameter, or after `follow`."""
        if self.original is None:
            self._remove_created()
        elif self.parameter is not None:
            self.parameter.data = self.original.to(self.parameter.device)

    def abandon(self) -> None:
        """Lets the original go because the model has other weights now; a created bias goes too."""
        if self.original is None:
            if self.slot.find() is self.parameter:
                self._remove_created()
        elif self.parameter is not None and self.slot.find() is not self.parameter:
            # wherever it is still in use, it is the base again
            self.parameter.data = self.original.to(self.parameter.device)

    def _remove_created(self) -> None:
        if self.parameter is not None:
            self.slot.owner.register_parameter(self.slot.name, None)
            self.parameter = None


class Backups:
    """The backups of all merged parameters, and the originals of all others."""

    def __init__(self) -> None:
        self._by_slot: dict[Slot, Backup] = {}

    def __iter__(self) -> Iterator[Backup]:
        return iter(list(self._by_slot.values()))

    def get(self, slot: Slot) -> Backup | None:
        return self._by_slot.get(slot)

    def add(self, backup: Backup) -> None:
        self._by_slot[backup.slot] = backup

    def drop(self, backup: Backup) -> None:
        del self._by_slot[backup.slot]

    def clear(self) -> None:
        self._by_slot.clear()

    def original(self, slot: Slot) -> Tensor | None:
        """Returns a parameter without any network, or None for a bias that does not exist."""
        backup = self._by_slot.get(slot)
        if backup is not None:
            return backup.original
        parameter = slot.find()
        return None if parameter is None else parameter.data

    def layer_weight(self, targets: Sequence[Target]) -> Tensor | None:
        """Returns a layer's original weight as networks see it, (o, i, ...); None if a part is missing.

        Args:
            targets: All places of the layer.
        """
        if not targets or any(self.original(Slot(one.module, one.weight)) is None for one in targets):
            return None
        joined = self.join_weights(sorted(targets, key=lambda one: one.delta_rows or (0, 0)))
        if targets[0].transposed:
            return joined.T
        return torch.cat(joined.chunk(2)[::-1]) if targets[0].swapped_halves else joined

    def join_weights(self, targets: Sequence[Target]) -> Tensor:
        """Returns the original weights of a fused layer's parts as one, (o, i, ...)."""
        return torch.cat([self._part(target, target.weight) for target in targets])

    def join_biases(self, targets: Sequence[Target]) -> Tensor | None:
        """Returns the original biases of a fused layer's parts as one, (o,); None if it has none."""
        if all(self.original(Slot(target.module, target.bias)) is None for target in targets):
            return None
        return torch.cat([self._part(target, target.bias) for target in targets])

    def _part(self, target: Target, name: str) -> Tensor:
        original = self.original(Slot(target.module, name))
        if original is not None:
            master = target.master if name == target.weight else target.master_bias
            finer = finer_copy(target.module, master, original)
            original = original if finer is None else finer
        if original is None:
            weight = self.original(Slot(target.module, target.weight))
            assert weight is not None
            original = weight.new_zeros(weight.shape[0])
        original = original.to(getattr(target.module, target.weight).device)
        return original if target.rows is None else original[target.rows[0] : target.rows[1]]


def finer_copy(owner: nn.Module, name: str | None, original: Tensor) -> Tensor | None:
    """Returns what a module keeps under `name` of an 8-bit original, or None if there is no such copy."""
    found = getattr(owner, name, None) if name is not None and original.element_size() == 1 else None
    return found if isinstance(found, Tensor) and found.shape == original.shape else None


def _version(parameter: nn.Parameter) -> int | None:
    """How often the parameter was written to in place; what was born in inference mode cannot tell."""
    try:
        return parameter._version
    except RuntimeError:
        return None


def _is_same(ours: Tensor, found: Tensor) -> bool:
    """Whether `found` is `ours` on another device or in another dtype."""
    if ours.shape != found.shape:
        return False
    moved = ours.to(device=found.device, dtype=found.dtype)
    return torch.equal(moved.to(torch.float32), found.to(torch.float32))
