"""An x-ray as a drawing: a row per network, a column per block, and a row per pair of networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from lib_lyco.naming.blocks import block_names
from lib_lyco.tools.xray import BlockStrength, Overlap, Xray

_LABEL, _CELL, _GAP, _ROW, _HEAD = 190, 26, 2, 24, 46
_FAINTEST, _STRONGEST = 0.003, 0.3
"""Relative strengths drawn as nothing and as full colour, on a logarithmic scale."""
_MAX_LABEL = 28


def draw_xray(found: Xray) -> str:
    """Returns an SVG that follows the page's text colour, with a title on every cell."""
    blocks = [
        block for block in block_names(found.family) if block in {one.block for one in found.together}
    ]
    rows: list[str] = []
    for network in found.networks:
        rows.append(_strength_row(network.name, network.blocks, blocks, len(rows)))
    if len(found.networks) > 1:
        rows.append(_strength_row("together", found.together, blocks, len(rows)))
    pairs = dict.fromkeys((overlap.first, overlap.second) for overlap in found.overlaps)
    for pair in pairs:
        mine = [overlap for overlap in found.overlaps if (overlap.first, overlap.second) == pair]
        rows.append(_overlap_row(f"{pair[0]} / {pair[1]}", mine, blocks, len(rows)))
    # the last block's name leans out
    width, height = _LABEL + _CELL * len(blocks) + _CELL, _HEAD + _ROW * len(rows) + _GAP
    head = "".join(
        f'<text transform="translate({_LABEL + _CELL * at + _CELL // 2 + 4} {_HEAD - 6}) rotate(-60)"'
        f' font-size="10">{escape(block)}</text>'
        for at, block in enumerate(blocks)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-label="{escape(_summary(found), quote=True)}"'
        f' fill="currentColor" font-family="sans-serif">{head}{"".join(rows)}</svg>'
    )


def _summary(found: Xray) -> str:
    return " ".join(found.findings) or "Nothing remarkable was found."


def _strength_row(name: str, strengths: Sequence[BlockStrength], blocks: Sequence[str], row: int) -> str:
    by_block = {one.block: one for one in strengths}
    largest = max((one.norm for one in strengths), default=0.0)

    def cells() -> Iterator[str]:
        for at, block in enumerate(blocks):
            one = by_block[block]
            relative = one.relative
            if relative is None:
                shade, words = (one.norm / largest if largest else 0.0), f"||dW|| {one.norm:.3g}"
            else:
                shade, words = _shade(relative), f"{relative:.1%} of the base model"
            yield _cell(at, row, "#d9822b", shade, f"{name} {block}: {words}")

    return _label(name, row) + "".join(cells())


def _overlap_row(name: str, overlaps: Sequence[Overlap], blocks: Sequence[str], row: int) -> str:
    cosines = {overlap.block: overlap.cosine for overlap in overlaps}

    def cells() -> Iterator[str]:
        for at, block in enumerate(blocks):
            cosine = cosines.get(block)
            if cosine is not None:
                colour = "#c0392b" if cosine < 0 else "#2e6da4"
                yield _cell(at, row, colour, min(1.0, abs(cosine)), f"{name} {block}: cosine {cosine:+.2f}")

    return _label(name, row) + "".join(cells())


def _shade(relative: float) -> float:
    """0 for a change that nobody sees, 1 for one that burns."""
    if relative <= _FAINTEST:
        return 0.0
    return min(1.0, math.log(relative / _FAINTEST) / math.log(_STRONGEST / _FAINTEST))


def _cell(at: int, row: int, colour: str, shade: float, title: str) -> str:
    x, y = _LABEL + _CELL * at, _HEAD + _ROW * row
    place = f'x="{x}" y="{y}" width="{_CELL - _GAP}" height="{_ROW - _GAP}" rx="2"'
    return (
        f'<g><title>{escape(title)}</title><rect {place} fill="currentColor" fill-opacity="0.06"/>'
        f'<rect {place} fill="{colour}" fill-opacity="{shade:.3f}"/></g>'
    )


def _label(name: str, row: int) -> str:
    short = name if len(name) <= _MAX_LABEL else f"{name[: _MAX_LABEL - 1]}…"
    y = _HEAD + _ROW * row + _ROW // 2 + 3
    return f'<text x="0" y="{y}" font-size="12"><title>{escape(name)}</title>{escape(short)}</text>'
