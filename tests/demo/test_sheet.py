"""What the demo draws: the comparison picture and the loss curve."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from lib_lyco.demo.curve import HEIGHT, TOP, loss_curve, round_level, smoothed
from lib_lyco.demo.sheet import GAP, SHOWN_SIDE, TITLE_HEIGHT, comparison_sheet

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_sheet_shows_each_picture_at_its_row_and_column() -> None:
    values = np.array([[10, 60, 110], [160, 210, 250]], np.uint8)
    columns = [
        (f"column {c}", np.broadcast_to(values[c, :, None, None, None], (3, 8, 8, 3))) for c in range(2)
    ]
    sheet = np.asarray(comparison_sheet(columns, [("first", 2), ("second", 1)]))
    step = SHOWN_SIDE + GAP
    for column in range(2):
        for row in range(3):
            top = TITLE_HEIGHT * (2 if row < 2 else 3) + step * row
            place = sheet[top : top + SHOWN_SIDE, GAP + step * column :][:, :SHOWN_SIDE]
            assert (place == values[column, row]).all()


def test_smoothed_is_the_mean_of_the_last_values() -> None:
    assert smoothed([4.0, 2.0, 0.0, 1.0], 2) == [4.0, 3.0, 1.0, 0.5]


def test_curve_is_well_formed_and_higher_losses_are_drawn_higher() -> None:
    tree = ElementTree.fromstring(loss_curve([2.0, 1.0, 0.5], "loss"))
    lines = tree.findall(f"{NAMESPACE}polyline")
    points = [[float(number) for number in pair.split(",")] for pair in lines[0].attrib["points"].split()]
    across, down = zip(*points, strict=True)
    assert list(across) == sorted(across)
    assert list(down) == sorted(down) and down[0] >= TOP and down[-1] <= HEIGHT


@pytest.mark.parametrize(
    ("least", "level"), [(0.9, 1), (1, 1), (0.11, 0.2), (0.21, 0.25), (0.3, 0.5), (60, 100), (0, 0.25)]
)
def test_levels_are_round_and_not_below_the_least(least: float, level: float) -> None:
    assert round_level(least) == level


def test_curve_of_one_step_or_of_zeros_can_be_drawn() -> None:
    for losses in ([1.0], [0.0, 0.0]):
        assert "nan" not in loss_curve(losses, "loss")
