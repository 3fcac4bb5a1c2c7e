"""What stands before a trainer: the flags of `accelerate launch`, which are no options of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib_lyco.train.kohya.imported import Note

_THREADS = "num_cpu_threads_per_process"
_ONE = ("num_processes", "num_machines")
"""Flags that say nothing where they are 1."""
_FIELDS = (*_ONE, "gpu_ids", "main_process_port")


def launch_notes(words: Sequence[str]) -> tuple[Note, ...]:
    """What to know of the flags in front of a trainer."""
    start = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    given = _pairs(words[start:])
    notes: list[Note] = []
    if _THREADS in given:
        notes.append(
            Note(_THREADS, "obsolete", "torch takes all cores; OMP_NUM_THREADS sets another number.")
        )
    if "mixed_precision" in given:
        notes.append(Note("mixed_precision", "obsolete", "of the launcher; the trainer's own one counts."))
    kept = [f"--{name}{value and '=' + value}" for name, value in given.items() if _says(name, value)]
    if kept:
        line = f"accelerate launch {' '.join(kept)} -m lib_lyco train CONFIG"
        notes.append(Note("accelerate launch", "attention", f"its flags are no options: start {line}"))
    return tuple(notes)


def launch_words(fields: Mapping[str, Any]) -> list[str]:
    """The flags that kohya_ss' GUI gives the launcher for its fields."""
    words = [f"--{name}={fields[name]}" for name in _FIELDS if fields.get(name) not in (None, "", 0, "0")]
    words += ["--multi_gpu"] if fields.get("multi_gpu") else []
    words += [f"--{_THREADS}={fields[_THREADS]}"] if fields.get(_THREADS) else []
    return [*words, *str(fields.get("extra_accelerate_launch_args") or "").split()]


def _says(name: str, value: str) -> bool:
    return name not in (_THREADS, "mixed_precision") and not (name in _ONE and value == "1")


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """Flags and their values, as `--name=value`, `--name value` or `--name`."""
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
        elif name:
            found[name] = f"{found[name]} {word}".strip()
    return found
