"""Axes for the X/Y/Z plot: network, strength, text-encoder and UNet strength, block preset.

They act on the first network tag of the prompt, and of a hires prompt of its own. A prompt without any
gets one from the network axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modules import script_callbacks, scripts, shared
from modules.processing import StableDiffusionProcessing, StableDiffusionProcessingTxt2Img

from lib_lyco.errors import LycoError, PromptError
from lib_lyco.host.app import HostApp
from lib_lyco.host.options import network_names
from lib_lyco.prompt.edit import Tag, find_tags, map_tags

NEEDS = (("modules.scripts", "scripts_data"), ("modules.script_callbacks", "on_before_ui"))

NETWORK = "[Lyco] Network"
NO_NETWORK = "None"

Change = Callable[[Tag], "Tag | None"]


def register(app: HostApp) -> None:
    """Adds the axes whenever the page is made, after all scripts are loaded."""

    def add() -> None:
        found = [data.module for data in scripts.scripts_data if _is_plot(data)]
        if found:
            add_axes(app, found[0])

    script_callbacks.on_before_ui(add)


def add_axes(app: HostApp, plot: Any) -> None:
    """Adds our axes to the plot's module, once."""
    taken = {option.label for option in plot.axis_options}
    plot.axis_options.extend(option for option in _axes(app, plot) if option.label not in taken)


def _axes(app: HostApp, plot: Any) -> list[Any]:
    def networks() -> list[str]:
        return [NO_NETWORK, *network_names(app.catalog)]

    def presets() -> list[str]:
        return sorted(app.presets.blocks)

    def confirm_networks(p: object, values: Sequence[str]) -> None:
        del p
        for value in values:
            if value != NO_NETWORK:
                _check(app.catalog.find, value)

    def confirm_presets(p: object, values: Sequence[str]) -> None:
        del p
        for value in values:
            _check(app.presets.weights, value)

    def network(p: StableDiffusionProcessing, value: str, values: object) -> None:
        del values
        put_network(p, value, "lora" if app.options.own_lora else "lyco", app.options.default_strength)

    def varied(label: str, kind: type, change: Callable[[Tag, str], Tag], **arguments: Any) -> Any:
        def apply(p: StableDiffusionProcessing, value: object, values: object) -> None:
            del values
            text = _text(value) if isinstance(value, float) else str(value)
            if not _edit(p, lambda tag: change(tag, text)):
                _demand_network_axis(label)

        return plot.AxisOption(label, kind, apply, cost=0.2, **arguments)

    return [
        plot.AxisOption(NETWORK, str, network, confirm=confirm_networks, cost=0.3, choices=networks),
        varied("[Lyco] Strength", float, lambda tag, text: tag.with_strength(text)),
        varied("[Lyco] Text encoder strength", float, lambda tag, text: tag.with_option("te", text)),
        varied("[Lyco] UNet strength", float, lambda tag, text: tag.with_option("unet", text)),
        varied(
            "[Lyco] Block preset",
            str,
            lambda tag, text: tag.with_option("lbw", text),
            confirm=confirm_presets,
            choices=presets,
        ),
    ]


def put_network(p: StableDiffusionProcessing, name: str, kind: str, strength: float) -> None:
    """Has the first tag name this network, or adds a tag where there is none; `None` takes it out."""
    if name == NO_NETWORK:
        _edit(p, lambda tag: None)
    elif not _edit(p, lambda tag: tag.with_name(name)):
        tag = str(Tag(kind, name, (_text(strength),)))
        p.prompt = _each(p.prompt, lambda prompt: prompt + tag)


def _demand_network_axis(label: str) -> None:
    """Accepts a prompt without tag only where the network axis, just before, has taken it out.

    Raises:
        PromptError: The prompt never had one.
    """
    axes = [getattr(shared.state, f"xyz_plot_{letter}", None) for letter in "xyz"]
    labels = [getattr(getattr(axis, "axis", None), "label", "") for axis in axes]
    if NETWORK not in labels or labels.index(NETWORK) > labels.index(label):
        raise PromptError(
            f"{label}: the prompt has no network",
            expected=f"a tag such as <lora:name:1>, or {NETWORK} on an axis before this one",
        )


def _edit(p: StableDiffusionProcessing, change: Change) -> bool:
    """Changes the first tag of the prompt and of the hires prompt; returns whether there was one."""
    prompts = [p.prompt] if isinstance(p.prompt, str) else p.prompt
    found = any(find_tags(prompt) for prompt in prompts)
    p.prompt = _each(p.prompt, lambda prompt: _first(prompt, change))
    if isinstance(p, StableDiffusionProcessingTxt2Img):
        p.hr_prompt = _each(p.hr_prompt, lambda prompt: _first(prompt, change))
    return found


def _first(prompt: str, change: Change) -> str:
    pending = [change]
    return map_tags(prompt, lambda tag: pending.pop()(tag) if pending else tag)


def _each(prompts: str | list[str], edit: Callable[[str], str]) -> str | list[str]:
    return edit(prompts) if isinstance(prompts, str) else [edit(prompt) for prompt in prompts]


def _check(look_up: Callable[[str], object], value: str) -> None:
    """Raises RuntimeError, which the host shows in place of the grid, where a value means nothing."""
    try:
        look_up(value)
    except LycoError as error:
        raise RuntimeError(f"{error.what}. {error.remedy}") from error


def _is_plot(data: Any) -> bool:
    return data.script_class.__module__ == "xyz_grid.py" and hasattr(data.module, "AxisOption")


def _text(value: float) -> str:
    """A strength as people write it: steps of a range bring 0.30000000000000004."""
    return f"{value:.6g}"
