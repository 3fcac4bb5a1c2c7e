"""The stand-in's `modules`, without starting it: for one feature at a time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tests.fake_host.start import HERE, forget, import_or_fake_web


@contextmanager
def stand_in_modules(data_dir: Path) -> Generator[ModuleType]:
    """Makes `modules` importable, and what of ours knows it afresh; gives `modules.shared`."""
    path, argv = sys.path, sys.argv
    forget()
    sys.path, sys.argv = [str(HERE), *path], ["launch.py", "--data-dir", str(data_dir)]
    import_or_fake_web()
    try:
        yield importlib.import_module("modules.shared")
    finally:
        forget()
        sys.path, sys.argv = path, argv
