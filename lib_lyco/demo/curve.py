"""A loss curve as SVG, readable on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 34
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#7a7f87}.grid{stroke:#7a7f8740}"
    ".raw{fill:none;stroke:#4c8df655}.smooth{fill:none;stroke:#4c8df6;stroke-width:2;stroke-linejoin:round}"
)


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """The mean of up to `window` values ending at each one."""
    return [sum(values[max(0, i + 1 - window) : i + 1]) / min(i + 1, window) for i in range(len(values))]


def round_level(least: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `least`; 0.25 for 0."""
    if least <= 0:
        return 0.25
    power = 10.0 ** math.floor(math.log10(least))
    return next(level for step in (1, 2, 2.5, 5, 10) if (level := round(step * power, 12)) >= least)


def loss_curve(losses: Sequence[float], title: str) -> str:
    """An SVG picture of the loss at each step, raw and smoothed.

    Args:
        losses: One per step; at least one.
        title: What screen readers read out.
    """
    mean = smoothed(losses, max(1, len(losses) // 20))
    level = round_level(max(*sorted(losses)[: max(1, round(len(losses) * 0.99))], *mean) / 4)
    top = 4 * level
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{title}">',
            f"<style>{STYLE}</style>",
            *(_level(level * part, top) for part in range(5)),
            *(_mark(round((len(losses) - 1) * part / 4) + 1, len(losses)) for part in range(5)),
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 2}" text-anchor="middle">step</text>',
            f'<polyline class="raw" points="{_points(losses, top)}"/>',
            f'<polyline class="smooth" points="{_points(mean, top)}"/>',
            "</svg>",
        )
    )


def _x(index: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (index / max(1, count - 1))


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(value, top) / top)


def _points(values: Sequence[float], top: float) -> str:
    return " ".join(f"{_x(i, len(values)):.1f},{_y(value, top):.1f}" for i, value in enumerate(values))


def _level(value: float, top: float) -> str:
    y = _y(value, top)
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    )


def _mark(step: int, count: int) -> str:
    x = _x(step - 1, count)
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{step}</text>'
