"""What a file's tensors are, by names and shapes alone: algorithm, rank, base model.

A collection has many files and few layouts: what kohya's trainer makes at rank 16 of one base model has
the same header each time, but for its metadata. So a layout is understood once and remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.errors import AdapterError
from lib_lyco.files.header import Front
from lib_lyco.files.pickled import read_shapes
from lib_lyco.naming.claim import read_claim
from lib_lyco.naming.detect import TITLES, detect_beside
from lib_lyco.naming.key import split_embedding_key
from lib_lyco.naming.layer import Family
from lib_lyco.naming.signature import Kinds, Signature, count_kinds

_MAX_KNOWN = 4096
_SECONDARY = ("norm", "full")
"""Algorithms that come beside another one: what a file is called after last."""

_Shapes = Mapping[str, tuple[int, ...]]


class LayoutFacts(NamedTuple):
    """What a card says about a file's tensors."""

    algo: str
    """Of most layers; "" where none was understood."""
    rank: int | None
    """Of most layers of that algorithm; None for an algorithm without one."""
    families: tuple[Family, ...]
    """The base models it can be for, the likeliest first; none where that is another or nothing tells."""
    other: str | None
    """The name of a base model that is none of ours."""
    evidence: str
    """How that is known, in sentences."""
    embeddings: tuple[str, ...]
    """Names of the embeddings that come with it."""


class Layouts:
    """Layouts understood so far."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[LayoutFacts, int]] = {}

    def facts(self, front: Front, read: Callable[[], _Shapes]) -> LayoutFacts:
        """The facts of a file.

        Args:
            front: What was read of it.
            read: Reads all its tensors' shapes, where its layout is a new one. May raise FileError.
        """
        hints = Hints.from_metadata(front.metadata)
        # of the metadata all that the facts depend on, and no more
        era = 0.0 if hints.before_lycoris_3 else None
        says = (read_claim(front.metadata), repr(replace(hints, trained_at=era)))
        key = (front.layout, *says)
        facts, size = self._known.get(key, (None, -1))
        # another size than the layout asks for: truncated, which reading it whole will tell
        if facts is None or size != front.data_size:
            facts = understand(read(), front.metadata)
            self._keep(key, facts, front.data_size)
        return facts

    def facts_of_pickle(self, program: bytes, path: Path) -> LayoutFacts:
        """The facts of a file made by torch.save, which has no metadata. May raise FileError."""
        key = sha256(program).digest()
        if key not in self._known:
            self._keep(key, understand(read_shapes(program, path), {}), 0)
        return self._known[key][0]

    def _keep(self, key: object, facts: LayoutFacts, size: int) -> None:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = (facts, size)


def understand(shapes: _Shapes, metadata: Mapping[str, str]) -> LayoutFacts:
    """Finds algorithm, rank and base model from a header's names and shapes. Raises nothing."""
    kinds = count_kinds(shapes)
    detection = detect_beside(shapes, read_claim(metadata), kinds)
    families = () if detection.family is None else (detection.family, *detection.alike)
    algo, rank = _algo_and_rank(kinds, Hints.from_metadata(metadata))
    embeddings = (split_embedding_key(key) for key in shapes)
    names = tuple(dict.fromkeys(found.name for found in embeddings if found))
    return LayoutFacts(algo, rank, families, detection.other, detection.evidence, names)


def title_of(families: tuple[Family, ...], other: str | None) -> str:
    """What people call the base model; "" if it is not known."""
    return " or ".join(TITLES[family] for family in families) or other or ""


def _algo_and_rank(kinds: Kinds, hints: Hints) -> tuple[str, int | None]:
    alike: Counter[Signature] = Counter()
    for (_, signature), count in kinds.counts.items():
        alike[signature] += count
    found: Counter[tuple[str, int | None]] = Counter()
    for signature, count in alike.items():
        kind = _decoded(signature, hints)
        if kind is not None:
            found[kind] += count
    ranked = sorted(found.items(), key=lambda item: (item[0][0] in _SECONDARY, -item[1]))
    return ranked[0][0] if ranked else ("", None)


def _decoded(signature: Signature, hints: Hints) -> tuple[str, int | None] | None:
    """Algorithm and rank of a layer with such parts; None where they do not form an adapter."""
    try:
        adapter = decode({part: _hollow(shape) for part, shape in signature}, hints).adapter
    except AdapterError:
        return None
    return adapter.algo, adapter.rank


def _hollow(shape: tuple[int, ...]) -> Tensor:
    """A tensor of that shape without memory; a single number, such as alpha, is 1."""
    return torch.ones(shape) if shape in ((), (1,)) else torch.empty(shape, device="meta")
