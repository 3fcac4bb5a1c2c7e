"""Ctrl-C at any line of a switch: the next restore brings back every bit, and the session goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from tests.apply.small import (
    ADDITIVE,
    SmallModel,
    assert_same_weights,
    attributes,
    random_network,
    snapshot,
    targets_of,
)

STRIDE = 29
"""Lines between two tries; 1 tries them all, which takes two minutes."""


class Interrupter:
    """Raises KeyboardInterrupt at the n-th line that runs below `lib_lyco/apply`; counts them all."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.count = 0

    def run(self, function: Callable[[], object]) -> bool:
        """Whether the function was interrupted."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            function()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if "apply" in frame.f_code.co_filename.split(os.sep)[-2:-1] else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self._at:
                raise KeyboardInterrupt
        return self._line


class Scene:
    """A model on which something is applied and something else shall be."""

    def __init__(self, budget: int) -> None:
        self.model = SmallModel()
        self.weights, self.attributes = snapshot(self.model), attributes(self.model)
        targets = targets_of(self.model)
        networks = [random_network(targets, (*ADDITIVE, "ia3"), seed, share=0.7) for seed in range(3)]
        self.first = [Wanted(networks[0], unet=0.5), Wanted(networks[1], varies=True)]
        self.second = [Wanted(networks[0], unet=0.7, varies=True), Wanted(networks[2])]
        self.session = Session(targets, budget)
        self.session.apply(self.second)
        self.session.apply(self.first)

    def check(self, merged: Scene, is_restored: bool) -> None:
        if not is_restored:
            self.session.apply(self.first)
            assert_same_weights(self.model, snapshot(merged.model))
        self.session.restore()
        assert_same_weights(self.model, self.weights)
        assert attributes(self.model) == self.attributes
        self.session.apply(self.first)
        assert_same_weights(self.model, snapshot(merged.model))
        self.session.apply(self.second)
        self.session.apply(self.first)
        assert_same_weights(self.model, snapshot(merged.model))


@pytest.mark.parametrize("act", ("apply", "restore"))
@pytest.mark.parametrize("budget", (0, 20_000, 10**7))
def test_interrupt_at_any_line(budget: int, act: str) -> None:
    merged = Scene(budget)
    at, last = 1, 10**9
    while at <= last:
        scene = Scene(budget)
        interrupter = Interrupter(at)
        if act == "apply":
            done = not interrupter.run(lambda: scene.session.apply(scene.second))  # noqa: B023
        else:
            done = not interrupter.run(scene.session.restore)
        scene.check(merged, is_restored=bool(at % 2))
        if done:
            last = interrupter.count
        at += STRIDE
    assert last > 10 * STRIDE, "too few lines to have tried anything"
