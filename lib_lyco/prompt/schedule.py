"""A strength over the steps of one sampling pass.

| written | is |
| --- | --- |
| `0.8` | 0.8 throughout |
| `0@0,1@0.5,0@1` | from 0 up to 1 at half of the steps and down again, in straight lines |
| `1@0,1@8,0@12` | 1 until step 8, then down to 0 at step 12 |
| `0@0,1` | a value without a position stands at 1, the end |

Positions are steps as soon as one of them is above 1, else fractions of the pass. Before the first
point its value holds, after the last point the last one's; two points at one position are a jump.
`;` works like `,`, and `~` like `@`. These are the rules of sd-webui-loractl (cheald, MIT:
`loractl/lib/utils.py`, `sorted_positions` and `calculate_weight`).

A step is counted as the WebUI does while it computes one (`state.sampling_step`): 0 during the first
and the second step, then 1, 2, ... and `num_steps - 2` during the last. `counted` gives that number.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace

from lib_lyco.errors import PromptError
from lib_lyco.prompt.numbers import read_number

EXPECTED = "a number, such as 0.8, or values at positions, such as 0@0,1@0.5,0@1"


def counted(index: int) -> int:
    """The WebUI's count while step `index` (from 0) is computed: it grows only after the second step."""
    return max(index - 1, 0)


@dataclass(frozen=True)
class Window:
    """The steps in which a network acts, as sd-webui-lora-block-weight counts them.

    The first `start` steps are drawn without it, and those after the first `stop`; where `start` is
    below 2 it acts from the first step on, where `stop` is below 2 never.
    """

    start: int = 0
    stop: int | None = None

    @property
    def always(self) -> bool:
        return self.start < 2 and self.stop is None

    @property
    def never(self) -> bool:
        return self.stop is not None and self.stop < 2

    def holds(self, step: int) -> bool:
        """Whether it acts at a step, counted as by the WebUI (`denoiser_callback` of that extension)."""
        return step > self.start - 2 and (self.stop is None or step <= self.stop - 2)


@dataclass(frozen=True)
class Schedule:
    """A strength for every step. Equal schedules are equal objects, so they can be keys."""

    points: tuple[tuple[float, float], ...]
    """(position, value), at least one, by position."""
    window: Window | None = None
    """Outside of it the value is 0."""

    @classmethod
    def constant(cls, value: float) -> Schedule:
        """The same value at every step."""
        return cls(((0.0, value),))

    def within(self, window: Window) -> Schedule:
        """The same, and 0 outside of the window."""
        if window.always or (self.is_constant and self.first == 0.0):
            return self
        return Schedule.constant(0.0) if window.never else replace(self, window=window)

    @property
    def is_constant(self) -> bool:
        """Whether every step has the same value."""
        return self.window is None and len({value for _, value in self.points}) == 1

    @property
    def first(self) -> float:
        """The value at the first step; the one that a text encoder uses, since it runs once a pass."""
        return self.at(0, 1)

    def at(self, step: int, num_steps: int) -> float:
        """The value at a step.

        Args:
            step: Counted as by the WebUI, see `counted`.
            num_steps: How many steps the pass has.
        """
        if self.window is not None and not self.window.holds(step):
            return 0.0
        in_steps = self.points[-1][0] > 1.0
        return self._between(step if in_steps else step / max(num_steps - 2, 1))

    def _between(self, place: float) -> float:
        after = bisect_right(self.points, place, key=lambda point: point[0])
        if after in (0, len(self.points)):
            return self.points[max(after - 1, 0)][1]
        (left, low), (right, high) = self.points[after - 1], self.points[after]
        return low + (high - low) / (right - left) * (place - left)


def read_schedule(text: str) -> Schedule:
    """Reads a number or a list of values at positions.

    Raises:
        PromptError: It is neither; `where` is left to the caller, who knows the tag.
    """
    entries = [re.split("[@~]", entry) for entry in re.split("[,;]", text)]
    if len(entries) == 1 and len(entries[0]) == 1:
        return Schedule.constant(_number(text, text))
    if any(len(entry) > 2 for entry in entries) or len(entries[0]) == 1:
        raise _unreadable(text)
    points = [tuple(_number(part, text) for part in entry) for entry in entries]
    placed = sorted(((point[1] if len(point) == 2 else 1.0, point[0]) for point in points), key=_position)
    if placed[0][0] < 0 or (placed[-1][0] > 1.0 and any(len(point) == 1 for point in points)):
        raise _unreadable(text)
    return Schedule(tuple(placed))


def _position(point: tuple[float, float]) -> float:
    return point[0]


def _number(part: str, text: str) -> float:
    try:
        return read_number(part)
    except PromptError as error:
        raise _unreadable(text) from error


def _unreadable(text: str) -> PromptError:
    return PromptError("it is no strength", got=repr(text.strip()), expected=EXPECTED)
