"""The X/Y/Z plot: its axes are a list that others may add to. Only X is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from modules import processing, scripts


class AxisOption:
    """Something that can vary: how a value is read, and what it does to a job."""

    def __init__(
        self,
        label: str,
        type: Callable[[str], Any],
        apply: Callable[[Any, Any, Sequence[Any]], None],
        format_value: Callable[..., str] | None = None,
        confirm: Callable[[Any, Sequence[Any]], None] | None = None,
        cost: float = 0.0,
        choices: Callable[[], Sequence[str]] | None = None,
        prepare: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self.label, self.type, self.apply = label, type, apply
        self.format_value, self.confirm, self.cost = format_value, confirm, cost
        self.choices, self.prepare = choices, prepare


class AxisOptionTxt2Img(AxisOption):
    """Only for one tab."""

    is_img2img = False


class AxisOptionImg2Img(AxisOption):
    """Only for the other."""

    is_img2img = True


def do_nothing(p: Any, x: Any, xs: Sequence[Any]) -> None:
    """The axis that is not there."""
    del p, x, xs


def apply_seed(p: Any, x: Any, xs: Sequence[Any]) -> None:
    """Another seed."""
    del xs
    p.seed = x


axis_options = [
    AxisOption("Nothing", str, do_nothing),
    AxisOption("Seed", int, apply_seed),
]


class Script(scripts.Script):
    """Selected in the list."""

    def title(self) -> str:
        return "X/Y/Z plot"

    def run(self, p: Any, *args: Any) -> Any:
        """args as the host's: the axis by its number, its values as text, as choices, and so on."""
        axis, text, chosen = axis_options[args[0]], args[1], args[2]
        typed = args[-1] or axis.choices is None
        values = axis.prepare(text) if typed and axis.prepare else text.split(",") if typed else chosen
        xs = [axis.type(value.strip()) for value in values]
        if axis.confirm:
            axis.confirm(p, xs)
        done: list[processing.Processed] = []
        for x in xs:
            job = copy(p)
            axis.apply(job, x, xs)
            done.append(processing.process_images(job))
        whole = done[0]
        whole.images = [whole.images[0], *(one.images[0] for one in done)]  # the grid comes first
        whole.infotexts = [whole.infotexts[0], *(one.infotexts[0] for one in done)]
        return whole
