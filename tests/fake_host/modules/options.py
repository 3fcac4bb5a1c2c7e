"""The settings: declared as data, saved as json, changed with a callback."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import errors

Section = tuple[str, str] | tuple[None, str] | None


class OptionInfo:
    """How one setting looks and what happens when it changes."""

    def __init__(
        self,
        default: Any = None,
        label: str = "",
        component: Any = None,
        component_args: Any = None,
        onchange: Callable[[], None] | None = None,
        section: Section = None,
        refresh: Callable[[], object] | None = None,
        comment_before: str = "",
        comment_after: str = "",
        infotext: str | None = None,
        restrict_api: bool = False,
        category_id: str | None = None,
    ) -> None:
        self.default = default
        self.label = label
        self.component = component
        self.component_args = component_args
        self.onchange = onchange
        self.section = section
        self.refresh = refresh
        self.comment_before = comment_before
        self.comment_after = comment_after
        self.infotext = infotext
        self.restrict_api = restrict_api
        self.category_id = category_id
        self.do_not_save = False

    def info(self, info: str) -> OptionInfo:
        """Words in brackets after the label."""
        self.comment_after += f"({info})"
        return self

    def html(self, html: str) -> OptionInfo:
        """Anything after the label."""
        self.comment_after += html
        return self

    def needs_reload_ui(self) -> OptionInfo:
        """Says so."""
        return self.info("requires Reload UI")

    def needs_restart(self) -> OptionInfo:
        """Says so."""
        return self.info("requires restart")


def options_section(section: tuple[str, str], options: dict[str, OptionInfo]) -> dict[str, OptionInfo]:
    """Puts options into a section."""
    for option in options.values():
        option.section = section
    return options


class Options:
    """The settings by attribute."""

    data_labels: dict[str, OptionInfo]
    data: dict[str, Any]

    def __init__(self, data_labels: dict[str, OptionInfo]) -> None:
        self.__dict__["data_labels"] = data_labels
        self.__dict__["data"] = {key: option.default for key, option in data_labels.items()}

    def __getattr__(self, key: str) -> Any:
        if key in self.data:
            return self.data[key]
        if key in self.data_labels:
            return self.data_labels[key].default
        raise AttributeError(key)

    def __setattr__(self, key: str, value: Any) -> None:
        if key in self.data or key in self.data_labels:
            self.data[key] = value
        else:
            super().__setattr__(key, value)

    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool:
        """Changes a setting; its callback may refuse by raising. Returns whether it changed."""
        option = self.data_labels[key]
        before = self.data.get(key)
        if before == value or (is_api and option.restrict_api):
            return False
        self.data[key] = value
        if run_callbacks and option.onchange is not None:
            try:
                option.onchange()
            except Exception as e:  # noqa: BLE001  whatever an extension raises, the setting goes back
                errors.display(e, f"changing setting {key} to {value}")
                self.data[key] = before
                return False
        return True

    def get_default(self, key: str) -> Any:
        """The default, or None for an unknown setting."""
        return self.data_labels[key].default if key in self.data_labels else None

    def add_option(self, key: str, info: OptionInfo) -> None:
        """Declares a setting; what the file said of it stays."""
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)

    def onchange(self, key: str, func: Callable[[], None], call: bool = True) -> None:
        """Sets the callback of a setting."""
        self.data_labels[key].onchange = func
        if call:
            func()

    def load(self, filename: str) -> None:
        """Reads the settings file; keys that nobody declared are kept."""
        path = Path(filename)
        saved: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self.data.update(saved)

    def save(self, filename: str) -> None:
        """Writes the settings file."""
        Path(filename).write_text(json.dumps(self.data, indent=4), encoding="utf-8")
