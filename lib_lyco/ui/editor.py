"""The fields of a card's editor beyond those that the WebUI's own editor has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

VERSIONS = ("", "SD1", "SD2", "SDXL", "Unknown")
"""What a user may say of the base model: nothing, or one of the builtin's words."""

_NUM_CHIPS = 48
_COMMA = re.compile(r"\s*,\s*")


class EditorFields:
    """One editor's fields. Built by two calls, since the WebUI builds its own between them."""

    def __init__(self) -> None:
        self._version: Any = None
        self._chips: Any = None
        self._activation: Any = None
        self._weight: Any = None
        self._negative: Any = None
        self._row: Any = None
        self._prompt: Any = None
        self._draw: Any = None
        self._notes: Any = None

    @property
    def edited(self) -> Sequence[Any]:
        """Components: SD version, activation text, preferred weight, negative text, notes."""
        return (self._version, self._activation, self._weight, self._negative, self._notes)

    @property
    def viewed(self) -> Sequence[Any]:
        """All components, in the order of `show`."""
        return (*self.edited, self._chips, self._row, self._prompt)

    def add_left(self) -> None:
        """Adds what stands below the file's table."""
        self._version = gr.Dropdown(
            list(VERSIONS),
            label="Stable Diffusion version",
            info="Empty: as the file itself tells",
            interactive=True,
        )

    def add_below(self) -> None:
        """Adds the others."""
        self._chips = gr.HighlightedText(label="Training dataset tags")
        # of one line, as the builtin's: it puts them into a script
        self._activation = gr.Textbox(
            label="Activation text", info="Goes into the prompt with the network", lines=1, max_lines=1
        )
        self._weight = gr.Slider(
            label="Preferred weight",
            info="0: the default strength",
            minimum=-2.0,
            maximum=2.0,
            step=0.01,
            value=0.0,
        )
        self._negative = gr.Textbox(
            label="Negative prompt", info="Goes into the negative prompt", lines=1, max_lines=1
        )
        with gr.Row() as self._row:
            with gr.Column(scale=8):
                self._prompt = gr.Textbox(label="Random prompt", lines=4, max_lines=4, interactive=False)
            with gr.Column(scale=1, min_width=120):
                self._draw = gr.Button("Generate", size="lg", scale=1)
        self._notes = gr.TextArea(label="Notes", lines=4)

    def wire(self, name: Any, draw: Callable[[str], str]) -> None:
        """Makes chips and the random prompt work.

        Args:
            name: The component with the card's name.
            draw: A random prompt for a card's name.
        """

        def choose(text: str, event: gr.SelectData) -> str:
            return toggle_word(text, event.value[0])

        chosen = [self._activation]
        self._chips.select(fn=choose, inputs=chosen, outputs=chosen, show_progress=False)
        self._draw.click(fn=draw, inputs=[name], outputs=[self._prompt], show_progress=False)

    def show(self, values: Mapping[str, Any], tags: Sequence[tuple[str, int]], prompt: str) -> list[Any]:
        """What the components show for a card.

        Args:
            values: By the names of `SideFacts`.
            tags: Of the training set, with counts.
            prompt: A random one.
        """
        version = values.get("sd_version", "")
        chips = [(tag, str(count)) for tag, count in tags[:_NUM_CHIPS]]
        has_tags = bool(tags)
        return [
            # other programs have other words, which are kept
            gr.update(value=version, choices=list(dict.fromkeys((*VERSIONS, version)))),
            values.get("activation_text", ""),
            values.get("preferred_weight", 0.0),
            values.get("negative_text", ""),
            values.get("notes", ""),
            gr.update(value=chips, visible=has_tags),
            gr.update(visible=has_tags),
            gr.update(value=prompt, visible=has_tags),
        ]


def toggle_word(text: str, word: str) -> str:
    """Adds a word to some trigger words, or takes it out."""
    words = [one for one in _COMMA.split(text.strip()) if one]
    return ", ".join([one for one in words if one != word] if word in words else [*words, word])
