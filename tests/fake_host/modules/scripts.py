"""Scripts of extensions: loaded from their files, heard at every turn of a picture."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from . import errors, script_callbacks
from .paths_internal import script_path

AlwaysVisible = object()


class Script:
    """What an extension derives from. The host makes one for txt2img and one for img2img."""

    filename: str = ""
    is_txt2img = is_img2img = False
    args_from = args_to = 0

    def title(self) -> str:
        """Its name in the list."""
        raise NotImplementedError

    def ui(self, is_img2img: bool) -> Sequence[Any] | None:
        """Its components."""
        del is_img2img

    def show(self, is_img2img: bool) -> Any:
        """AlwaysVisible, or whether it can be selected."""
        del is_img2img
        return True

    def run(self, p: Any, *args: Any) -> Any:
        """Makes the pictures itself, if selected."""

    def _hear(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing at any turn."""

    setup = before_process = process = before_process_batch = after_extra_networks_activate = _hear
    process_batch = process_before_every_sampling = before_hr = postprocess_batch = postprocess = _hear


class ScriptClassData(NamedTuple):
    """Where a script came from."""

    script_class: type[Script]
    path: str
    basedir: str
    module: ModuleType


scripts_data: list[ScriptClassData] = []
_current: list[str] = [script_path]


def basedir() -> str:
    """The folder of the extension that is being loaded."""
    return _current[-1]


def load_scripts(files: Sequence[Path]) -> None:
    """Runs the files, in their order; all listeners are forgotten first.

    A script is not in `sys.modules`, and its name is that of its file. Its folder can be imported
    from only while it runs.
    """
    scripts_data.clear()
    script_callbacks.clear_callbacks()
    for path in files:
        folder = str(path.parent.parent)
        _current.append(folder)
        before, sys.path = sys.path, [folder, *sys.path]
        try:
            spec = importlib.util.spec_from_file_location(path.name, path)
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            scripts_data.extend(
                ScriptClassData(found, str(path), folder, module)
                for found in vars(module).values()
                if inspect.isclass(found) and issubclass(found, Script)
            )
        except Exception:  # noqa: BLE001  one extension's failure is not another's
            errors.report(f"Error loading script: {path.name}", exc_info=True)
        finally:
            sys.path = before
            _current.pop()
    scripts_txt2img.initialize_scripts(False)
    scripts_img2img.initialize_scripts(True)


class ScriptRunner:
    """The scripts of one tab. It has a method for every hook."""

    def __init__(self) -> None:
        self.alwayson_scripts: list[Script] = []
        self.selectable_scripts: list[Script] = []
        self.default_args: list[Any] = [0]
        self.infotext_fields: list[tuple[Any, Any]] = []

    @property
    def scripts(self) -> list[Script]:
        """All of them."""
        return [*self.alwayson_scripts, *self.selectable_scripts]

    def initialize_scripts(self, is_img2img: bool) -> None:
        """Makes them anew."""
        self.alwayson_scripts, self.selectable_scripts, self.default_args = [], [], [0]
        for data in scripts_data:
            script = data.script_class()
            script.filename = data.path
            script.is_img2img, script.is_txt2img = is_img2img, not is_img2img
            visible = script.show(is_img2img)
            if visible:
                always = visible is AlwaysVisible
                (self.alwayson_scripts if always else self.selectable_scripts).append(script)
                components = script.ui(is_img2img) or ()
                script.args_from = len(self.default_args)
                self.default_args += [getattr(component, "value", None) for component in components]
                script.args_to = len(self.default_args)

    def __getattr__(self, hook: str) -> Any:
        if not hasattr(Script, hook):
            raise AttributeError(hook)

        def call(p: Any, *extra: Any, **named: Any) -> None:
            for script in self.alwayson_scripts:
                try:
                    args = (p.script_args or self.default_args)[script.args_from : script.args_to]
                    getattr(script, hook)(p, *extra, *args, **named)
                except Exception:  # noqa: BLE001  one script's failure is not another's
                    errors.report(f"Error running {hook}: {script.filename}", exc_info=True)

        return call


scripts_txt2img = ScriptRunner()
scripts_img2img = ScriptRunner()
