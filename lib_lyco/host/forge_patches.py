"""What a set of networks is where weights are merged by somebody else: one patch for each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import torch
from torch import Tensor, nn

from lib_lyco.apply.backup import Backups
from lib_lyco.apply.match import Match, Pair, count_adapters, match_network
from lib_lyco.apply.merge import Scratch, Term, bias_delta, exact_arithmetic, merge_bias, merge_weight
from lib_lyco.apply.wanted import Count, NetworkKey, Problem, Report, Wanted, add_up
from lib_lyco.errors import AdapterError, LycoError
from lib_lyco.host.forge_model import PatchedLayers


@dataclass(frozen=True, eq=False)
class Patch:
    """All that is merged into one parameter."""

    terms: tuple[Term, ...]
    is_bias: bool

    def merge(self, weight: Tensor, strength: float) -> Tensor:
        """Returns the merged parameter, in the dtype and on the device of the original.

        Args:
            weight: The original, as it is where it is needed; only read.
            strength: Multiplies all terms.

        Raises:
            AdapterError: A term does not fit, though it did when the patch was made.
        """
        terms = [replace(term, multiplier=term.multiplier * strength) for term in self.terms]
        originals = Backups()  # only fused layers ask it for others, and these models keep theirs fused
        with torch.inference_mode(False), exact_arithmetic({weight.device.type}):
            out = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
            if self.is_bias:
                failures = merge_bias(weight, terms, out, originals)
            else:
                failures = merge_weight(weight, terms, out, Scratch(), originals)
        for failure in failures:
            where = f"{failure.term.network}, {failure.term.pair.target.layer}"
            raise AdapterError(failure.reason, where=where)
        return out


@dataclass(frozen=True, eq=False)
class PatchSet:
    """A wanted set as patches."""

    name: str
    """Another for another set."""
    unet: Mapping[str, Patch]
    """By the parameter's name below the root of the denoiser's patcher."""
    texts: Mapping[str, Patch]
    """The same for the text encoders'."""
    report: Report


class PatchMaker:
    """Makes patches of networks for one model; remembers the matches of the set before."""

    def __init__(self, layers: PatchedLayers) -> None:
        self._layers = layers
        self._matches: dict[NetworkKey, Match] = {}

    def make(self, wanted: Sequence[Wanted]) -> PatchSet:
        """Returns the patches of these networks; strengths that vary by step are those of now.

        Raises:
            LycoError: A network has several strengths at once, by image.
        """
        networks = add_up(wanted)
        self._matches = {
            one.key: self._matches.get(one.key)
            or match_network(one.network, self._layers.targets, one.rank)
            for one in networks
        }
        sorter = _Sorter(self._layers.paths)
        for one in networks:
            for pair in self._matches[one.key].pairs:
                sorter.add(one, pair)
        return PatchSet(
            name=_name(networks) if networks else "",
            unet=_patches(sorter.terms["unet"]),
            texts=_patches(sorter.terms["texts"]),
            report=self._report(networks, sorter.problems),
        )

    def _report(self, networks: Sequence[Wanted], problems: list[Problem]) -> Report:
        counts: list[Count] = []
        for key, network in {one.key: one.network for one in networks}.items():
            name, unmatched = network.name, self._matches[key].unmatched
            problems += [Problem(name, key, item.layer, item.reason) for item in unmatched]
            failed = count_adapters({problem.layer for problem in problems if problem.key == key})
            for component, total in count_adapters(network.adapters).items():
                counts.append(Count(name, key, component, total - failed.get(component, 0), total))
        return Report(counts=tuple(counts), problems=tuple(problems))


@dataclass(eq=False)
class _Sorter:
    """Sorts terms by the parameter they change."""

    paths: Mapping[nn.Module, str]
    terms: dict[str, dict[tuple[str, bool], list[Term]]] = field(
        default_factory=lambda: {"unet": {}, "texts": {}}
    )
    problems: list[Problem] = field(default_factory=list[Problem])

    def add(self, one: Wanted, pair: Pair) -> None:
        layer, module = pair.target.layer, pair.target.module
        multiplier = one.multiplier(layer.component)
        if isinstance(multiplier, Tensor):
            raise LycoError("A merge has one strength for the whole batch.", where=one.network.name)
        if multiplier == 0.0 or one.factor(layer) == 0.0:
            return
        term = Term(pair, multiplier * one.factor(layer), one.network.name, one.key)
        side = self.terms["unet" if layer.component == "unet" else "texts"]
        path, bias = self.paths[module], getattr(module, pair.target.bias, None)
        side.setdefault((f"{path}.{pair.target.weight}", False), []).append(term)
        try:
            changes_bias = bias_delta(pair, bias, Backups()) is not None
        except AdapterError as error:
            self.problems.append(Problem(one.network.name, one.key, layer, str(error)))
            return
        if changes_bias and isinstance(bias, nn.Parameter):
            side.setdefault((f"{path}.{pair.target.bias}", True), []).append(term)
        elif changes_bias:
            reason = "the layer has no bias, and patches cannot give it one"
            self.problems.append(Problem(one.network.name, one.key, layer, reason))


def _patches(terms: Mapping[tuple[str, bool], Sequence[Term]]) -> dict[str, Patch]:
    return {key: Patch(tuple(found), is_bias) for (key, is_bias), found in terms.items()}


def _name(networks: Sequence[Wanted]) -> str:
    told = repr([(one.key, one.factors, one.te, one.unet) for one in networks])
    return f"lyco {sha256(told.encode()).hexdigest()}"
