"""What networks do to a base model, block by block, and to each other: seen without drawing a picture.

With dW the change a network makes at its strength and W the base model's weight, both taken as one
long vector over all layers of a block:

- strength: ||dW|| / ||W||, how far the block is moved;
- overlap of two networks: the cosine of their changes. Far below 0 they undo each other, near 1 they
  do the same thing twice, near 0 (what chance gives in so many dims) they leave each other alone.

Changes that are products are never formed: <U1 D1, U2 D2> = sum((U1^T U2) * (D1 D2^T)), which is
r x r work. The others are formed one layer at a time.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter, LowRank
from lib_lyco.errors import AdapterError
from lib_lyco.naming.blocks import block_names, block_of
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.table import layer_table
from lib_lyco.network.check import num_not_finite
from lib_lyco.network.network import Network

WeightOf = Callable[[LayerName], Tensor | None]
"""The base model's own weight of a layer, (o, i, ...), without networks; None if it has no such layer."""

FIGHT_COSINE = -0.1
"""Changes at this cosine or below cost each other a tenth of their effect; chance gives 0.01 at most."""
REPEAT_COSINE = 0.5
"""From here on two networks share at least a quarter of their energy: variants of one training."""
HEAVY_STRENGTH = 0.3
"""A rule of thumb: usual networks move a block by 0.02 to 0.15; overtrained ones pass this."""


@dataclass(frozen=True)
class Subject:
    """A network at a strength."""

    network: Network
    te: float = 1.0
    unet: float = 1.0

    def multiplier(self, layer: LayerName) -> float:
        return self.unet if layer.component == "unet" else self.te


@dataclass(frozen=True)
class BlockStrength:
    """How far one network, or all of them together, moves a block."""

    block: str
    norm: float
    """||dW||, Frobenius."""
    relative: float | None
    """||dW|| / ||W||; None without a base model."""


@dataclass(frozen=True)
class Homeless:
    """A key or layer that acts nowhere, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class NetworkXray:
    """One network, looked through."""

    name: str
    blocks: tuple[BlockStrength, ...]
    homeless: tuple[Homeless, ...]
    """Keys nobody understood, layers the model lacks, layers that do not fit."""
    not_finite: tuple[str, ...]
    """Layers with NaN or infinity; they count nowhere else."""
    unmeasured: int
    """Layers whose change depends on the weight, where no base model was given."""


@dataclass(frozen=True)
class Overlap:
    """How alike the changes of two networks are in one block."""

    first: str
    second: str
    block: str
    cosine: float


@dataclass(frozen=True)
class Xray:
    """A set of networks, looked through."""

    family: Family
    networks: tuple[NetworkXray, ...]
    together: tuple[BlockStrength, ...]
    """All networks at once."""
    overlaps: tuple[Overlap, ...]
    findings: tuple[str, ...]
    """Sentences for people, gravest first."""

    def to_json(self) -> str:
        """Everything, as a JSON object."""
        return json.dumps(asdict(self), indent=2)


class _Gram:
    """Sums of inner products between the networks' changes, by block."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._sums: dict[str, list[list[float]]] = {}
        self._base: dict[str, float] = {}

    def add(self, block: str, changes: Mapping[int, LowRank | Tensor], weight: Tensor | None) -> None:
        """Adds a layer: its changes by the networks' positions."""
        sums = self._sums.setdefault(block, [[0.0] * self._size for _ in range(self._size)])
        for a, b in itertools.combinations_with_replacement(sorted(changes), 2):
            product = inner_product(changes[a], changes[b])
            sums[a][b] += product
            if a != b:
                sums[b][a] += product
        if weight is not None:
            energy = float(weight.to(torch.float32).square().sum(dtype=torch.float64))
            self._base[block] = self._base.get(block, 0.0) + energy

    def blocks(self, family: Family) -> list[str]:
        return [block for block in block_names(family) if block in self._sums]

    def strength(self, block: str, positions: Sequence[int]) -> BlockStrength:
        """Of the sum of some networks' changes."""
        sums = self._sums[block]
        # rounding may leave a sum of opposite changes a little below zero
        norm = math.sqrt(max(0.0, sum(sums[a][b] for a in positions for b in positions)))
        base = self._base.get(block, 0.0)
        return BlockStrength(block, norm, norm / math.sqrt(base) if base else None)

    def cosine(self, block: str, a: int, b: int) -> float | None:
        """None where one of the two does nothing."""
        sums = self._sums[block]
        energy = sums[a][a] * sums[b][b]
        return sums[a][b] / math.sqrt(energy) if energy > 0 else None


def inner_product(a: LowRank | Tensor, b: LowRank | Tensor) -> float:
    """The sum over all elements of the product of two changes of one weight, each (o, i * ...)."""
    if isinstance(a, LowRank) and isinstance(b, LowRank):
        return _sum((a.up.float().T @ b.up.float()) * (a.down.float() @ b.down.float().T))
    if isinstance(a, LowRank):
        return inner_product(b, a)
    if isinstance(b, LowRank):
        return _sum((b.up.float().T @ a.flatten(1)) * b.down.float())
    return _sum(a * b)


def _sum(product: Tensor) -> float:
    return float(product.sum(dtype=torch.float64))


