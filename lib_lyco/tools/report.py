"""What is known about a network file, as data, JSON or text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from lib_lyco.files.metadata import Value
from lib_lyco.naming.detect import TITLES
from lib_lyco.naming.layer import Family

_MAX_LINES = 8
_LABEL_WIDTH = 16


@dataclass(frozen=True)
class Finding:
    """Something about one key or one layer."""

    what: str
    """The key or layer."""
    reason: str


@dataclass(frozen=True)
class FileReport:
    """A network file, described. Counts are numbers of layers unless said otherwise."""

    path: str
    num_bytes: int
    num_tensors: int
    dtypes: Mapping[str, int]
    """Dtype -> tensors."""
    family: Family | None
    other: str | None
    """Name of a base model that is none of ours, if the file was made for one."""
    evidence: str
    """How the base model was told."""
    algos: Mapping[str, int]
    ranks: Mapping[str, int]
    """Rank -> layers; "none" where the algorithm has no rank."""
    alphas: Mapping[str, int]
    """alpha -> layers; "missing" where it is not stored."""
    components: Mapping[str, int]
    blocks: Mapping[str, int]
    """Block -> layers, from input to output."""
    embeddings: tuple[str, ...]
    trigger_words: tuple[str, ...]
    """The phrase the author named, then the most frequent tags of the training captions."""
    training: Mapping[str, Value]
    """What the metadata says of the training, typed."""
    stated_hash: str | None
    unmatched: tuple[Finding, ...]
    """Layers whose size is not that of the base-model family as published."""
    unknown: tuple[Finding, ...]
    """Keys that are neither adapter nor embedding."""
    not_finite: tuple[Finding, ...] | None = field(default=None)
    """Tensors with NaN or infinity; None if the values were not looked at."""

    def to_json(self) -> str:
        """Everything, as a JSON object."""
        return json.dumps(asdict(self), indent=2)

    def to_text(self) -> str:
        """The same for people: long lists end after their first lines, with a count."""
        return "\n".join(_printable(line) for line in self._lines())

    def _lines(self) -> Iterator[str]:
        base = TITLES[self.family] if self.family else self.other or "unknown"
        yield _line("file", self.path)
        yield _line(
            "size", f"{self.num_bytes:,} bytes, {self.num_tensors} tensors ({_counts(self.dtypes)})"
        )
        yield _line("base model", f"{base}. {self.evidence}")
        yield _line("algorithm", _counts(self.algos) or "none")
        yield _line("rank", _counts(self.ranks))
        yield _line("alpha", _counts(self.alphas))
        yield _line("layers", _counts(self.components))
        yield _line("blocks", _counts(self.blocks))
        yield _line("embeddings", ", ".join(self.embeddings))
        yield _line("trigger words", ", ".join(self.trigger_words))
        yield _line("hash", self.stated_hash or "not stated")
        for key, value in self.training.items():
            yield _line(key.removeprefix("ss_").replace("_", " "), str(value))
        yield from _list(
            f"{len(self.unmatched)} layers of another size than the base model's", self.unmatched
        )
        yield from _list(f"{len(self.unknown)} unknown keys", self.unknown)
        if self.not_finite is not None:
            yield _line("NaN, infinity", "none" if not self.not_finite else "")
            yield from _list(f"{len(self.not_finite)} tensors with NaN or infinity", self.not_finite)


def _printable(line: str) -> str:
    """A file's texts must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in line)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in counts.items())


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}}{text or '-'}"


def _list(title: str, findings: tuple[Finding, ...]) -> Iterator[str]:
    if not findings:
        return
    yield f"{title}:"
    for finding in findings[:_MAX_LINES]:
        yield f"  {finding.what}: {finding.reason}"
    if len(findings) > _MAX_LINES:
        yield f"  ... and {len(findings) - _MAX_LINES} more"
