"""Fresh memory to read a file into."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

_HUGE_PAGE = 2 << 20


def empty_bytes(count: int) -> Tensor:
    """Memory without meaningful content, (count,) uint8.

    Fresh memory is slower to get than a cached file is to copy: the kernel hands it out page by
    page. Linux gives it in pages of 2 MiB to those who ask, three times as fast in all.
    """
    if count < _HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(count, dtype=torch.uint8)
    area = mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        area.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        return torch.empty(count, dtype=torch.uint8)  # a kernel built without them
    return torch.frombuffer(area, dtype=torch.uint8)
