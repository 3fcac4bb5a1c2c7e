"""Options from text of others and to text for others."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from lib_lyco.errors import ConfigError, LycoError, one_line
from lib_lyco.files.replacing import replace_file
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import dump_values
from lib_lyco.train.kohya.read import read_text
from lib_lyco.train.option import Declaration, declarations

Format = Literal["toml", "command"]
_CONFIG_FILE = re.compile(r"""--config_file[=\s]+("[^"]+"|'[^']+'|\S+)""")
_MOST = 1 << 20
"""Characters of a text that is read."""


def import_text(text: str, folder: Path, may_read: Callable[[Path], object]) -> Mapping[str, Any]:
    """What pasted text asks for: a command line, a batch file, TOML or JSON, of others or ours.

    Args:
        text: What was pasted.
        folder: Where a pasted dataset_config is kept, since it is an option's file.
        may_read: Raises where a file that the text names may not be read.

    Returns:
        config: Options that differ from their default; notes: what is not as it was written, each with
        flag, kind and text; problem: why the options contradict each other, or "".

    Raises:
        ConfigError: It cannot be understood.
    """
    if not text.strip():
        raise ConfigError(
            "There is nothing to read.", where="text", expected="a command line, TOML or JSON"
        )
    if len(text) > _MOST:
        raise ConfigError("The text is too long.", where="text", got=f"{len(text)} characters")
    for path in _CONFIG_FILE.findall(text):
        may_read(Path(path.strip("\"'")))
    found = read_text(text)
    options = dict(found.options)
    if options.get("dataset_config") == "":
        options["dataset_config"] = str(_kept(text, folder))
    notes = [{"flag": note.flag, "kind": note.kind, "text": note.text} for note in found.notes]
    defaults = {one.name: one.default for one in declarations(TrainConfig)}
    try:
        config = TrainConfig(**options)
    except LycoError as error:
        # the page shows them all the same, with what contradicts
        values = {name: value for name, value in options.items() if name in defaults}
        return {"config": plain(values), "notes": notes, "problem": one_line(error), "field": error.where}
    return {"config": changed(config), "notes": notes, "problem": "", "field": ""}


def _kept(text: str, folder: Path) -> Path:
    data = text.encode()
    suffix = ".json" if text.lstrip().startswith("{") else ".toml"
    path = folder / f"pasted-{sha256(data).hexdigest()[:8]}{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
    return path


def export_text(config: TrainConfig, to: Format) -> str:
    """The options that differ from their default, as our TOML or as a command line of `lyco train`."""
    names = list(changed(config))
    if to == "toml":
        return dump_values(config, names)
    found = [one for one in declarations(TrainConfig) if one.name in names]
    words = ["lyco", "train", *(_flag(one, getattr(config, one.name)) for one in found)]
    return _quoted(words)


def changed(config: TrainConfig) -> dict[str, Any]:
    """The options that differ from their default, as JSON has them."""
    return plain(
        {
            one.name: getattr(config, one.name)
            for one in declarations(TrainConfig)
            if getattr(config, one.name) != one.default
        }
    )


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them: lists in place of tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _flag(declared: Declaration, value: Any) -> str:
    flag = "--" + declared.name.replace("_", "-")
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{flag}={text}"


def _quoted(words: Sequence[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
