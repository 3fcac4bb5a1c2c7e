"""The gate before each step of a process that is measured: it waits there until it may make one.

The process that measures writes a line for each step it wants and reads a line of JSON when the step is
done, and so has the steps of two trainers made in turn, each alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

MARK = "@step "
"""Begins a line that is for the process that measures; what a trainer prints has no such lines."""

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = "5"  # proc(5), clear_refs: sets VmHWM back to what is resident now


class Gate:
    """One process' side."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def arrive(self, loss: float | None) -> None:
        """Tells of the step just done, then waits for the word to make the next one.

        Args:
            loss: Of that step; None before the first.
        """
        told: dict[str, float] = {"peak": _peak()}
        if self._began is not None and loss is not None:
            told |= {
                "wall": time.perf_counter() - self._began[0],
                "cpu": time.process_time() - self._began[1],
                "loss": loss,
            }
        else:
            _forget_peak()
        print(f"{MARK}{json.dumps(told)}", flush=True)
        sys.stdin.readline()
        self._began = (time.perf_counter(), time.process_time())


def _peak() -> float:
    """Bytes: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text(_FORGET_PEAK, encoding="ascii")
