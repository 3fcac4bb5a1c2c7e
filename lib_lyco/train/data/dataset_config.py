"""A dataset_config: which datasets and subsets there are and what each sets for itself.

The form is that of sd-scripts (`config_util.py`): tables [general], [[datasets]] and
[[datasets.subsets]] in TOML, or the same in JSON. A subset's value comes before its dataset's, that
before [general]'s, and the run's options fill the rest. Keys are sd-scripts' names, or ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import toml

from lib_lyco.errors import ConfigError
from lib_lyco.train.option import declarations
from lib_lyco.train.options.subset import DatasetOptions, SubsetOptions

Convert = Callable[[Any], tuple[str, Any]]
"""The value of a key -> name and value of our option."""


@dataclass(frozen=True)
class Table:
    """One [[datasets]] or [[datasets.subsets]], with what it takes over from the tables above it."""

    place: str
    """File and table, for messages."""
    values: Mapping[str, Any]
    """By the names of our options."""
    keys: Mapping[str, str]
    """Our name -> table and key it was set by."""
    subsets: tuple[Table, ...] = ()

    def error(self, error: ConfigError) -> ConfigError:
        """The error of an option, with the place in the file that set it."""
        return _at(self.keys.get(error.where, f"{self.place}: {error.where}"), error)


def read_dataset_config(path: Path) -> list[Table]:
    """Reads the file; the tables of its datasets, each with its subsets.

    Raises:
        ConfigError: It cannot be read, or a table or a key is not one that is known there.
    """
    top = _parsed(path)
    for name in top:
        if name not in ("general", "datasets"):
            raise _unknown(f"{path}: {name}", name, ("general", "datasets"))
    general = _table(top.get("general", {}), f"{path}, [general]", _GENERAL)
    found: list[Table] = []
    for number, dataset in enumerate(_tables(top.get("datasets", []), f"{path}, datasets"), 1):
        place = f"{path}, [[datasets]] {number}"
        subsets = _tables(dataset.pop("subsets", []), f"{place}, subsets")
        if not subsets:
            raise _wrong(place, "no subset", "[[datasets.subsets]] with image_dir or metadata_file")
        own = _below(general, _table(dataset, place, _GENERAL))
        tables = tuple(
            _subset(_below(own, _table(subset, f"{place}, [[subsets]] {one}", _SUBSET)))
            for one, subset in enumerate(subsets, 1)
        )
        found.append(Table(own.place, _only(own, _DATASET_NAMES), own.keys, tables))
    if not found:
        raise _wrong(str(path), "no dataset", "[[datasets]] with [[datasets.subsets]]")
    return found


def _subset(table: Table) -> Table:
    if not table.values.get("images") and not table.values.get("metadata_file"):
        raise _wrong(table.place, "neither image_dir nor metadata_file", "one of them")
    return Table(table.place, _only(table, _SUBSET_NAMES), table.keys)


def _only(table: Table, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in table.values.items() if name in names}


def _below(upper: Table, lower: Table) -> Table:
    return Table(lower.place, {**upper.values, **lower.values}, {**upper.keys, **lower.keys})


def _table(values: Any, place: str, known: Mapping[str, Convert]) -> Table:
    if not isinstance(values, dict):
        raise _wrong(place, repr(values)[:60], "a table")
    found: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, value in cast(dict[str, Any], values).items():
        if key not in known:
            raise _unknown(f"{place}: {key}", key, tuple(known), key in _SUBSET)
        try:
            name, converted = known[key](value)
        except ConfigError as error:
            raise _at(f"{place}: {key}", error) from error
        if name in found:
            raise _wrong(f"{place}: {key}", "the same option twice", "one of its names")
        if name:
            found[name], keys[name] = converted, f"{place}: {key}"
    return Table(place, found, keys)


def _tables(values: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in cast(list[Any], values)):
        raise _wrong(place, repr(values)[:60], "tables")
    return [dict(one) for one in cast(list[dict[str, Any]], values)]


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("A dataset_config cannot be read.", where=str(path), got=str(error)) from error
    try:
        parsed = json.loads(text) if path.suffix.lower() == ".json" else toml.loads(text)
    except (ValueError, IndexError) as error:  # toml 0.10.2 lets IndexError out on some lines
        raise _wrong(str(path), str(error), "TOML, or JSON in a file named .json") from error
    if not isinstance(parsed, dict):
        raise _wrong(str(path), repr(parsed)[:60], "tables")
    return cast(dict[str, Any], parsed)


def _wrong(place: str, got: str, expected: str, remedy: str = "") -> ConfigError:
    return ConfigError(
        "A dataset_config cannot be used.", where=place, got=got, expected=expected, remedy=remedy
    )


def _at(place: str, error: ConfigError) -> ConfigError:
    what = "A dataset_config has a value that cannot work."
    return ConfigError(what, where=place, got=error.got, expected=error.expected, remedy=error.remedy)


def _unknown(place: str, key: str, known: tuple[str, ...], elsewhere: bool = False) -> ConfigError:
    near = get_close_matches(key, known, n=1)
    if elsewhere:
        return _wrong(place, key, "only in [[datasets.subsets]]", "Move it there.")
    if key in _GENERAL:
        return _wrong(place, key, "only in [general] or [[datasets]]", "Move it there.")
    expected = f"did you mean {near[0]}?" if near else "one of " + ", ".join(sorted(known))
    return _wrong(place, f"the unknown key {key}", expected, "Correct or remove it.")


def _named(name: str) -> Convert:
    return lambda value: (name, value)


def _negated(name: str) -> Convert:
    # what is no truth value stays what it is, for its error
    return lambda value: (name, not value if isinstance(value, bool) else value)


def _colour(value: Any) -> tuple[str, Any]:
    return "color_aug", ("kohya" if value else "off") if isinstance(value, bool) else value


def _only_value(neutral: Any, remedy: str) -> Convert:
    """A key of sd-scripts that has no effect here: allowed with the value that has none there."""

    def convert(value: Any) -> tuple[str, Any]:
        if value != neutral:
            raise _wrong("", repr(value), repr(neutral), remedy)
        return "", None

    return convert


def _attributes(value: Any) -> tuple[str, Any]:
    known = ("diff_output_preservation",)
    if not isinstance(value, dict) or any(name not in known for name in cast(dict[str, Any], value)):
        raise _wrong("", repr(value)[:60], "{ diff_output_preservation = true }")
    return "prior_prediction", cast(dict[str, Any], value).get(known[0], False)


def _own_names(kind: type[Any]) -> Iterator[tuple[str, Convert]]:
    return ((declaration.name, _named(declaration.name)) for declaration in declarations(kind))


_DATASET_NAMES = frozenset(declaration.name for declaration in declarations(DatasetOptions))
_SUBSET_NAMES = frozenset(declaration.name for declaration in declarations(SubsetOptions))
_DATASET: Mapping[str, Convert] = {
    **dict(_own_names(DatasetOptions)),
    "enable_bucket": _named("buckets"),
    "min_bucket_reso": _named("bucket_min"),
    "max_bucket_reso": _named("bucket_max"),
    "bucket_reso_steps": _named("bucket_step"),
    "bucket_no_upscale": _negated("bucket_upscale"),
    "network_multiplier": _only_value(1.0, "Set loss_weight or repeats instead; sd-scripts ignores it."),
}
_SUBSET: Mapping[str, Convert] = {
    **dict(_own_names(SubsetOptions)),
    "image_dir": _named("images"),
    "num_repeats": _named("repeats"),
    "is_reg": _named("regularisation"),
    "flip_aug": _named("flip"),
    "color_aug": _colour,
    "conditioning_data_dir": _named("mask_folder"),
    "custom_attributes": _attributes,
    "cache_info": _only_value(False, "Remove it: sizes are read fast enough without."),
}
_DISTINCT = (
    *("image_dir", "images", "metadata_file", "is_reg", "regularisation"),
    *("conditioning_data_dir", "mask_folder"),
)
"""Keys that only a subset itself may have."""
_GENERAL: Mapping[str, Convert] = {
    **_DATASET,
    **{key: convert for key, convert in _SUBSET.items() if key not in _DISTINCT},
}
