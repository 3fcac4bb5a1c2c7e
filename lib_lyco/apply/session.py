"""The wanted set of networks against the applied set, on one model."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch
from torch import Tensor

from lib_lyco.apply.backup import Backup, Backups, Change
from lib_lyco.apply.bypass import Bypass
from lib_lyco.apply.match import Match, count_adapters, match_network
from lib_lyco.apply.merge import Scratch, exact_arithmetic, merge_bias, merge_weight
from lib_lyco.apply.plan import Edit, Gates, Plan, make_plan
from lib_lyco.apply.store import MergedStore, Spare, count_bytes
from lib_lyco.apply.wanted import Count, Mode, NetworkKey, Problem, Report, Wanted, add_up
from lib_lyco.models.target import Targets


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

    def __init__(self, targets: Targets, budget_bytes: int = 0) -> None:
        """
        Args:
            targets: The layers of the model.
            budget_bytes: Memory for merged weights that are not in use, beside the model's weights
                on their device; with 0, returning to a set costs what it did the first time.
        """
        self._targets = targets
        self._store = MergedStore(budget_bytes)
        self._backups = Backups()
        self._bypass = Bypass()
        self._gates = Gates()
        self._matches: dict[NetworkKey, Match] = {}

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
        try:
            with torch.inference_mode(False):
                notes = self._look_underneath()
                networks = add_up(wanted)
                self._update_matches(networks)
                plan = make_plan(networks, self._matches, mode, self._gates, self._backups)
                touched = self._bypass.set(plan.bypass) + self._switch(plan)
        except BaseException:
            self.restore()
            raise
        return self._report(networks, plan, notes, touched)

    def restore(self) -> Report:
        """Takes everything off: every original back bit for bit, every hook and created bias gone."""
        with torch.inference_mode(False):
            notes = self._look_underneath()
            touched = self._bypass.set({})
            for backup in self._backups:
                self._leave(backup)
                touched += 1
        return Report(notes=notes, touched=touched, parked_bytes=self._store.num_bytes)

    def forget(self) -> None:
        """Accepts the weights as they are: someone loaded others into every parameter underneath.

        Originals, kept merges and hooks are dropped. Reloads through `load_state_dict` and through
        new parameters are noticed without this call.
        """
        self._bypass.set({})
        for backup in self._backups:
            backup.abandon()
        self._backups.clear()
        self._matches.clear()
        self._store.clear()

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
        self._store.discard({backup.slot for backup in (*moved, *reloaded)})
        self._matches.clear()
        return tuple(notes)

    def _update_matches(self, networks: Sequence[Wanted]) -> None:
        self._matches = {
            one.key: self._matches.get(one.key) or match_network(one.network, self._targets, one.rank)
            for one in networks
        }

    def _switch(self, plan: Plan) -> int:
        """Brings every parameter to its recipe; returns how many were given another value."""
        changed: list[tuple[Edit, Tensor | None]] = []
        for edit in plan.edits.values():
            backup = self._backups.get(edit.slot) or Backup(edit.slot)
            if backup.recipe != edit.recipe:
                # before anything is parked, which could drop just what is needed now
                changed.append((edit, self._store.take(edit.slot, edit.recipe, backup.origin())))
        spare = Spare()
        left = [backup for backup in self._backups if backup.slot not in plan.edits]
        for backup in left:
            spare.add(self._leave(backup))
        scratch = Scratch()
        with exact_arithmetic({edit.like.device.type for edit, _ in changed}):
            for edit, kept in changed:
                backup = self._backups.get(edit.slot) or Backup(edit.slot)
                spare.add(self._park(backup))
                backup.recipe, backup.failures = (), []
                merged = self._merge(edit, backup, spare.take(edit.like), scratch) if kept is None else kept
                backup.install(merged, edit.recipe)
                self._backups.add(backup)
        return len(left) + len(changed)

    def _merge(self, edit: Edit, backup: Backup, out: Tensor, scratch: Scratch) -> Tensor:
        """Returns `out` with one parameter's merge in it."""
        if edit.is_bias:
            backup.failures = merge_bias(backup.original, edit.terms, out, self._backups)
        else:
            assert backup.original is not None
            backup.failures = merge_weight(backup.original, edit.terms, out, scratch, self._backups)
        return out

    def _leave(self, backup: Backup) -> list[Tensor]:
        """Restores one parameter; returns tensors that nobody needs any more."""
        dropped = self._park(backup)
        backup.restore()
        self._backups.drop(backup)
        return dropped

    def _park(self, backup: Backup) -> list[Tensor]:
        """Keeps what is installed for later; returns tensors that nobody needs any more."""
        installed = backup.installed()
        if installed is None:
            return []
        if backup.failures or not backup.recipe:
            return [installed]
        return self._store.park(backup.slot, backup.recipe, backup.origin(), installed)

    def _report(
        self, networks: Sequence[Wanted], plan: Plan, notes: tuple[str, ...], touched: int
    ) -> Report:
        problems: list[Problem] = list(plan.problems)
        for failure in (failure for backup in self._backups for failure in backup.failures):
            layer = failure.term.pair.target.layer
            problems.append(Problem(failure.term.network, layer, failure.reason))
        counts: list[Count] = []
        for one in networks:
            name = one.network.name
            match = self._matches[one.key]
            problems += [Problem(name, item.layer, item.reason) for item in match.unmatched]
            failed = {problem.layer for problem in problems if problem.network == name}
            for component, total in count_adapters(one.network.adapters).items():
                lost = count_adapters(failed).get(component, 0)
                counts.append(Count(name, component, total - lost, total))
        originals = [backup.original for backup in self._backups]
        return Report(
            counts=tuple(counts),
            problems=tuple(problems),
            notes=notes,
            touched=touched,
            backup_bytes=sum(count_bytes(original) for original in originals if original is not None),
            parked_bytes=self._store.num_bytes,
        )
