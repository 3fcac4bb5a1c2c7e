"""The arithmetic of a merge: every delta from the original, one sum, one rounding.

For a weight W with networks n at multipliers m, the merged weight is

    W' = round(W + sum_n m_n (W'_n - W))

with the sum in float32 (float64 for float64 weights). Deltas that are products are not formed:
their factors are put side by side along the rank, so that any number of networks is one
`W + [m_1 U_1 ... m_n U_n] [D_1; ...; D_n]`, which costs the same passes over memory as one network.

Matrix products follow the process's own precision settings (`torch.backends.cuda.matmul`): where
the host allows TF32, the factors are rounded to its 10 bits, as its own layers are.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lib_lyco.algos.adapter import LowRank
from lib_lyco.apply.match import Pair
from lib_lyco.apply.wanted import NetworkKey
from lib_lyco.errors import AdapterError
from lib_lyco.models.target import Target

_AUTOCAST_DEVICES = frozenset({"cpu", "cuda", "xpu"})


class Originals(Protocol):
    """Where a merge finds the other parts of a fused layer."""

    def join_weights(self, targets: Sequence[Target]) -> Tensor: ...

    def join_biases(self, targets: Sequence[Target]) -> Tensor | None: ...


@dataclass(frozen=True, eq=False)
class Term:
    """One adapter acting on one parameter."""

    pair: Pair
    multiplier: float
    network: str
    """The network's name, for reports."""
    key: NetworkKey


@dataclass(frozen=True, eq=False)
class Failure:
    """A term that had to be left out, and why."""

    term: Term
    reason: str


@contextmanager
def exact_arithmetic(device_types: set[str]) -> Generator[None, None, None]:
    """Shuts out autocast, which would round products to half, and gradients."""
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        for device_type in sorted(device_types & _AUTOCAST_DEVICES):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        yield


class Scratch:
    """One float32 buffer that the layers of a merge use in turn, as large as the largest of them."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None

    def borrow(self, like: Tensor, dtype: torch.dtype) -> Tensor:
        """Returns an uninitialised contiguous tensor of `like`'s shape, valid until the next call."""
        buffer = self._buffer
        if (
            buffer is None
            or buffer.dtype != dtype
            or buffer.device != like.device
            or buffer.numel() < like.numel()
        ):
            buffer = torch.empty(like.numel(), dtype=dtype, device=like.device)
            self._buffer = buffer
        return buffer[: like.numel()].view(like.shape)


def merge_weight(
    original: Tensor, terms: Sequence[Term], out: Tensor, scratch: Scratch, originals: Originals
) -> list[Failure]:
    """Writes the merged weight to `out`.

    Args:
        original: The original weight, (o, i, ...), or a finer copy of it; only read.
        terms: What acts on it.
        out: Shape and device of `original`, and the dtype to round to; a tensor of its own.
        scratch: Where the sum is made if `out` cannot hold it.
        originals: Where the other parts of a fused layer are.

    Returns:
        The terms that could not be computed; all others are in `out`.
    """
    compute = _compute_dtype(original)
    low_rank, dense, failures = _split(terms, compute)
    is_plain = out.dtype == compute and out.is_contiguous()
    total = out if is_plain else scratch.borrow(original, compute)
    total.copy_(original)
    failures += _add_dense(total, original, dense, originals)
    _add_low_rank(total, low_rank)
    if not is_plain:
        _round_into(out, total)
    return failures


def merge_bias(
    original: Tensor | None, terms: Sequence[Term], out: Tensor, originals: Originals
) -> list[Failure]:
    """Writes the merged bias to `out`, (o,); an `original` of None counts as zeros.

    Returns:
        The terms that could not be computed; all others are in `out`.
    """
    compute = _compute_dtype(out)
    total = torch.zeros_like(out, dtype=compute)
    failures: list[Failure] = []
    for term in terms:
        try:
            delta = bias_delta(term.pair, original, originals)
        except AdapterError as error:
            failures.append(Failure(term, str(error)))
            continue
        if delta is not None:
            _block(total, term.pair).add_(_part(delta, term.pair).to(total), alpha=term.multiplier)
    _round_into(out, total if original is None else total.add_(original.to(compute)))
    return failures


def bias_delta(pair: Pair, original: Tensor | None, originals: Originals) -> Tensor | None:
    """Returns what a pair's adapter adds to the bias (of the whole layer if fused), or None.

    Raises:
        AdapterError: The adapter does not fit.
    """
    if pair.whole:
        bias = originals.join_biases(pair.whole)
    else:
        bias = None if original is None else _unswap(_block(original, pair), pair)
    if bias is not None:
        bias = bias.to(_compute_dtype(bias))
    return pair.adapter.bias_delta(bias)


