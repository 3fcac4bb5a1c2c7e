"""What became of a prompt's tags, in sentences for the person who wrote them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from lib_lyco.apply.wanted import NetworkKey, Report, network_key
from lib_lyco.errors import LycoError, one_line
from lib_lyco.naming.detect import TITLES
from lib_lyco.naming.key import split_key
from lib_lyco.naming.layer import Family
from lib_lyco.naming.resolve import resolve
from lib_lyco.network.network import Network
from lib_lyco.prompt.request import NetworkRequest

_NUM_REASONS = 3


@dataclass(frozen=True, eq=False)
class TagOutcome:
    """What became of one tag."""

    request: NetworkRequest
    network: Network
    applied: int
    """Layers that it acts on, of `total` that its file has."""
    total: int
    problem: str | None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What `PromptNetworks.begin` did."""

    report: Report
    errors: tuple[LycoError, ...]
    """Of tags that cannot be read, or whose network cannot be had; all others are applied."""
    requested: tuple[tuple[NetworkRequest, Network], ...]
    """The tags that are applied, in their order."""
    family: Family | None
    """The base model's."""

    def lines(self) -> list[str]:
        """One line for each network and each error: all that a person may want to know."""
        return [*(line for line, _ in self._networks()), *map(one_line, self.errors)]

    def problems(self) -> list[str]:
        """Only the lines that say that something is not as it was asked for."""
        return [*(line for line, is_bad in self._networks() if is_bad), *map(one_line, self.errors)]

    def tags(self) -> list[TagOutcome]:
        """Each tag whose network was found; tags of one network share its counts."""
        found: list[TagOutcome] = []
        for request, network in self.requested:
            key = network_key(network, request.rank)
            problem = "; ".join(self._reasons(key, network)) or None
            found.append(TagOutcome(request, network, *self._applied(key, network), problem))
        return found

    def _networks(self) -> Iterator[tuple[str, bool]]:
        """A line for each network, and whether it tells of a problem."""
        shown: dict[NetworkKey, tuple[NetworkRequest, Network]] = {}
        for request, network in self.requested:
            shown.setdefault(network_key(network, request.rank), (request, network))
        names = [network.name for _, network in shown.values()]
        for key, (request, network) in shown.items():
            # two files of one name in different folders: then as the tag tells them apart
            title = network.name if names.count(network.name) == 1 else request.name
            problem = "; ".join(self._reasons(key, network))
            line = f"{title}: {self._count(key, network)}"
            yield (f"{line}: {problem}", True) if problem else (line, False)

    def _count(self, key: NetworkKey, network: Network) -> str:
        applied, total = self._applied(key, network)
        if not total and network.embeddings:
            return "holds embeddings only"
        return f"applied {applied} of {total}"

    def _applied(self, key: NetworkKey, network: Network) -> tuple[int, int]:
        """Layers that the network acts on, and all that its file has."""
        counts = [count for count in self.report.counts if count.key == key]
        total = sum(count.total for count in counts) + len(_layers_lost(network))
        return sum(count.applied for count in counts), total

    def _reasons(self, key: NetworkKey, network: Network) -> Iterator[str]:
        places: dict[str, list[str]] = defaultdict(list)
        for problem in self.report.problems:
            if problem.key == key:
                places[problem.reason].append(str(problem.layer))
        if places and self.family is not None and network.family not in (None, self.family):
            yield f"made for {TITLES[network.family]}, this is {TITLES[self.family]}"
        else:
            yield from _grouped(places, "layer")
        lost = _layers_lost(network)
        layers: dict[str, list[str]] = defaultdict(list)
        keys: dict[str, list[str]] = defaultdict(list)
        for stem, reason in lost.items():
            layers[reason].append(stem)
        for item in network.unknown:
            split = split_key(item.key)
            if split is None or split.stem not in lost:
                keys[item.reason].append(item.key)
        yield from _grouped(layers, "layer")
        yield from _grouped(keys, "key")


def _layers_lost(network: Network) -> dict[str, str]:
    """The layers of a file that did not even become an adapter, as the file calls them, and why."""
    lost: dict[str, str] = {}
    for item in network.unknown:
        split = split_key(item.key)
        if split is None:
            continue
        layer = resolve(split.stem, network.family) if network.family is not None else None
        if layer not in network.adapters:
            lost.setdefault(split.stem, item.reason)
    return lost


def _grouped(places: dict[str, list[str]], noun: str) -> Iterator[str]:
    """The commonest reasons first, each with how often it holds and one place where it does."""
    ranked = sorted(places.items(), key=lambda item: -len(item[1]))
    for reason, where in ranked[:_NUM_REASONS]:
        if len(where) == 1:
            yield f"{where[0]}: {reason}"
        else:
            yield f"{len(where)} {noun}s, such as {where[0]}: {reason}"
    rest = ranked[_NUM_REASONS:]
    if rest:
        yield f"{sum(len(where) for _, where in rest)} more for {len(rest)} other reasons"
