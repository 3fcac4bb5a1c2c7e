"""Events that an extension may hear; `before_ui` and `script_unloaded` go backwards."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from . import errors

Callback = Callable[..., Any]


@dataclass
class ScriptCallback:
    """One listener and the script that registered it."""

    script: str
    callback: Callback
    name: str


@dataclass
class CFGDenoiserParams:
    """A step of sampling, before the model is asked. Fields may be changed."""

    x: Tensor
    image_cond: Tensor
    sigma: Tensor
    sampling_step: int
    total_sampling_steps: int
    text_cond: Tensor
    text_uncond: Tensor
    denoiser: Any = None


BACKWARDS = ("before_ui", "script_unloaded")
callback_map: dict[str, list[ScriptCallback]] = {}


def add(category: str, callback: Callback, name: str | None) -> None:
    """Registers for the script that is calling."""
    callers = [frame.filename for frame in inspect.stack() if frame.filename != __file__]
    callback_map.setdefault(category, []).append(ScriptCallback(callers[0], callback, name or "unnamed"))


def call(category: str, *args: Any) -> list[Any]:
    """Calls every listener; what one raises is printed and the next is called."""
    listeners = list(callback_map.get(category, []))
    answers: list[Any] = []
    for listener in reversed(listeners) if category in BACKWARDS else listeners:
        try:
            answers.append(listener.callback(*args))
        except Exception:  # noqa: BLE001  a listener may raise anything; the host goes on
            errors.report(f"Error executing callback {category} for {listener.script}", exc_info=True)
    return answers


def clear_callbacks() -> None:
    """Before scripts are loaded again."""
    callback_map.clear()


def remove_callbacks_for_function(callback_func: Callback) -> None:
    """Forgets a listener."""
    for listeners in callback_map.values():
        listeners[:] = [listener for listener in listeners if listener.callback != callback_func]


def remove_current_script_callbacks() -> None:
    """Forgets the listeners of the calling script."""
    script = [frame.filename for frame in inspect.stack() if frame.filename != __file__][0]
    for listeners in callback_map.values():
        listeners[:] = [listener for listener in listeners if listener.script != script]


def on_app_started(callback: Callback, *, name: str | None = None) -> None:
    """callback(Blocks or None, FastAPI): also without --api."""
    add("app_started", callback, name)


def on_before_reload(callback: Callback, *, name: str | None = None) -> None:
    """callback(): Reload UI begins."""
    add("before_reload", callback, name)


def on_model_loaded(callback: Callback, *, name: str | None = None) -> None:
    """callback(sd_model): created, or its weights replaced; not when a resident one is taken again."""
    add("model_loaded", callback, name)


def on_before_ui(callback: Callback, *, name: str | None = None) -> None:
    """callback(): the registries were just emptied; backwards."""
    add("before_ui", callback, name)


def on_ui_settings(callback: Callback, *, name: str | None = None) -> None:
    """callback(): the settings page is made; not with --nowebui."""
    add("ui_settings", callback, name)


def on_ui_tabs(callback: Callback, *, name: str | None = None) -> None:
    """callback() -> [(Blocks, title, id)]; not with --nowebui."""
    add("ui_tabs", callback, name)


def on_infotext_pasted(callback: Callback, *, name: str | None = None) -> None:
    """callback(infotext, params): params may be changed."""
    add("infotext_pasted", callback, name)


def on_cfg_denoiser(callback: Callback, *, name: str | None = None) -> None:
    """callback(CFGDenoiserParams): each step."""
    add("cfg_denoiser", callback, name)


def on_script_unloaded(callback: Callback, *, name: str | None = None) -> None:
    """callback(): take everything back; backwards."""
    add("script_unloaded", callback, name)


def model_loaded_callback(sd_model: Any) -> None:
    """The model has new weights."""
    call("model_loaded", sd_model)


def cfg_denoiser_callback(params: CFGDenoiserParams) -> None:
    """A step begins."""
    call("cfg_denoiser", params)


def infotext_pasted_callback(infotext: str, params: dict[str, Any]) -> None:
    """A user pasted a picture's text."""
    call("infotext_pasted", infotext, params)
