"""The training tab's frame; `javascript/lyco_train.js` draws what is in it."""

from __future__ import annotations

import gradio as gr

FRAME_ID = "lyco_train"


def training_tab() -> None:
    """Adds the frame to the blocks that are being built; it is the same under every gradio."""
    gr.HTML(f'<div id="{FRAME_ID}" class="lyco-train"></div>', elem_id=f"{FRAME_ID}_frame")


def training_page() -> gr.Blocks:
    """The tab as a page of its own, as the WebUI wants its tabs."""
    with gr.Blocks(analytics_enabled=False) as page:
        training_tab()
    return page
