"""The memory of a step on the CPU, kept for the next one.

glibc takes every block of more than 32 MB from the kernel and gives it back when it is freed, and
likewise the heap's end, where a step's activations were (mallopt(3): M_MMAP_THRESHOLD,
M_TRIM_THRESHOLD). A step then touches gigabytes for the first time again, page by page: the weights of a
3x3 convolution of 1280 channels, which oneDNN lays out anew in each pass, take longer to page in than to
multiply.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Names of parameters in <malloc.h>."""
_NEVER, _DEFAULT_TRIM = -1, 128 << 10
_NO_BLOCK, _DEFAULT_BLOCKS = 0, 65536


@contextmanager
def heap_kept(device: torch.device) -> Generator[None]:
    """Within it what is freed stays with the process; afterwards what is free is given back.

    Acts on the whole process, for training on the CPU and under glibc only. In other threads than the
    first, glibc's heaps are small and blocks of more than 64 MB still come from the kernel.
    """
    libc = ctypes.CDLL(None) if device.type == "cpu" and sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(_MMAP_MAX, _NO_BLOCK)
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, _DEFAULT_BLOCKS)
        libc.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM)
        libc.malloc_trim(0)
