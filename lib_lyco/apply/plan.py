"""What has to be on which parameter and on which layer, for a wanted set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from lib_lyco.apply.backup import Backups, Slot, finer_copy
from lib_lyco.apply.bypass import BypassTerm, Gate, can_bypass
from lib_lyco.apply.match import Match, Pair
from lib_lyco.apply.merge import Term, bias_delta
from lib_lyco.apply.wanted import Entry, Mode, Multiplier, NetworkKey, Problem, Recipe, Wanted
from lib_lyco.errors import AdapterError, LycoError
from lib_lyco.naming.layer import Component


class Gates:
    """One gate per entry and component, the same object for as long as the entry is wanted."""

    def __init__(self) -> None:
        self._gates: dict[tuple[Entry, Component], Gate] = {}

    def get(self, entry: Entry, component: Component, value: Multiplier) -> Gate:
        """Returns the gate, set to `value`."""
        gate = self._gates.get((entry, component))
        if gate is None:
            gate = self._gates[entry, component] = Gate(value)
        elif gate.value is not value:
            gate.value = value
        return gate

    def keep(self, entries: set[Entry]) -> None:
        """Drops the gates of all other entries."""
        self._gates = {place: gate for place, gate in self._gates.items() if place[0] in entries}


@dataclass(eq=False)
class Edit:
    """One parameter and all that is merged into it."""

    slot: Slot
    like: Tensor
    """A tensor of the form that the merged one must have; its values do not matter."""
    is_bias: bool
    master: Tensor | None = None
    """A finer copy of the original, to start from."""
    terms: list[Term] = field(default_factory=list[Term])

    @property
    def recipe(self) -> Recipe:
        return tuple((term.key, term.multiplier) for term in self.terms)


@dataclass(eq=False)
class Plan:
    """Everything that shall be applied; what is not in here is to be taken off."""

    edits: dict[Slot, Edit] = field(default_factory=dict[Slot, Edit])
    bypass: dict[nn.Module, list[BypassTerm]] = field(default_factory=dict[nn.Module, list[BypassTerm]])
    problems: list[Problem] = field(default_factory=list[Problem])
    merges_by_step: bool = False
    """Whether a network that varies is among the edits."""


def make_plan(
    networks: Sequence[Wanted],
    matches: Mapping[NetworkKey, Match],
    mode: Mode,
    gates: Gates,
    backups: Backups,
) -> Plan:
    """Sorts all pairs of all networks into edits and hooks.

    Args:
        networks: Each network once.
        matches: Their matches.
        mode: Whether to prefer hooks.
        gates: Where hooks look up multipliers; set to the wanted ones.
        backups: The originals.

    Raises:
        LycoError: A multiplier by row in merge mode.
    """
    planner = _Planner(mode, gates, backups)
    gates.keep({one.entry for one in networks})
    for one in networks:
        for pair in matches[one.key].pairs:
            planner.place(one, pair)
    return planner.plan


class _Planner:
    def __init__(self, mode: Mode, gates: Gates, backups: Backups) -> None:
        self.plan = Plan()
        self._mode = mode
        self._gates = gates
        self._backups = backups
        self._first: dict[int, Slot] = {}

    def place(self, one: Wanted, pair: Pair) -> None:
        """Decides for one pair between a hook, an edit and nothing at all."""
        layer = pair.target.layer
        varies = one.varies and layer.component == "unet"
        multiplier, factor = one.multiplier(layer.component), one.factor(layer)
        is_zero = not isinstance(multiplier, Tensor) and multiplier == 0.0
        if factor == 0.0 or (is_zero and not varies):
            return
        if (self._mode == "bypass" or varies or self._is_coarse(pair)) and can_bypass(pair):
            gate = self._gates.get(one.entry, layer.component, multiplier)
            terms = self.plan.bypass.setdefault(pair.target.module, [])
            terms.append(BypassTerm(pair, gate, factor))
        elif not isinstance(multiplier, Tensor):
            self.plan.merges_by_step |= varies
            if not is_zero:
                self.merge(one, pair, multiplier * factor)
        elif self._mode == "bypass":
            self.refuse(one, pair, "it can only be merged, and the strengths differ by image")
        else:
            raise LycoError(
                "A merge has one strength for the whole batch.",
                where=one.network.name,
                got=f"{multiplier.numel()} strengths",
                expected="one number",
                remedy="Use the bypass for strengths by image.",
            )

    def refuse(self, one: Wanted, pair: Pair, reason: str) -> None:
        self.plan.problems.append(Problem(one.network.name, one.key, pair.target.layer, reason))

    def merge(self, one: Wanted, pair: Pair, multiplier: float) -> None:
        """Adds one pair to the edits of its weight and, where it changes that, its bias."""
        target = pair.target
        weight = self._backups.original(Slot(target.module, target.weight))
        assert weight is not None
        if weight.is_meta:
            self.refuse(one, pair, "its weight is not loaded (it is on the meta device)")
            return
        term = Term(pair, multiplier, one.network.name, one.key)
        if pair.adapter.changes_weight:
            slot = self._untie(Slot(target.module, target.weight))
            master = finer_copy(target.module, target.master, weight)
            self._add(Edit(slot, _in_place(slot, weight), False, master), term)
        bias_slot = self._untie(Slot(target.module, target.bias))
        bias = self._backups.original(bias_slot)
        try:
            changes_bias = bias_delta(pair, bias, self._backups) is not None
        except AdapterError as error:
            self.refuse(one, pair, str(error))
            return
        if not changes_bias:
            return
        if bias is None and not self._can_create(bias_slot):
            self.refuse(one, pair, f"{type(target.module).__name__} has no place for a bias")
            return
        master = None if bias is None else finer_copy(target.module, target.master_bias, bias)
        if bias is None:
            bias = weight.new_empty(weight.shape[int(target.transposed)])
        self._add(Edit(bias_slot, _in_place(bias_slot, bias), True, master), term)

    def _is_coarse(self, pair: Pair) -> bool:
        """Whether a merge would be rounded to so few bits that much of the delta is lost."""
        weight = self._backups.original(Slot(pair.target.module, pair.target.weight))
        return weight is not None and weight.element_size() == 1

    def _can_create(self, slot: Slot) -> bool:
        return self._backups.get(slot) is not None or slot.can_create()

    def _add(self, edit: Edit, term: Term) -> None:
        self.plan.edits.setdefault(edit.slot, edit).terms.append(term)

    def _untie(self, slot: Slot) -> Slot:
        """Returns the first slot met that holds the same parameter: a tied one is edited once."""
        parameter = slot.find()
        return slot if parameter is None else self._first.setdefault(id(parameter), slot)


def _in_place(slot: Slot, original: Tensor) -> Tensor:
    """What the model has there now: an original of the same form may wait on another device."""
    parameter = slot.find()
    return original if parameter is None else parameter.data
