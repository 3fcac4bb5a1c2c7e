"""Imports every module of lib_lyco in this process and prints what each import did besides importing.

Run as a script by `test_architecture.py`. What the modules import from elsewhere is imported first, so that
only our own effects are seen. Each module of ours runs once: our imports have no cycle, so a module does
the same alone and after others. What it does while another one imports it is told of that one.
Arguments: the dotted names. Output: one line per effect.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import random
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence

from tests.architecture import read_sources, third_party_names

OPTIONAL = (
    *("accelerate", "clip", "diffusers", "fastapi", "gradio", "lycoris", "modules", "psutil", "skimage"),
    "tqdm",
)
"""Packages that only some installations have: the WebUI has no diffusers, a command line no gradio."""

CODE = (".py", ".pyc", ".so", ".pyd", ".dll")
WATCHED = (
    "os.mkdir",
    "os.remove",
    "os.rename",
    "shutil.",
    "socket.connect",
    "subprocess.Popen",
    "os.system",
)


def process_state() -> dict[str, object]:
    """What an import could change for everybody else."""
    import torch

    layers = (
        torch.nn.Module,
        torch.nn.Linear,
        torch.nn.Conv2d,
        torch.nn.LayerNorm,
        torch.nn.MultiheadAttention,
    )
    return {
        "environment": dict(os.environ),
        "search path": list(sys.path),
        "log handlers": list(logging.getLogger().handlers),
        "warning filters": list(warnings.filters),
        "threads": threading.active_count(),
        "random state": random.getstate(),
        "torch's random state": torch.get_rng_state().tolist(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's threads": torch.get_num_threads(),
        "gradients enabled": torch.is_grad_enabled(),
        "a CUDA context": torch.cuda.is_initialized(),
        "torch.nn": [dict(vars(layer)) for layer in layers],
    }


class Watch:
    """Hears, through an audit hook, what the process does to disk and network while `heard` is a list."""

    def __init__(self) -> None:
        self.heard: list[str] | None = None
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.heard is None:
            return
        if event.startswith(WATCHED) or (event == "open" and not str(arguments[0]).endswith(CODE)):
            self.heard.append(f"{event} {arguments[0]}")


def preload(names: Sequence[str]) -> None:
    """Imports modules, or takes attributes of modules, of other packages; the optional may be missing."""
    for name in names:
        parent, _, attribute = name.rpartition(".")
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            continue
        try:
            getattr(importlib.import_module(parent or name), attribute)
        except ImportError:
            if name.split(".")[0] not in OPTIONAL:
                raise


def import_one(name: str) -> None:
    """Imports one module of ours; a missing optional package is no error."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in OPTIONAL:
            raise


def effects(name: str, watch: Watch) -> Iterator[str]:
    """What importing one module did."""
    before, printed = process_state(), io.StringIO()
    watch.heard = []
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        import_one(name)
    heard, watch.heard = watch.heard, None
    after = process_state()
    yield from (f"{name} changes {what}" for what in before if before[what] != after[what])
    yield from (f"{name}: {event}" for event in heard)
    if text := printed.getvalue().strip():
        yield f"{name} prints {text!r}"


def main() -> None:
    """Checks the modules named on the command line."""
    sys.dont_write_bytecode = True
    names = sys.argv[1:]
    sources = [one for one in read_sources("lib_lyco") if one.name.removesuffix(".__init__") in names]
    preload(sorted(third_party_names(sources)))
    watch = Watch()
    for name in names:
        for effect in effects(name, watch):
            sys.stdout.write(f"{effect}\n")


if __name__ == "__main__":
    main()