def _compute_dtype(weight: Tensor) -> torch.dtype:
    return torch.float64 if weight.dtype == torch.float64 else torch.float32


def _split(
    terms: Sequence[Term], compute: torch.dtype
) -> tuple[list[tuple[Term, LowRank]], list[Term], list[Failure]]:
    """Parts the terms that are products from the others.

    A product that is not added as it stands is left to the others; so is one on a float64 weight,
    factors being float32.
    """
    low_rank: list[tuple[Term, LowRank]] = []
    dense: list[Term] = []
    failures: list[Failure] = []
    for term in terms:
        is_product = (
            _is_whole(term.pair) and compute != torch.float64 and term.pair.adapter.merges_as_product
        )
        try:
            factors = term.pair.adapter.low_rank() if is_product else None
        except AdapterError as error:
            failures.append(Failure(term, str(error)))
            continue
        if factors is None:
            dense.append(term)
        else:
            low_rank.append((term, factors))
    return low_rank, dense, failures


def _add_dense(
    total: Tensor, original: Tensor, terms: Sequence[Term], originals: Originals
) -> list[Failure]:
    """Adds the terms one by one; one that fails, fails before anything of it was added."""
    failures: list[Failure] = []
    for term in terms:
        pair = term.pair
        try:
            # what does not look at the weight's values needs no copy in float32 of them
            is_additive = _is_whole(pair) and pair.adapter.additive
            wide = original if is_additive else original.to(total.dtype)
            if _is_whole(pair):
                pair.adapter.add_delta(_block(total, pair), _block(wide, pair), term.multiplier)
                continue
            weight = (
                originals.join_weights(pair.whole).to(wide)
                if pair.whole
                else _unswap(_block(wide, pair), pair)
            )
            delta = pair.adapter.delta(weight)
        except AdapterError as error:
            failures.append(Failure(term, str(error)))
            continue
        _block(total, pair).add_(_part(delta, pair), alpha=term.multiplier)
    return failures


def _is_whole(pair: Pair) -> bool:
    """Whether a delta goes, as it is, to whole rows of the parameter."""
    target = pair.target
    return not (pair.whole or pair.channels or target.transposed or target.swapped_halves)


def _add_low_rank(total: Tensor, terms: Sequence[tuple[Term, LowRank]]) -> None:
    """Adds all products that go to the same rows as one."""
    by_rows: dict[tuple[int, int], list[tuple[Term, LowRank]]] = {}
    for term, factors in terms:
        rows = term.pair.target.rows or (0, total.shape[0])
        by_rows.setdefault(rows, []).append((term, factors))
    matrix = total.view(total.shape[0], -1)
    for (start, end), group in by_rows.items():
        ups = [factors.up.to(total) * term.multiplier for term, factors in group]
        downs = [factors.down.to(total) for _, factors in group]
        if len(group) == 1:
            matrix[start:end].addmm_(ups[0], downs[0])
        else:
            matrix[start:end].addmm_(torch.cat(ups, dim=1), torch.cat(downs, dim=0))


def _block(tensor: Tensor, pair: Pair) -> Tensor:
    """The view of a whole parameter (weight or bias) that belongs to a pair, as (o, ...)."""
    rows = pair.target.rows
    if pair.target.transposed and tensor.dim() == 2:
        tensor = tensor.T
    block = tensor if rows is None else tensor[rows[0] : rows[1]]
    return block if pair.channels is None or tensor.dim() == 1 else block[:, : pair.channels]


def _part(delta: Tensor, pair: Pair) -> Tensor:
    """What of a layer's delta goes to a pair's target, in the order of rows that it has there."""
    rows = pair.target.delta_rows
    return _unswap(delta if rows is None else delta[rows[0] : rows[1]], pair)


def _unswap(rows: Tensor, pair: Pair) -> Tensor:
    """Exchanges the halves where the model has them in the other order; twice is not at all."""
    return rows.roll(rows.shape[0] // 2, dims=0) if pair.target.swapped_halves else rows


def _round_into(out: Tensor, total: Tensor) -> None:
    """Rounds once. Float8 has no infinity and would turn what is too large into NaN."""
    if out.dtype.itemsize == 1:
        limit = torch.finfo(out.dtype).max
        total.clamp_(-limit, limit)
    out.copy_(total)
