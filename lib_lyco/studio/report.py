"""Everything about a run as one text, for whoever can help: settings, versions, messages, the traceback."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from lib_lyco.errors import LycoError
from lib_lyco.studio.history import read_messages
from lib_lyco.studio.live_run import TRACEBACK
from lib_lyco.studio.record import Record
from lib_lyco.studio.store import Store
from lib_lyco.train.config_file import dump_config

_PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "lycoris-lora", "gradio", "bitsandbytes")
_MESSAGES = 40


def report(store: Store, record: Record) -> str:
    """The report of a run."""
    folder = store.place(record.id)
    told = {name: value for name, value in asdict(record).items() if value not in (None, "")}
    stand = "\n".join(f"{name}: {value}" for name, value in told.items())
    messages = "\n".join(
        f"{moment(line.get('time'))} {line.get('kind')}: {line['text']}"
        for line in read_messages(folder, _MESSAGES)
    )
    try:
        options = dump_config(store.config(record.id))
    except LycoError as error:
        options = str(error)
    error = ""
    with suppress(OSError):
        error = (folder / TRACEBACK).read_text(encoding="utf-8")
    parts = {"run": stand, "versions": versions(), "messages": messages, "error": error, "options": options}
    return "\n\n".join(f"## {title}\n{text.strip()}" for title, text in parts.items() if text.strip())


def versions() -> str:
    """What the run was made with."""
    lines = [f"python {sys.version.split()[0]} on {platform.platform()}"]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            lines.append(f"{package} {version(package)}")
    return "\n".join(lines)


def moment(seconds: object) -> str:
    """A time of the log as text, in UTC."""
    if not isinstance(seconds, int | float):
        return "?"
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
