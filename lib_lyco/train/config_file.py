"""A config as a TOML file: one table per group, or all options at the top."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import toml

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.option import declarations

_SIGNS = re.compile(r'[",\[\]{}\x00-\x1f\x7f]|(?<=\\)[uUx]')
"""What toml 0.10.2 may misread in a text."""


def load_config(path: str | Path) -> TrainConfig:
    """Reads a TOML file.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or holds an option that cannot work.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("The config file cannot be read.", where=str(path), got=str(error)) from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str = "") -> TrainConfig:
    """Reads TOML text, whose file is `where`; see `load_config`."""
    try:
        return _parsed(text)
    except ConfigError as error:
        if not where:
            raise
        raise ConfigError(
            error.what,
            where=f"{where}: {error.where}",
            got=error.got,
            expected=error.expected,
            remedy=error.remedy,
        ) from error


def _parsed(text: str) -> TrainConfig:
    try:
        tables: dict[str, Any] = toml.loads(text)
    except (toml.TomlDecodeError, IndexError) as error:  # toml 0.10.2 lets IndexError out on some lines
        raise ConfigError("The config is not TOML.", where="", got=str(error)) from error
    return make_config(_flattened(tables))


def _flattened(tables: Mapping[str, Any]) -> dict[str, Any]:
    groups = {declaration.option.group for declaration in declarations(TrainConfig)}
    values: dict[str, Any] = {}
    for key, value in tables.items():
        inner: Mapping[str, Any] = value if key in groups and isinstance(value, Mapping) else {key: value}
        for name, setting in inner.items():
            if name in values:
                raise ConfigError(f"The option {name} is set twice.", where=name, remedy="Remove one.")
            values[name] = setting
    return values


def dump_config(config: TrainConfig) -> str:
    """The config as TOML text with one table per group; unset options are left out."""
    return dump_values(config, [declaration.name for declaration in declarations(TrainConfig)])


def dump_values(config: TrainConfig, names: Collection[str]) -> str:
    """As `dump_config`, but only the options of these names."""
    tables: dict[str, list[str]] = {}
    for declaration in declarations(TrainConfig):
        value = getattr(config, declaration.name)
        if declaration.name in names and value is not None:
            lines = tables.setdefault(declaration.option.group, [])
            lines.append(f"{declaration.name} = {_written(value)}\n")
    return "\n".join(f"[{group}]\n{''.join(lines)}" for group, lines in tables.items())


def _written(value: Any) -> str:
    """A value in TOML; JSON's words for texts, numbers and truth are TOML's too.

    Not by toml's own writer: of a path with a folder named x it makes text that nobody can read.
    """
    if isinstance(value, tuple):
        items: tuple[Any, ...] = value
        return "[" + ", ".join(_text(one, "a = [{0}, {0}]") for one in items) + "]"
    return _text(value, "a = {0}")


def _text(value: Any, place: str) -> str:
    """A single value; toml misreads some texts that are right, and is given another form."""
    if not isinstance(value, str):
        return json.dumps(value)
    plain = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    doubled = value.replace("\\", "\\\\")
    escaped = _SIGNS.sub(lambda sign: f"\\u{ord(sign[0]):04x}", doubled)
    literal = plain if re.search(r"['\x00-\x1f\x7f]", value) else f"'{value}'"
    for text in (plain, literal, f'"{escaped}"'):
        try:
            read = toml.loads(place.format(text))["a"]
        except (toml.TomlDecodeError, IndexError):
            continue
        if value == (read[0] if isinstance(read, list) else read):
            return text
    return plain
