"""What has to be on which parameter and on which layer, for a wanted set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from lib_lyco.apply.backup import Backups, Slot
from lib_lyco.apply.bypass import BypassTerm, Gate, can_bypass
from lib_lyco.apply.match import Match, Pair
from lib_lyco.apply.merge import Term, bias_delta
from lib_lyco.apply.wanted import Mode, Multiplier, NetworkKey, Problem, Recipe, Wanted
from lib_lyco.errors import AdapterError, LycoError
from lib_lyco.naming.layer import Component


class Gates:
    """One gate per network and component, the same object for as long as the network is wanted."""

    def __init__(self) -> None:
        self._gates: dict[tuple[NetworkKey, Component], Gate] = {}

    def get(self, key: NetworkKey, component: Component, value: Multiplier) -> Gate:
        """Returns the gate, set to `value`."""
        gate = self._gates.get((key, component))
        if gate is None:
            gate = self._gates[key, component] = Gate(value)
        elif gate.value is not value:
            gate.value = value
        return gate

    def keep(self, keys: set[NetworkKey]) -> None:
        """Drops the gates of all other networks."""
        self._gates = {place: gate for place, gate in self._gates.items() if place[0] in keys}


@dataclass(eq=False)
class Edit:
    """One parameter and all that is merged into it."""

    slot: Slot
    like: Tensor
    """A tensor of the form that the merged one must have; its values do not matter."""
    is_bias: bool
    terms: list[Term] = field(default_factory=list[Term])
    keys: list[NetworkKey] = field(default_factory=list[NetworkKey])

    @property
    def recipe(self) -> Recipe:
        return tuple((key, term.multiplier) for key, term in zip(self.keys, self.terms, strict=True))


@dataclass(eq=False)
class Plan:
    """Everything that shall be applied; what is not in here is to be taken off."""

    edits: dict[Slot, Edit] = field(default_factory=dict[Slot, Edit])
    bypass: dict[nn.Module, list[BypassTerm]] = field(default_factory=dict[nn.Module, list[BypassTerm]])
    problems: list[Problem] = field(default_factory=list[Problem])


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
    planner = _Planner(backups)
    gates.keep({one.key for one in networks})
    for one in networks:
        for pair in matches[one.key].pairs:
            component = pair.target.layer.component
            multiplier = one.multiplier(component)
            if isinstance(multiplier, Tensor) and mode == "merge":
                raise LycoError(
                    "A merge has one strength for the whole batch.",
                    where=one.network.name,
                    got=f"{multiplier.numel()} strengths",
                    expected="one number",
                    remedy="Use the bypass for strengths by image.",
                )
            if mode == "bypass" and can_bypass(pair):
                if isinstance(multiplier, Tensor) or multiplier != 0.0:
                    gate = gates.get(one.key, component, multiplier)
                    planner.plan.bypass.setdefault(pair.target.module, []).append(BypassTerm(pair, gate))
            elif isinstance(multiplier, Tensor):
                planner.refuse(one, pair, "it can only be merged, and the strengths differ by image")
            elif multiplier != 0.0:
                planner.merge(one, pair, multiplier)
    return planner.plan


class _Planner:
    def __init__(self, backups: Backups) -> None:
        self.plan = Plan()
        self._backups = backups
        self._first: dict[int, Slot] = {}

    def refuse(self, one: Wanted, pair: Pair, reason: str) -> None:
        self.plan.problems.append(Problem(one.network.name, pair.target.layer, reason))

    def merge(self, one: Wanted, pair: Pair, multiplier: float) -> None:
        """Adds one pair to the edits of its weight and, where it changes that, its bias."""
        target = pair.target
        weight = self._backups.original(Slot(target.module, target.weight))
        assert weight is not None
        if weight.is_meta:
            self.refuse(one, pair, "its weight is not loaded (it is on the meta device)")
            return
        slot = self._untie(Slot(target.module, target.weight))
        term = Term(pair, multiplier, one.network.name)
        self._add(Edit(slot, weight, is_bias=False), one.key, term)
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
        like = weight.new_empty(weight.shape[int(target.transposed)]) if bias is None else bias
        self._add(Edit(bias_slot, like, is_bias=True), one.key, term)

    def _can_create(self, slot: Slot) -> bool:
        return self._backups.get(slot) is not None or slot.can_create()

    def _add(self, edit: Edit, key: NetworkKey, term: Term) -> None:
        edit = self.plan.edits.setdefault(edit.slot, edit)
        edit.terms.append(term)
        edit.keys.append(key)

    def _untie(self, slot: Slot) -> Slot:
        """Returns the first slot met that holds the same parameter: a tied one is edited once."""
        parameter = slot.find()
        return slot if parameter is None else self._first.setdefault(id(parameter), slot)
