"""A message that appears in a corner of the page."""

from __future__ import annotations

import gradio as gr


def warn(text: str) -> None:
    """Shows the message to whoever's request is being answered; prints it where there is no page."""
    gr.Warning(text)
