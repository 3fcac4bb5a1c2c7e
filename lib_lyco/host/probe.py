"""What a host must have for each feature, and which features it lacks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib_lyco.host.app import HostApp

Symbol = tuple[str, str]
"""A module of the host, and the dotted name in it that a feature uses: `("modules.shared", "opts")`."""


@dataclass(frozen=True)
class Feature:
    """Something the extension does, which works only where the host has what it needs."""

    title: str
    """What a user misses without it."""
    module: str
    """Ours, with `NEEDS: tuple[Symbol, ...]` and `register(app: HostApp) -> None`. Named, not imported:
    a host that lacks a whole module of its own loses only this feature."""


@dataclass(frozen=True)
class Missing:
    """A feature that is off, and why."""

    feature: str
    reason: str

    def __str__(self) -> str:
        return f"{self.feature} is off: {self.reason}"


def start_features(features: Sequence[Feature], app: HostApp) -> list[Missing]:
    """Registers every feature that the host can carry; returns the others."""
    missing: list[Missing] = []
    for feature in features:
        reason = _start(feature, app)
        if reason:
            missing.append(Missing(feature.title, reason))
    return missing


def lacks(needs: Sequence[Symbol]) -> list[str]:
    """The symbols that the host does not have, as `modules.x.name`."""
    return [f"{module}.{name}" for module, name in needs if not _has(module, name)]


def _start(feature: Feature, app: HostApp) -> str | None:
    """Registers one feature; returns why it could not, or None."""
    try:
        module = importlib.import_module(feature.module)
    except ImportError as error:
        return f"this WebUI has no {error.name or error}"
    absent = lacks(module.NEEDS)
    if absent:
        return f"this WebUI has no {', '.join(absent)}"
    register: Callable[[HostApp], None] = module.register
    register(app)
    return None


def _has(module: str, name: str) -> bool:
    try:
        found: object = importlib.import_module(module)
    except ImportError:
        return False
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True
