"""A config as a TOML file: one table per group, or all options at the top."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import toml

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.option import declarations


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
    tables: dict[str, dict[str, Any]] = {}
    for declaration in declarations(TrainConfig):
        value = getattr(config, declaration.name)
        if declaration.name in names and value is not None:
            table = tables.setdefault(declaration.option.group, {})
            table[declaration.name] = list(value) if isinstance(value, tuple) else value
    return toml.dumps(tables)
