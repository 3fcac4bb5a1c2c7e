"""Bench-only extension: how long ours and the builtin take, under /lyco-bench/.

Both are timed from outside: the builtin in `load_networks`, `load_network` and `network_apply_weights`,
which every layer calls; ours in the engine's `begin` and `step` and in the cache of files.
"""

# pyright: reportAttributeAccessIssue=false
# (typings/ declares what the extension uses of the host; this uses more)

from __future__ import annotations

import ctypes
import gc
import importlib
import mmap
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import psutil
import torch
from modules import call_queue, extra_networks, script_callbacks, shared


class Meter:
    """Adds up wall seconds, CPU seconds of the whole process, and calls."""

    def __init__(self) -> None:
        self.rows: dict[str, list[float]] = {}

    def wrap(self, owner: Any, name: str, row: str) -> None:
        """Replaces a function by one that is timed."""
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **options)
            finally:
                sums = self.rows.setdefault(row, [0.0, 0.0, 0])
                sums[0] += time.perf_counter() - wall
                sums[1] += time.process_time() - cpu
                sums[2] += 1

        setattr(owner, name, timed)

    def take(self) -> dict[str, list[float]]:
        """What has come together since the last time: row -> wall, CPU, calls."""
        rows, self.rows = self.rows, {}
        return rows


METER = Meter()

_READY_BYTES, _LEFT_BYTES = 5 << 30, 2 << 30


def taken() -> dict[str, list[float]]:
    """See `Meter.take`."""
    return METER.take()


def forget() -> dict[str, float]:
    """Makes both as they are when a model has just been loaded; what that leaves in memory."""
    with call_queue.queue_lock:
        app, networks, model = _app(), sys.modules["networks"], shared.sd_model
        app.engine.renew(model)
        app.cache.forget()
        networks.load_networks([])
        networks.networks_in_memory.clear()
        with torch.no_grad():
            for module in model.modules():
                if "network_weights_backup" in vars(module):
                    networks.network_apply_weights(module)
                    networks.network_reset_cached_weight(module)
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    METER.take()
    return memory()


def ready() -> float:
    """Touches memory and gives it back to the system; the bytes.

    A virtual machine's free memory may have to come from its host first, at ten times the price of a
    merge. Whoever is measured next finds some that is there.
    """
    with call_queue.queue_lock:
        count = min(_READY_BYTES, psutil.virtual_memory().available - _LEFT_BYTES)
        if sys.platform == "linux" and count > 0:
            with mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
                area.madvise(mmap.MADV_HUGEPAGE)
                for place in range(0, count, mmap.PAGESIZE):
                    area[place] = 1
    return count


def memory() -> dict[str, float]:
    """Bytes: of the process, of our originals, of the builtin's."""
    builtin = 0.0
    for module in shared.sd_model.modules():
        for name in ("network_weights_backup", "network_bias_backup"):
            kept = vars(module).get(name)
            parts = kept if isinstance(kept, tuple) else (kept,)
            builtin += sum(part.nbytes for part in parts if isinstance(part, torch.Tensor))
    ours = _app().engine.applied.backup_bytes
    return {"rss": psutil.Process().memory_info().rss, "ours": ours, "builtin": builtin}


def rates() -> dict[str, float]:
    """What the floor is computed with: bytes read and written, and operations, per second."""
    weight, product = torch.ones(1280, 5120), torch.ones(1280, 5120)
    up, down = torch.ones(1280, 32), torch.ones(32, 5120)
    large, copy = torch.ones(1 << 26), torch.ones(1 << 26)
    with torch.no_grad():
        seconds = [
            _least(lambda: copy.copy_(large)),
            _least(lambda: weight.addmm_(product[:, :1280], product)),
        ]
        seconds.append(_least(lambda: product.addmm_(up, down)))
    return {
        "bytes": 2 * large.nbytes / seconds[0],
        "operations": 2 * 1280 * 1280 * 5120 / seconds[1],
        "operations of rank 32": 2 * 32 * product.numel() / seconds[2],
        "threads": torch.get_num_threads(),
    }


def _least(work: Callable[[], object]) -> float:
    seconds: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _app() -> Any:
    return vars(extra_networks.extra_network_registry["lyco"])["_app"]


def start(_: Any, app: Any) -> None:
    """Once all extensions are there."""
    networks = sys.modules["networks"]
    engine = importlib.import_module("lib_lyco.host.engine").Engine
    METER.wrap(networks, "load_networks", "builtin")
    METER.wrap(networks, "network_apply_weights", "builtin in layers")
    METER.wrap(networks, "load_network", "builtin reading")
    METER.wrap(engine, "begin", "ours")
    METER.wrap(engine, "step", "ours in steps")
    METER.wrap(importlib.import_module("lib_lyco.network.cache").NetworkCache, "load", "ours reading")
    for question in (taken, forget, ready, memory, rates):
        app.add_api_route(f"/lyco-bench/{question.__name__}", question, methods=["POST"])


script_callbacks.on_app_started(start)
