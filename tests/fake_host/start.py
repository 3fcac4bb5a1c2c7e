"""Starts the stand-in in this process, in the host's order, and takes every trace of it away again."""

from __future__ import annotations

import configparser
import contextlib
import importlib
import io
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.fake_host import web
from tests.fake_host.app import App

HERE = Path(__file__).parent
_GONE = ("modules", "networks", "lib_lyco.host", "lib_lyco.ui", "lib_lyco.entry.webui")
"""Packages that are imported anew by each start: they know the host that was."""
_FAKED = ("gradio", "fastapi")
"""Packages that are made anew where they are not installed; the real ones know no host."""


class _Gradio(ModuleType):
    """Stands for gradio where it is not installed: every component is a class of its own."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, type(name, (), {"update": dict}))
        return getattr(self, name)


def import_or_fake_web() -> None:
    """Makes gradio and FastAPI importable, installed or not."""
    fakes = {"gradio": _Gradio("gradio"), "fastapi": web.module(), "fastapi.responses": web.responses()}
    for name, fake in fakes.items():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
        sys.modules.setdefault(name, fake)


class FakeHost:
    """One run of the stand-in."""

    def __init__(self, data_dir: Path, flags: Sequence[str] = ()) -> None:
        self.data_dir = data_dir
        self.flags = list(flags)
        self._output = io.StringIO()
        self._path, self._argv = sys.path, sys.argv
        self._sleeping: dict[str, ModuleType] = {}
        self._runs = False
        self.app: App

    @property
    def log(self) -> str:
        """Everything printed since the start."""
        return self._output.getvalue()

    @contextlib.contextmanager
    def _printing(self) -> Generator[None]:
        with contextlib.redirect_stdout(self._output), contextlib.redirect_stderr(self._output):
            yield

    def start(self) -> None:
        """Flags, settings, scripts, model, UI, API. Another run sleeps until this one stops."""
        self._sleeping, self._runs = forget(), True
        sys.path = [str(HERE), *sys.path]
        sys.argv = ["launch.py", "--data-dir", str(self.data_dir), *self.flags]
        import_or_fake_web()
        with self._printing():
            sd_models = importlib.import_module("modules.sd_models")
            opts = importlib.import_module("modules.shared").opts
            opts.onchange("sd_model_checkpoint", sd_models.reload_model_weights, call=False)
            sd_models.list_models()
            self._initialize_rest()

    def _initialize_rest(self) -> None:
        """What Reload UI does again. The real host loads the model beside all this."""
        scripts, shared, extensions, extra_networks, ui_extra_networks, callbacks, api = (
            importlib.import_module(f"modules.{name}")
            for name in (
                "scripts",
                "shared",
                "extensions",
                "extra_networks",
                "ui_extra_networks",
                "script_callbacks",
                "api.api",
            )
        )
        disabled: list[str] = shared.opts.disabled_extensions
        folders = [*sorted((HERE / "builtin").iterdir()), *sorted((self.data_dir / "extensions").iterdir())]
        folders.sort(key=lambda folder: not _before_lora(folder))
        folders = [folder for folder in folders if folder.name not in disabled]
        extensions.extensions[:] = [extensions.Extension(str(folder)) for folder in folders]
        files = [path for folder in folders for path in sorted((folder / "scripts").glob("*.py"))]
        scripts.load_scripts(files)
        assert shared.sd_model is not None
        ui_extra_networks.initialize()
        extra_networks.initialize()
        callbacks.call("before_ui")
        webui = not shared.cmd_opts.nowebui
        if webui:
            callbacks.call("ui_settings")
            callbacks.call("ui_tabs")
        self.app = App()
        if webui:
            ui_extra_networks.register_login(self.app)
        if shared.cmd_opts.api or not webui:
            api.Api(self.app)
        ui_extra_networks.add_pages_to_demo(self.app)
        callbacks.call("app_started", object() if webui else None, self.app)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, Any] | None = None,
        user: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request. Reload UI happens after the one that asked for it."""
        with self._printing():
            answer = self.app.call(method, path, body, query or {}, user, headers)
            state = importlib.import_module("modules.shared").state
            if state.server_command == "restart":
                state.server_command = None
                callbacks = importlib.import_module("modules.script_callbacks")
                callbacks.call("before_reload")
                callbacks.call("script_unloaded")
                self._initialize_rest()
        return answer

    def wait(self) -> None:
        """It answers at once."""

    def stop(self) -> None:
        """Unloads the scripts and forgets the modules; nothing when it was stopped before."""
        if not self._runs:
            return
        self._runs = False
        with self._printing():
            importlib.import_module("modules.script_callbacks").call("script_unloaded")
        forget()
        sys.modules.update(self._sleeping)
        sys.path, sys.argv = self._path, self._argv


def _before_lora(folder: Path) -> bool:
    """Whether an extension asks to be loaded before the builtin; more of the order is not read."""
    metadata = configparser.ConfigParser()
    metadata.read(folder / "metadata.ini", encoding="utf-8")
    return "lora" in metadata.get("scripts", "Before", fallback="").replace(",", " ").split()


def forget() -> dict[str, ModuleType]:
    """Takes the host's packages from the table of imported modules."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if _is_gone(name)}


def _is_gone(name: str) -> bool:
    if name.split(".")[0] in _FAKED:
        return sys.modules[name].__spec__ is None
    return any(name == package or name.startswith(f"{package}.") for package in _GONE)
