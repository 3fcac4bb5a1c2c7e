"""The heap of a training on the CPU, by what the kernel says of this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lib_lyco.train.heap import heap_kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")

_BLOCK = 256 << 20


def _resident() -> int:
    """Bytes of this process that lie in memory (proc(5), status)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def _growth(device: str) -> int:
    """By how much the process is larger after a large tensor was made and freed within the context."""
    with heap_kept(torch.device(device)):
        before = _resident()
        tensor = torch.ones(_BLOCK // 4)
        del tensor
        return _resident() - before


def test_what_is_freed_stays_at_hand() -> None:
    assert _growth("cpu") > 0.9 * _BLOCK


def test_another_device_is_not_concerned() -> None:
    assert _growth("meta") < 0.1 * _BLOCK


def test_afterwards_free_memory_is_given_back() -> None:
    before = _resident()
    _growth("cpu")
    assert _resident() - before < 0.1 * _BLOCK
    tensor = torch.ones(_BLOCK // 4)
    del tensor
    assert _resident() - before < 0.1 * _BLOCK
