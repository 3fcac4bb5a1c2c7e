"""A comparison picture: rows of one prompt and seed, columns of one state of the network, labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]

SHOWN_SIDE, GAP, TITLE_HEIGHT, FONT_SIZE = 128, 6, 26, 14
PAPER, INK = (250, 250, 248), (40, 42, 46)


def comparison_sheet(columns: Sequence[tuple[str, Pixels]], rows: Sequence[tuple[str, int]]) -> Image.Image:
    """Puts pictures side by side.

    Args:
        columns: Title and RGB bytes (n, h, w, 3) of each column, all with the same n.
        rows: Title of a group of rows, and how many rows it has; the numbers add up to n.
    """
    step = SHOWN_SIDE + GAP
    num_rows = sum(count for _, count in rows)
    size = (GAP + step * len(columns), TITLE_HEIGHT * (1 + len(rows)) + step * num_rows + GAP)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    for column, (title, _) in enumerate(columns):
        centre = GAP + step * column + SHOWN_SIDE // 2
        pen.text((centre, TITLE_HEIGHT // 2), title, INK, font, "mm")
    top, first = TITLE_HEIGHT, 0
    for title, count in rows:
        pen.text((GAP, top + TITLE_HEIGHT // 2), title, INK, font, "lm")
        top += TITLE_HEIGHT
        for row in range(first, first + count):
            for column, (_, pictures) in enumerate(columns):
                sheet.paste(_shown(pictures[row]), (GAP + step * column, top))
            top += step
        first += count
    return sheet


def picture_row(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in one row."""
    step = SHOWN_SIDE + GAP
    row = Image.new("RGB", (GAP + step * len(pictures), SHOWN_SIDE + 2 * GAP), PAPER)
    for number, picture in enumerate(pictures):
        row.paste(_shown(np.asarray(picture.convert("RGB"))), (GAP + step * number, GAP))
    return row


def _shown(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).resize((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BICUBIC)
