"""Any input that says how to train: a config of ours, or one of sd-scripts', kohya_ss' or a script's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import toml

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import parse_config
from lib_lyco.train.config_flags import parse_words
from lib_lyco.train.kohya.flags import flag_words, parse_flags
from lib_lyco.train.kohya.gui import GUI_MARKS, gui_words
from lib_lyco.train.kohya.imported import Imported, Note
from lib_lyco.train.kohya.launch import launch_notes
from lib_lyco.train.kohya.names import ALL_FLAGS, INTS, SWITCHES
from lib_lyco.train.kohya.script import OURS, read_command
from lib_lyco.train.kohya.translate import translate
from lib_lyco.train.option import declarations

_SDXL_TRAINER = "sdxl_train_network.py"
_PAGE_ONLY = {
    "epoch": "kohya_ss' page has made max_train_steps of it.",
    "noise_offset_type": "kohya_ss' page has left out what is of the other type.",
    "stop_text_encoder_training": "sd-scripts lacks it for networks; te_stop_share is it here.",
}
"""Keys that kohya_ss writes into a config file and sd-scripts passes over."""


def read_input(path: Path) -> Imported:
    """What a file asks for, of whatever kind it is.

    Raises:
        ConfigError: It cannot be read, or says something that has no meaning here.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_text(encoding="cp932", errors="replace")  # batch files of Japanese Windows
    except OSError as error:
        raise ConfigError("The file cannot be read.", where=str(path), got=str(error)) from error
    return read_text(text, str(path), path.suffix.lower())


def read_text(text: str, where: str = "", suffix: str = "") -> Imported:
    """What a text asks for; see `read_input`.

    Args:
        text: A script, a pasted command line of sd-scripts or ours, JSON or TOML.
        where: Its file, for errors.
        suffix: The file's extension; without one, the text's form decides.
    """
    if suffix == ".json" or (not suffix and text.lstrip().startswith("{")):
        return _from_json(text, where)
    if suffix == ".toml" or (not suffix and _is_toml(text)):
        return _from_toml(text, where)
    command = read_command(text, where, suffix)
    if command.trainer == OURS and not is_kohya(command.arguments):
        return Imported(parse_words(command.arguments))
    found = from_flags(command.arguments, where, is_sdxl=command.trainer == _SDXL_TRAINER)
    return Imported(found.options, (*launch_notes(command.launch), *found.notes))


def from_flags(words: Sequence[str], where: str = "", *, is_sdxl: bool = False) -> Imported:
    """What flags of sd-scripts ask for; a --config_file among them is read, flags come before it.

    Raises:
        ConfigError: As `read_input`.
    """
    flags = parse_flags(words, where)
    told: list[Note] = []
    if "config_file" in flags:
        path = _config_path(str(flags["config_file"]))
        values, told = _file_flags(_flattened(_parsed(path)))
        flags = {**parse_flags(flag_words(values), str(path)), **flags}
    if not is_sdxl:
        found = translate(flags)
        return Imported(found.options, (*told, *found.notes))
    if "clip_skip" in flags:
        told.append(Note("clip_skip", "obsolete", "sd-scripts ignores it for SDXL."))
    found = translate({flag: value for flag, value in flags.items() if flag != "clip_skip"})
    return Imported({**found.options, "base_family": "sdxl"}, (*told, *found.notes))


def is_kohya(words: Sequence[str]) -> bool:
    """Whether a command line is in sd-scripts' words: it has a flag that only sd-scripts has."""
    ours = {declaration.name for declaration in declarations(TrainConfig)}
    names = {word[2:].split("=")[0] for word in words if word.startswith("--")}
    return bool(names & (set(ALL_FLAGS) - ours))


def _config_path(text: str) -> Path:
    path = Path(text)
    return path if path.suffix else path.with_suffix(".toml")


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        return toml.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise ConfigError("The config file cannot be read.", where=str(path), got=str(error)) from error


def _is_toml(text: str) -> bool:
    try:
        return bool(toml.loads(text))
    except (ValueError, IndexError):
        return False


def _flattened(tables: Mapping[str, Any]) -> dict[str, Any]:
    """sd-scripts takes the keys of all tables together."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            found.update(cast(Mapping[str, Any], value))
        else:
            found[key] = value
    return found


def _from_toml(text: str, where: str) -> Imported:
    try:
        tables: dict[str, Any] = toml.loads(text)
    except (ValueError, IndexError) as error:
        raise ConfigError("The config is not TOML.", where=where, got=str(error)) from error
    if "datasets" in tables:
        return Imported({"dataset_config": where})
    values = _flattened(tables)
    ours = {declaration.name for declaration in declarations(TrainConfig)}
    if not set(values) & (set(ALL_FLAGS) - ours):
        config = parse_config(text, where)
        return Imported({name: getattr(config, name) for name in values})
    flags, notes = _file_flags(values)
    found = from_flags(flag_words(flags), where)
    return Imported(found.options, (*notes, *found.notes))


def _file_flags(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    """A file's keys as flags: numbers of their type, and without what only kohya_ss' page reads."""
    flags: dict[str, Any] = {}
    notes: list[Note] = []
    for name, value in values.items():
        if name in _PAGE_ONLY:
            notes.append(Note(name, "obsolete", _PAGE_ONLY[name]))
        elif name in SWITCHES:
            flags[name] = bool(value)
        elif name in INTS and isinstance(value, float) and value.is_integer():
            flags[name] = int(value)
        else:
            flags[name] = value
    return flags, notes


def _from_json(text: str, where: str) -> Imported:
    try:
        fields: Any = json.loads(text)
    except ValueError as error:
        raise ConfigError("The file is not JSON.", where=where, got=str(error)) from error
    if isinstance(fields, dict) and "datasets" in fields:
        return Imported({"dataset_config": where})
    if not isinstance(fields, dict) or not any(mark in fields for mark in GUI_MARKS):
        raise ConfigError(
            "The JSON is no configuration of kohya_ss' LoRA tab.",
            where=where,
            expected="a file with " + " or ".join(GUI_MARKS),
        )
    values = cast(Mapping[str, Any], fields)
    made = gui_words(values, where)
    found = from_flags(made.words, where, is_sdxl=bool(values.get("sdxl")))
    options = dict(found.options)
    if made.te_stop_share:
        options["te_stop_share"] = made.te_stop_share
    notes = [*made.notes, *found.notes]
    if made.warmup_share and options.get("scheduler") == "adafactor":
        notes.append(Note("lr_warmup", "obsolete", "adafactor has none of its own."))
    elif made.warmup_share:
        options["warmup_share"] = made.warmup_share
        if options.get("scheduler", "constant") == "constant":
            options["scheduler"] = "constant_with_warmup"
            notes.append(Note("lr_scheduler", "changed", "constant_with_warmup: constant has no warmup."))
    return Imported(options, tuple(notes))