def xray(subjects: Sequence[Subject], family: Family, weight_of: WeightOf | None = None) -> Xray:
    """Looks through networks, together and each on its own.

    Args:
        subjects: The networks, with different names.
        family: The base model's.
        weight_of: The base model's weights; without them strengths are not set in relation, and
            algorithms that need the weight (DoRA, OFT, IA3, ...) are only counted.
    """
    gram = _Gram(len(subjects))
    looks = [_Look(subject) for subject in subjects]
    layers = dict.fromkeys(layer for subject in subjects for layer in subject.network.adapters)
    with torch.no_grad():
        for layer in layers:
            weight = weight_of(layer) if weight_of else None
            if weight_of is not None and weight is None:
                for look in looks:
                    look.lack(layer)
                continue
            found = {at: look.change(layer, family, weight) for at, look in enumerate(looks)}
            changes = {at: change for at, change in found.items() if change is not None}
            if changes:
                gram.add(block_of(layer, family), changes, weight)
    blocks = gram.blocks(family)
    networks = tuple(
        look.result([gram.strength(block, [at]) for block in blocks]) for at, look in enumerate(looks)
    )
    together = tuple(gram.strength(block, range(len(subjects))) for block in blocks)
    overlaps = tuple(_overlaps(gram, [look.name for look in looks], blocks))
    findings = tuple(_findings(family, networks, together, overlaps))
    return Xray(family, networks, together, overlaps, findings)


class _Look:
    """One network on its way through the layers."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.name = subject.network.name
        self._homeless = [Homeless(key.key, key.reason) for key in subject.network.unknown]
        self._not_finite: list[str] = []
        self._unmeasured = 0

    def lack(self, layer: LayerName) -> None:
        """Notes that the model has no such layer."""
        if layer in self._subject.network.adapters:
            self._homeless.append(Homeless(str(layer), "the model has no such layer"))

    def change(self, layer: LayerName, family: Family, weight: Tensor | None) -> LowRank | Tensor | None:
        """The change of one layer at the network's strength, or None where there is none to count."""
        adapter = self._subject.network.adapters.get(layer)
        if adapter is None:
            return None
        if any(num_not_finite(tensor) for tensor in adapter.tensors().values()):
            self._not_finite.append(str(layer))
            return None
        if weight is None and not adapter.additive:
            self._unmeasured += 1
            return None
        try:
            return _change(adapter, self._subject.multiplier(layer), _stand_in(layer, family, weight))
        except AdapterError as error:
            self._homeless.append(Homeless(str(layer), error.what))
            return None

    def result(self, blocks: Sequence[BlockStrength]) -> NetworkXray:
        return NetworkXray(
            self.name, tuple(blocks), tuple(self._homeless), tuple(self._not_finite), self._unmeasured
        )


def _stand_in(layer: LayerName, family: Family, weight: Tensor | None) -> Tensor:
    """The weight, or one of its published shape for algorithms that only want to know the shape."""
    return torch.zeros(layer_table(family).shape(layer)) if weight is None else weight


def _change(adapter: Adapter, multiplier: float, weight: Tensor) -> LowRank | Tensor:
    """Raises AdapterError where the adapter does not fit."""
    reason = adapter.misfit(tuple(weight.shape))
    if reason is not None:
        raise AdapterError(reason)
    factors = adapter.low_rank()
    if factors is not None:
        # where the others' changes are, which are made beside the weight
        up, down = (factor.to(weight.device) for factor in (factors.up, factors.down))
        return LowRank(up.float() * multiplier, down)
    delta = adapter.delta(weight).float() * multiplier
    return delta.reshape(delta.shape[0], -1)


def _overlaps(gram: _Gram, names: Sequence[str], blocks: Sequence[str]) -> Iterator[Overlap]:
    for (a, first), (b, second) in itertools.combinations(enumerate(names), 2):
        for block in blocks:
            cosine = gram.cosine(block, a, b)
            if cosine is not None:
                yield Overlap(first, second, block, cosine)


def _findings(
    family: Family,
    networks: Sequence[NetworkXray],
    together: Sequence[BlockStrength],
    overlaps: Sequence[Overlap],
) -> Iterator[str]:
    for network in networks:
        if network.not_finite:
            yield f"{network.name}: NaN or infinity in layers: {len(network.not_finite)}."
    pairs = dict.fromkeys((overlap.first, overlap.second) for overlap in overlaps)
    for first, second in pairs:
        mine = [overlap for overlap in overlaps if (overlap.first, overlap.second) == (first, second)]
        fighting = [overlap for overlap in mine if overlap.cosine <= FIGHT_COSINE]
        alike = [overlap for overlap in mine if overlap.cosine >= REPEAT_COSINE]
        if fighting:
            lowest = min(overlap.cosine for overlap in fighting)
            where = block_ranges([overlap.block for overlap in fighting], family)
            yield f"{first} and {second} fight in {where} (cosine down to {lowest:.2f})."
        if alike:
            where = block_ranges([overlap.block for overlap in alike], family)
            yield f"{first} and {second} do the same thing in {where}: lower one of them."
    heavy = [one for one in together if one.relative is not None and one.relative > HEAVY_STRENGTH]
    if heavy:
        most = max(one.relative or 0.0 for one in heavy)
        where = block_ranges([one.block for one in heavy], family)
        what = "Together they move" if len(networks) > 1 else f"{networks[0].name} moves"
        yield f"{what} {where} by up to {most:.0%} of the base model: pictures may burn."
    for network in networks:
        if network.homeless:
            yield f"{network.name}: keys or layers that act nowhere: {len(network.homeless)}."


def block_ranges(blocks: Sequence[str], family: Family) -> str:
    """Names runs of neighbouring blocks: `IN02, OUT03-OUT05`."""
    order = block_names(family)
    runs: list[list[str]] = []
    for block in sorted(blocks, key=order.index):
        if runs and order.index(block) == order.index(runs[-1][-1]) + 1 and block[:2] == runs[-1][0][:2]:
            runs[-1].append(block)
        else:
            runs.append([block])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
