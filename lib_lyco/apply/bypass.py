"""Networks added to what a layer returns, weights left alone.

A hook on the matched instance adds, for a layer with input x,

    y + sum_n g_n * A_n(x)

where A_n is the adapter's own small computation and g_n its gate. Products are put side by side
along the rank, so that any number of networks costs one pair of small matrix products:
`y + ((x D^T) * g) U^T` with D the downs stacked, U the ups beside each other and g a row of gate
values per rank. Gates are looked up at each call: another strength, by step or by image of the
batch, is another value in a gate, and neither hook nor factors are touched.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.utils.hooks import RemovableHandle

from lib_lyco.algos.adapter import LowRank
from lib_lyco.algos.norm import Norm
from lib_lyco.algos.operation import is_conv, operate, pointwise
from lib_lyco.apply.match import Pair
from lib_lyco.apply.wanted import Multiplier
from lib_lyco.errors import LycoError


@contextmanager
def _kept() -> Generator[None, None, None]:
    """For tensors that outlive the call: they must serve a later one that wants gradients."""
    with torch.inference_mode(False), torch.no_grad():
        yield


class Gate:
    """How strongly one network acts on one component: a number, or one per row of the batch."""

    def __init__(self, value: Multiplier) -> None:
        self._value = value
        self._serial = 0
        self._spread: dict[tuple[torch.device, torch.dtype, float], Tensor] = {}

    @property
    def value(self) -> Multiplier:
        return self._value

    @value.setter
    def value(self, value: Multiplier) -> None:
        self._value = value
        self._serial += 1
        self._spread.clear()

    @property
    def serial(self) -> int:
        """Another number whenever the value has been set."""
        return self._serial

    def is_closed(self) -> bool:
        return not isinstance(self._value, Tensor) and self._value == 0.0

    def spread(self, x: Tensor, factor: float) -> Tensor:
        """Returns the value times `factor` as (b or 1, 1), where and in what dtype x is.

        Raises:
            LycoError: The batch has another number of rows than the gate.
        """
        form = (x.device, x.dtype, factor)
        if form not in self._spread:
            with _kept():
                value = torch.as_tensor(self._value, dtype=torch.float32) * factor
                self._spread[form] = value.to(x).reshape(-1, 1)
        value = self._spread[form]
        if value.shape[0] not in (1, x.shape[0]):
            raise LycoError(
                "The strengths do not fit the batch.",
                got=f"{value.shape[0]} strengths for {x.shape[0]} rows",
                expected="one strength, or one per row",
                remedy="Set the strengths anew when the batch changes.",
            )
        return value


@dataclass(frozen=True, eq=False)
class BypassTerm:
    """One adapter acting on one layer's output."""

    pair: Pair
    gate: Gate
    factor: float = 1.0
    """What the gate's value is multiplied by on this layer."""

    def is_same(self, other: BypassTerm) -> bool:
        """Whether a hook made for the one serves for the other."""
        return self.pair is other.pair and self.gate is other.gate and self.factor == other.factor


def can_bypass(pair: Pair) -> bool:
    """Whether a hook on the target's module can do what the merge of this pair does.

    Not if the delta depends on the weight, if the model uses the weight without calling the module
    (as `nn.MultiheadAttention` does with its `in_proj_weight` and its `out_proj`), or if only rows
    of the weight are meant and the delta is no product, whose up has these rows.
    """
    target, module = pair.target, pair.target.module
    if not pair.adapter.additive or target.weight != "weight" or target.transposed or pair.channels:
        return False
    if isinstance(pair.adapter, Norm):
        return isinstance(module, (nn.LayerNorm, nn.GroupNorm))
    if isinstance(module, NonDynamicallyQuantizableLinear):
        return False
    if not isinstance(module, nn.Linear) and not is_conv(module):
        return False
    is_part = bool(target.rows or target.delta_rows or target.swapped_halves)
    return not is_part or _product(pair) is not None


def _product(pair: Pair) -> LowRank | None:
    """The adapter as a product for its whole layer, if that is all it is."""
    module = pair.target.module
    if is_conv(module) and getattr(module, "groups", 1) > 1:
        return None
    return None if pair.adapter.bias_delta(None) is not None else pair.adapter.low_rank()


