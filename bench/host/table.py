"""The cases in the order in which they are drawn, and the table of what they took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.host.floor import Floor


@dataclass(frozen=True)
class Case:
    """One picture."""

    name: str
    """Empty where nobody asks for its time."""
    tags: Mapping[str, float]
    """Network -> strength."""
    aim: float = 0.0
    """Ours over the builtin's, at most."""
    reads: bool = False
    """Whether reading the file is part of it."""
    grows: bool = False
    """Whether it may need memory from the system, which is made ready for both."""
    is_kept: bool = False
    """Whether what it needs is there already, so that no weight has to be read or written."""


CASES = (
    Case("first use", {"one": 1.0}, 0.35, reads=True, grows=True),
    # until the budget has overflown once, so that merges are written into memory that is there
    Case("", {"two": 0.8}),
    Case("", {"one": 0.9}),
    Case("", {"two": 0.7}),
    Case("", {"one": 0.8}),
    Case("switch A to B", {"two": 0.9}, 0.3),
    Case("only the strength", {"two": 0.6}, 0.2),
    Case("back to a set used before", {"one": 0.8}, 0.03, is_kept=True),
    Case("two LoRAs", {"one": 0.7, "two": 0.5}, 0.25, grows=True),
    Case("off", {}, 0.1, is_kept=True),
    Case("LoKr on", {"lokr": 1.0}, 0.25, grows=True),
    Case("", {}),
    Case("LoHa on", {"loha": 1.0}, 0.25, grows=True),
    Case("", {}),
    Case("LoCon on", {"locon": 1.0}, 0.25, grows=True),
)
READING = "reading the file"
READING_AIM = 0.1


@dataclass
class Found:
    """What one arm took: a row for each round."""

    seconds: dict[str, list[tuple[float, float]]] = field(
        default_factory=dict[str, "list[tuple[float, float]]"]
    )
    """Case -> wall and CPU."""
    memory: list[tuple[float, float]] = field(default_factory=list["tuple[float, float]"])
    """Bytes of the process, bytes of originals."""
    calls: tuple[float, float] = (0.0, 0.0)
    """Patched calls a step, and their seconds."""

    def add(self, name: str, wall: float, cpu: float) -> None:
        self.seconds.setdefault(name, []).append((wall, cpu))

    def least(self, name: str) -> tuple[float, float]:
        """Wall and CPU seconds: what disturbs a round only adds to them."""
        walls, cpus = zip(*self.seconds[name], strict=True)
        return min(walls), min(cpus)


def print_table(
    found: Mapping[str, Found], floors: Mapping[str, Floor], rates: Mapping[str, float]
) -> None:
    """Prints the least of all rounds: milliseconds on the wall, and of the CPU."""
    print("\n| | builtin, wall (CPU) | ours, wall (CPU) | ratio, wall (CPU) | aim | floor |")
    print("|---|---|---|---|---|---|")
    aims = {case.name: case.aim for case in CASES if case.name} | {READING: READING_AIM}
    for name, aim in aims.items():
        theirs, ours = found["builtin"].least(name), found["ours"].least(name)
        ratio = f"{ours[0] / theirs[0]:.3f} ({ours[1] / theirs[1]:.3f})"
        cells = (name, _milliseconds(theirs), _milliseconds(ours), ratio, f"{aim:g}")
        print(f"| {' | '.join(cells)} | {_floor_text(floors[name], rates)} |")
    memory = [_memory_text(found[name]) for name in ("builtin", "ours")]
    print(f"| memory beyond the model, attention only | {' | '.join(memory)} | | the touched layers | |")
    calls = [
        f"{found[name].calls[0]:.0f}, {found[name].calls[1] * 1e3:.1f} ms" for name in ("builtin", "ours")
    ]
    print(f"| nothing applied: patched calls a step | {' | '.join(calls)} | | none | |", flush=True)


def _milliseconds(taken: tuple[float, float]) -> str:
    return f"{taken[0] * 1e3:.1f} ms ({taken[1] * 1e3:.1f})"


def _floor_text(floor: Floor, rates: Mapping[str, float]) -> str:
    if not floor.num_bytes:
        return "nothing"
    sizes = f"{floor.num_bytes / 1e9:.2f} GB, {floor.operations / 1e9:.1f} GFLOP"
    return f"{sizes}: {floor.seconds(rates) * 1e3:.0f} ms"


def _memory_text(found: Found) -> str:
    process, originals = (statistics.median(column) for column in zip(*found.memory, strict=True))
    return f"originals {originals / 1e9:.2f} GB, process +{process / 1e9:.2f} GB"
