"""The wanted set of networks against the applied set, on one model."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor

from lib_lyco.apply.backup import Backup, Backups, Change
from lib_lyco.apply.bypass import Bypass
from lib_lyco.apply.match import Match, count_adapters, match_network
from lib_lyco.apply.merge import Scratch, exact_arithmetic, merge_bias, merge_weight
from lib_lyco.apply.plan import Edit, Gates, Plan, make_plan
from lib_lyco.apply.room import DeviceRoom, Room
from lib_lyco.apply.store import MergedStore, Spare, count_bytes
from lib_lyco.apply.wanted import Count, Mode, Multiplier, NetworkKey, Problem, Report, Wanted, add_up
from lib_lyco.models.target import Targets
from lib_lyco.naming.layer import LayerName
from lib_lyco.network.network import Network


@dataclass(frozen=True, eq=False)
class _Applied:
    """What the last `apply` was asked for."""

    networks: Sequence[Wanted]
    mode: Mode
    merges_by_step: bool

    def is_up_to_gates(self, networks: Sequence[Wanted]) -> bool:
        """Whether another set differs in nothing but the values of gates that are there."""
        if self.merges_by_step or [one.entry for one in self.networks] != [one.entry for one in networks]:
            return False
        return all(
            _is_same(ours.te, one.te) and (one.varies or _is_same(ours.unet, one.unet))
            for ours, one in zip(self.networks, networks, strict=True)
        )


def _is_same(ours: Multiplier, other: Multiplier) -> bool:
    if isinstance(ours, Tensor) or isinstance(other, Tensor):
        return ours is other
    return ours == other


class Session:
    """Puts networks on a model's layers and takes them off exactly.

    Nothing wanted is nothing installed: no hook, no copy of a weight, no attribute. Each parameter
    that a merge touches costs its own size again for as long as it is merged (its original), and
    merged weights that are not in use are kept for their return within `budget_bytes`.

    After every call the session is consistent, also when the call raises: then no network is on
    the model and the weights are the originals.

    A session is not thread-safe: one thread owns it, and no forward pass runs during a call. Nor
    does a call belong between a forward pass and its backward pass (see `backup`).

    The model may be moved or cast at any time; the originals follow at the next call. What was
    restored then is what the model would hold had it never been merged, except that a cast to a
    smaller dtype and back between two calls leaves the original as it was before the cast.
    """

    def __init__(
        self,
        targets: Targets,
        budget_bytes: int = 0,
        compute_device: torch.device | None = None,
        room: Room | None = None,
    ) -> None:
        """
        Args:
            targets: The layers of the model.
            budget_bytes: Memory for merged weights that are not in use, beside the model's weights
                on their device; with 0, returning to a set costs what it did the first time. On the
                CPU as much again is kept to write the next merges into: there, memory is slow to get.
            compute_device: Where weights that lie on the CPU are merged, layer by layer; the result
                goes back to the CPU. For models that wait there for their turn on a GPU.
            room: Whether originals can stay beside merged weights; by default, as the GPU has room.
        """
        self._targets = targets
        self._compute_device = compute_device
        self._room = DeviceRoom() if room is None else room
        self._short: frozenset[torch.device] = frozenset()
        self._store = MergedStore(budget_bytes)
        self._spare = Spare()
        self._backups = Backups()
        self._bypass = Bypass()
        self._gates = Gates()
        self._matches: dict[NetworkKey, Match] = {}
        self._matched: dict[NetworkKey, weakref.ref[Network]] = {}
        self._applied: _Applied | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def apply(self, wanted: Sequence[Wanted], mode: Mode = "merge") -> Report:
        """Makes `wanted` what is applied; touches only what changes.

        Args:
            wanted: The networks, in any order; none takes everything off.
            mode: `merge` writes into weights. `bypass` adds in forward wherever an adapter is
                additive and its layer can be hooked, and merges the rest.

        Returns:
            What was applied and what was not.

        Raises:
            LycoError: A multiplier by row is wanted where only a merge can be done.
        """
        self._applied = None
        try:
            with torch.inference_mode(False):
                notes = self._look_underneath()
                networks = add_up(wanted)
                self._update_matches(networks)
                plan = make_plan(networks, self._matches, mode, self._gates, self._backups)
                self._make_room(plan)
                touched = self._bypass.set(plan.bypass) + self._switch(plan)
        except BaseException:
            # an interrupt may fall between any two lines: a tensor may be parked and in use at once
            self._clear_kept()
            self.restore()
            raise
        self._applied = _Applied(networks, mode, plan.merges_by_step)
        return self._report(networks, plan, notes, touched)

    def vary(self, wanted: Sequence[Wanted]) -> None:
        """The same as `apply` in the same mode, between two steps of one pass.

        If only strengths of varying networks changed, and no hook is missing for them, this sets
        their gates and does nothing else: it is not noticed what happened to the model since.
        """
        networks = add_up(wanted)
        if self._applied is None or not self._applied.is_up_to_gates(networks):
            self.apply(wanted, "merge" if self._applied is None else self._applied.mode)
            return
        for one in networks:
            if one.varies:
                self._gates.get(one.entry, "unet", one.unet)

    def restore(self) -> Report:
        """Takes everything off: every original back bit for bit, every hook and created bias gone."""
        self._applied = None
        try:
            with torch.inference_mode(False):
                notes = self._look_underneath()
                touched = self._bypass.set({})
                for backup in self._backups:
                    self._spare.add(self._leave(backup))
                    touched += 1
                self._spare.shrink(self._store.budget_bytes)
        except BaseException:
            self._clear_kept()
            raise
        return Report(notes=notes, touched=touched, parked_bytes=self._store.num_bytes)

    def original(self, layer: LayerName) -> Tensor | None:
        """Returns a layer's weight without any network, (o, i, ...); None without such a layer."""
        return self._backups.layer_weight(self._targets.get(layer, ()))

    def forget(self) -> None:
        """Accepts the weights as they are: someone loaded others into every parameter underneath.

        Originals, kept merges and hooks are dropped. Reloads through `load_state_dict` and through
        new parameters are noticed without this call.
        """
        self._applied = None
        self._bypass.set({})
        for backup in self._backups:
            backup.abandon()
        self._backups.clear()
        self._matches.clear()
        self._clear_kept()

    def _clear_kept(self) -> None:
        self._store.clear()
        self._spare = Spare()

    def _look_underneath(self) -> tuple[str, ...]:
        """Finds what others did to merged parameters, and lets the backups follow."""
        changes = [(backup, backup.change()) for backup in self._backups]
        moved = [backup for backup, change in changes if change is Change.MOVED]
        reloaded = [backup for backup, change in changes if change is Change.RELOADED]
        if not moved and not reloaded:
            return ()
        notes: list[str] = []
        if moved:
            notes.append(f"{len(moved)} merged weights were moved or cast; their originals followed")
        if reloaded:
            notes.append(f"{len(reloaded)} merged weights were reloaded; their originals were dropped")
        for backup in moved:
            backup.follow()
        for backup in reloaded:
            backup.abandon()
            self._backups.drop(backup)
            self._matches.clear()  # other weights may have another shape
        self._store.discard({backup.slot for backup in (*moved, *reloaded)})
        return tuple(notes)

    def _make_room(self, plan: Plan) -> None:
        """Sees which devices are too full for originals, and moves away what need not be there."""
        needed: Counter[torch.device] = Counter()
        for edit in plan.edits.values():
            is_new = self._backups.get(edit.slot) is None
            needed[edit.like.device] += count_bytes(edit.like) if is_new else 0
        short = {device for device, num_bytes in needed.items() if self._room.is_short(device, num_bytes)}
        if short:
            self._store.clear()
            short = {device for device in short if self._room.is_short(device, needed[device])}
        self._short = frozenset(short)
        for backup in self._backups:
            self._spread_out(backup)

    def _spread_out(self, backup: Backup) -> None:
        if backup.parameter is not None and backup.parameter.device in self._short:
            backup.put_aside(self._room)

    def _update_matches(self, networks: Sequence[Wanted]) -> None:
        """Matches last for as long as somebody keeps their network: a set may return."""
        gone = [key for key, network in self._matched.items() if network() is None]
        for key in gone:
            self._matches.pop(key, None)
            del self._matched[key]
        for one in networks:
            if one.key not in self._matches:
                self._matches[one.key] = match_network(one.network, self._targets, one.rank)
                self._matched[one.key] = weakref.ref(one.network)

    def _switch(self, plan: Plan) -> int:
        """Brings every parameter to its recipe; returns how many were given another value."""
        changed: list[tuple[Edit, Tensor | None]] = []
        for edit in plan.edits.values():
            backup = self._backups.get(edit.slot) or Backup(edit.slot)
            if backup.recipe != edit.recipe:
                # before anything is parked, which could drop just what is needed now
                changed.append((edit, self._store.take(edit.slot, edit.recipe, backup.origin())))
        spare = self._spare
        left = [backup for backup in self._backups if backup.slot not in plan.edits]
        for backup in left:
            spare.add(self._leave(backup))
        scratch = Scratch()
        with exact_arithmetic({self._merge_device(edit.like).type for edit, _ in changed}):
            for edit, kept in changed:
                backup = self._backups.get(edit.slot) or Backup(edit.slot)
                self._backups.add(backup)
                spare.add(self._park(backup))
                merged = self._merge(edit, backup, spare.take(edit.like), scratch) if kept is None else kept
                backup.install(merged, edit.recipe)
                self._spread_out(backup)
        spare.shrink(self._store.budget_bytes)
        return len(left) + len(changed)

    def _merge_device(self, weight: Tensor) -> torch.device:
        if self._compute_device is None or weight.device.type != "cpu":
            return weight.device
        return self._compute_device

    def _merge(self, edit: Edit, backup: Backup, out: Tensor, scratch: Scratch) -> Tensor:
        """Returns `out` with one parameter's merge in it."""
        source = backup.original if edit.master is None else edit.master
        if edit.is_bias:
            source = None if source is None else source.to(out.device)
            backup.failures = merge_bias(source, edit.terms, out, self._backups)
            return out
        assert source is not None
        device = self._merge_device(out)
        merged = out if device == out.device else torch.empty_like(out, device=device)
        backup.failures = merge_weight(source.to(device), edit.terms, merged, scratch, self._backups)
        return out if merged is out else out.copy_(merged)

    def _leave(self, backup: Backup) -> list[Tensor]:
        """Restores one parameter; returns tensors that nobody needs any more."""
        dropped = self._park(backup)
        backup.restore()
        self._backups.drop(backup)
        # where memory is short, not even for the next merge
        return [] if backup.is_aside else dropped

    def _park(self, backup: Backup) -> list[Tensor]:
        """Keeps what is installed for later; returns tensors that nobody needs any more.

        From then on the backup does not say what is installed: it is about to be replaced.
        """
        installed, recipe, is_whole = backup.installed(), backup.recipe, not backup.failures
        backup.recipe, backup.failures = (), []
        if installed is None:
            return []
        if not recipe or not is_whole or backup.is_aside:
            return [installed]
        return self._store.park(backup.slot, recipe, backup.origin(), installed)

    def _report(
        self, networks: Sequence[Wanted], plan: Plan, notes: tuple[str, ...], touched: int
    ) -> Report:
        problems: list[Problem] = list(plan.problems)
        for failure in (failure for backup in self._backups for failure in backup.failures):
            layer = failure.term.pair.target.layer
            problems.append(Problem(failure.term.network, failure.term.key, layer, failure.reason))
        counts: list[Count] = []
        for key, network in {one.key: one.network for one in networks}.items():
            name = network.name
            match = self._matches[key]
            problems += [Problem(name, key, item.layer, item.reason) for item in match.unmatched]
            failed = count_adapters({problem.layer for problem in problems if problem.key == key})
            for component, total in count_adapters(network.adapters).items():
                counts.append(Count(name, key, component, total - failed.get(component, 0), total))
        originals = [backup.original for backup in self._backups]
        return Report(
            counts=tuple(counts),
            problems=tuple(problems),
            notes=notes,
            touched=touched,
            backup_bytes=sum(count_bytes(original) for original in originals if original is not None),
            parked_bytes=self._store.num_bytes,
        )
