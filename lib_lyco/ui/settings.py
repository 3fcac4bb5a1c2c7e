"""The components of the settings page, by the kind of option they show.

The host makes them itself, as `component(label=, value=, elem_id=, **arguments)`. A component gives
back the type that its option's default has: the host saves no setting at all where one differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import gradio as gr


def _several(**arguments: Any) -> gr.Dropdown:
    return gr.Dropdown(multiselect=True, **arguments)


COMPONENTS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "flag": gr.Checkbox,
        "choice": gr.Radio,
        "number": gr.Slider,
        "text": gr.Textbox,
        "network": gr.Dropdown,
        "networks": _several,
    }
)
"""Kind -> what makes its component. Values: bool, str, int or float, str, str, list of str."""
