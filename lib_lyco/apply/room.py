"""Where the originals of merged weights wait: beside them, or in main memory where a GPU is full.

A network on all attention layers of SDXL touches 5.8 GB of half-precision weights. Beside their
originals that is 11 GB before a picture is begun, more than most GPUs have to spare. Then the
originals go to main memory and come back, bit for bit, when the network is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

_GIB = 1 << 30


class Room(Protocol):
    """What a session asks before it fills a device."""

    def is_short(self, device: torch.device, needed_bytes: int) -> bool:
        """Whether so much more on a device would leave too little for drawing."""
        ...

    def put_aside(self, original: Tensor) -> Tensor:
        """Returns the same values where there is room."""
        ...


@dataclass(frozen=True)
class DeviceRoom:
    """The memory of the GPUs that are there. The CPU, and GPUs that share its memory, are never short."""

    reserve_bytes: int = 4 * _GIB
    """What drawing needs beside the weights: SDXL at 1024 px with two prompts, and its autoencoder."""

    def is_short(self, device: torch.device, needed_bytes: int) -> bool:
        """Also True on a device whose free memory cannot be asked for: slower is better than full."""
        if device.type in ("cpu", "mps", "meta"):
            return False
        module: Any = getattr(torch, device.type, None)
        if not hasattr(module, "mem_get_info"):
            return True
        free: int = module.mem_get_info(device)[0]
        # what torch's allocator holds without using it is free as well
        free += module.memory_reserved(device) - module.memory_allocated(device)
        return free - needed_bytes < self.reserve_bytes

    def put_aside(self, original: Tensor) -> Tensor:
        return original.to("cpu")