def _placed_up(up: Tensor, pair: Pair, num_rows: int) -> Tensor:
    """The up (o, r) of a pair's adapter as one of its module's whole weight, other rows being 0."""
    target = pair.target
    if target.delta_rows is not None:
        up = up[target.delta_rows[0] : target.delta_rows[1]]
    if target.swapped_halves:
        up = up.roll(up.shape[0] // 2, dims=0)
    if target.rows is None:
        return up
    placed = up.new_zeros(num_rows, up.shape[1])
    placed[target.rows[0] : target.rows[1]] = up
    return placed


@dataclass(frozen=True, eq=False)
class _Stack:
    """The products of one layer side by side, where and in what dtype its input is."""

    up: Tensor
    """(o, R)"""
    down: Tensor
    """(R, i, ...)"""
    ranks: tuple[int, ...]


class BypassLayer:
    """The hook of one layer instance.

    Raises:
        AdapterError: An adapter's factors cannot be computed.
    """

    def __init__(self, module: nn.Module, terms: Sequence[BypassTerm]) -> None:
        self.module = module
        self.terms = tuple(terms)
        self._products: list[tuple[BypassTerm, LowRank]] = []
        self._others: list[BypassTerm] = []
        self._stack: _Stack | None = None
        self._row: tuple[tuple[int, ...], Tensor] | None = None
        self._handle: RemovableHandle | None = None
        for term in self.terms:
            factors = _product(term.pair)
            if factors is None:
                self._others.append(term)
            else:
                self._products.append((term, factors))

    def install(self) -> None:
        """Puts the hook on."""
        self._handle = self.module.register_forward_hook(self._add, with_kwargs=True)

    def remove(self) -> None:
        """Takes the hook off again."""
        if self._handle is not None:
            self._handle.remove()

    def _add(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Tensor
    ) -> Tensor:
        x: Tensor = args[0] if args else kwargs["input"]
        if not all(term.gate.is_closed() for term, _ in self._products):
            output = output + self._run_products(x).to(output.dtype)
        for term in self._others:
            if not term.gate.is_closed():
                added = term.pair.adapter.bypass(x, module)
                gate = term.gate.spread(x, term.factor).reshape(-1, *[1] * (added.dim() - 1))
                output = output + (added * gate).to(output.dtype)
        return output

    def _align(self, row: Tensor, hidden: Tensor) -> Tensor:
        """(b or 1, R) -> a shape that broadcasts with (b, ..., R), or (b, R, h, w) of a conv."""
        inner = [1] * (hidden.dim() - 2)
        if is_conv(self.module):
            return row.reshape(*row.shape, *inner)
        return row.reshape(row.shape[0], *inner, row.shape[1])

    def _run_products(self, x: Tensor) -> Tensor:
        stack = self._stack
        if stack is None or stack.up.device != x.device or stack.up.dtype != x.dtype:
            with _kept():
                stack = self._build_stack(x)
            self._stack, self._row = stack, None
        row = self._gate_row(x, stack)
        hidden = operate(x, self.module, stack.down)
        return pointwise(hidden * self._align(row, hidden), self.module, stack.up)

    def _build_stack(self, x: Tensor) -> _Stack:
        shape = self.module.get_parameter("weight").shape
        ups = [_placed_up(factors.up, term.pair, shape[0]).to(x) for term, factors in self._products]
        downs = [factors.down.to(x) for _, factors in self._products]
        ranks = tuple(down.shape[0] for down in downs)
        return _Stack(torch.cat(ups, dim=1), torch.cat(downs).reshape(sum(ranks), *shape[1:]), ranks)

    def _gate_row(self, x: Tensor, stack: _Stack) -> Tensor:
        """Returns the gates' values by rank, (b or 1, R), made anew only when a gate was set.

        A single gate is the same for all ranks: (b or 1, 1) does, which all layers share.
        """
        if len(self._products) == 1:
            ((term, _),) = self._products
            return term.gate.spread(x, term.factor)
        serials = (x.shape[0], *(term.gate.serial for term, _ in self._products))
        if self._row is None or self._row[0] != serials:
            gates = [term.gate.spread(x, term.factor) for term, _ in self._products]
            num_rows = max(gate.shape[0] for gate in gates)
            with _kept():
                wide = [gate.expand(num_rows, rank) for gate, rank in zip(gates, stack.ranks, strict=True)]
                self._row = (serials, torch.cat(wide, dim=1))
        return self._row[1]


class Bypass:
    """All hooks of a session, by module."""

    def __init__(self) -> None:
        self._layers: dict[nn.Module, BypassLayer] = {}

    def __len__(self) -> int:
        return len(self._layers)

    def set(self, wanted: Mapping[nn.Module, Sequence[BypassTerm]]) -> int:
        """Makes these the hooks; a layer whose terms stay the same is not touched.

        Returns:
            How many layers got, lost or changed a hook.

        Raises:
            AdapterError: An adapter's factors cannot be computed.
        """
        changed = 0
        for module in [module for module in self._layers if module not in wanted]:
            self._take_off(module)
            changed += 1
        for module, terms in wanted.items():
            layer = self._layers.get(module)
            if layer is not None:
                if _are_same(layer.terms, terms):
                    continue
                self._take_off(module)
            layer = self._layers[module] = BypassLayer(module, terms)
            layer.install()
            changed += 1
        return changed

    def _take_off(self, module: nn.Module) -> None:
        # known for as long as it is there: an interrupt may fall between any two lines
        self._layers[module].remove()
        del self._layers[module]


def _are_same(ours: Sequence[BypassTerm], theirs: Sequence[BypassTerm]) -> bool:
    if len(ours) != len(theirs):
        return False
    return all(one.is_same(other) for one, other in zip(ours, theirs, strict=True))
