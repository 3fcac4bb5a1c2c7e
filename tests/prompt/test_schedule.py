"""Strengths by step against numpy.interp as sd-webui-loractl calls it, and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lyco.errors import PromptError
from lib_lyco.prompt.schedule import Schedule, Window, counted, read_schedule

NUM_STEPS = 20


def as_loractl(text: str, step: int, num_steps: int) -> float:
    """`calculate_weight`: positions are fractions of num_steps - 2 unless the last is above 1."""
    pairs = sorted(
        ([float(part) for part in entry.split("@")] for entry in text.split(",")), key=lambda pair: pair[1]
    )
    values, positions = zip(*pairs, strict=True)
    place = step / (num_steps - 2) if positions[-1] <= 1.0 else step
    return float(np.interp(place, positions, values))


@pytest.mark.parametrize(
    "text",
    [
        "0@0,1@0.5,0@1",
        "1@0,0.2@0.5,0@1",
        "0.25@0.5,1@1",
        "1@1",
        "0.75@0,0.5@3,1@6",
        "0.5@3,1@6,1@0",
        "0@5,1@6",
        "-0.5@0,1.5@0.3",
        "0@5,0@10,1@10,0.5@15",
        "1@0.5,1@30",
    ],
)
def test_values_are_those_of_loractl(text: str) -> None:
    schedule = read_schedule(text)
    steps = range(NUM_STEPS - 1)
    expected = [as_loractl(text, step, NUM_STEPS) for step in steps]
    assert [schedule.at(step, NUM_STEPS) for step in steps] == pytest.approx(expected, abs=1e-12)
    assert schedule.first == pytest.approx(expected[0])
    assert schedule.is_constant == (len(set(expected)) == 1)


@given(
    st.lists(
        st.tuples(st.floats(-2, 2).map(lambda value: round(value, 3)), st.integers(0, 40)),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 48),
    st.booleans(),
)
def test_any_points_are_interpolated_as_by_numpy(
    points: list[tuple[float, int]], step: int, fractions: bool
) -> None:
    text = ",".join(f"{value}@{position / 40 if fractions else position}" for value, position in points)
    value = read_schedule(text).at(step, 50)
    assert value == pytest.approx(as_loractl(text, step, 50), abs=1e-9)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("0@0;1@0.5;0@1", "0@0,1@0.5,0@1"),
        ("0~0,1~1", "0@0,1@1"),
        ("0@0,1", "0@0,1@1"),
        (" 0 @ 0 , 1 @ 1 ", "0@0,1@1"),
        ("1@1,0@0", "0@0,1@1"),
    ],
)
def test_other_spellings_mean_the_same(written: str, same: str) -> None:
    assert read_schedule(written) == read_schedule(same)


def test_number_is_constant() -> None:
    assert read_schedule(" 0.8 ") == Schedule.constant(0.8)
    assert [Schedule.constant(0.8).at(step, 9) for step in range(8)] == [0.8] * 8
    assert read_schedule("1@0,1@1").is_constant


@pytest.mark.parametrize("num_steps", [1, 2])
def test_shortest_passes_have_the_first_value(num_steps: int) -> None:
    """loractl divides by zero at two steps."""
    assert read_schedule("0.5@0,1@1").at(0, num_steps) == 0.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "nan",
        "0.5,1",
        "1@",
        "@1",
        "1@0@2",
        "1@0,",
        "1,0@1",
        "1@-1",
        "inf@0",
        "1@0,0@nan",
        "0@0,1@9,1",
    ],
)
def test_what_is_no_strength_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="no strength") as caught:
        read_schedule(text)
    assert caught.value.got == repr(text)
    assert "0@0,1@0.5,0@1" in caught.value.expected


@pytest.mark.parametrize(
    ("window", "drawn_with"),
    [
        (Window(), "111111111111"),
        (Window(stop=10), "111111111100"),
        (Window(start=10), "000000000011"),
        (Window(start=5, stop=8), "000001110000"),
        (Window(start=1), "111111111111"),
        (Window(stop=2), "110000000000"),
        (Window(stop=1), "000000000000"),
        (Window(stop=0), "000000000000"),
        (Window(start=40), "000000000000"),
    ],
)
def test_window_counts_the_steps_as_lora_block_weight(window: Window, drawn_with: str) -> None:
    """Worked by hand: it acts once `sampling_step > start - 2` and until `sampling_step > stop - 2`."""
    schedule = Schedule.constant(0.7).within(window)
    values = [schedule.at(counted(index), 12) for index in range(12)]
    assert values == [0.7 * int(flag) for flag in drawn_with]
    if schedule.is_constant:
        assert len(set(drawn_with)) == 1


def test_window_cuts_a_schedule_without_moving_it() -> None:
    schedule = read_schedule("0@0,1@10").within(Window(start=4, stop=8))
    assert [schedule.at(step, 20) for step in range(9)] == pytest.approx(
        [0, 0, 0, 0.3, 0.4, 0.5, 0.6, 0, 0]
    )
    assert schedule.first == 0.0


def test_equal_schedules_are_one_key() -> None:
    one, other = (read_schedule("0@0,1@1").within(Window(stop=5)) for _ in range(2))
    assert {one: "seen"}[other] == "seen"
