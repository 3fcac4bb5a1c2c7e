"""What the strip below the prompt shows: what the last activation did, and presets to choose from."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lib_lyco.apply.outcome import TagOutcome
from lib_lyco.errors import LycoError, one_line
from lib_lyco.host.applied import AppliedState
from lib_lyco.host.base import Base
from lib_lyco.naming.blocks import block_names
from lib_lyco.prompt.block_names import UNET
from lib_lyco.prompt.edit import place_tags
from lib_lyco.prompt.presets import Presets

_INHERITS = re.compile(r"(?<!\w)X")
"""What stands in a preset for the number that a tag gives."""

CardIdOf = Callable[[str], "str | None"]


def applied_json(state: AppliedState, first: AppliedState, card_id: CardIdOf) -> dict[str, Any]:
    """The last activation, `state`, and the last one of a first pass: a row for each tag."""
    return {
        "serial": state.serial,
        "model": state.model,
        "hires": state.hires,
        "rows": _rows(first if state.hires else state, card_id),
        "hires_rows": _rows(state, card_id) if state.hires else [],
        "problems": state.problems,
    }


def _rows(state: AppliedState, card_id: CardIdOf) -> list[dict[str, Any]]:
    rows = [_row(one, state.hires, card_id) for one in state.tags]
    return [*rows, *(_failed(error, card_id) for error in state.errors)]


def _row(one: TagOutcome, hires: bool, card_id: CardIdOf) -> dict[str, Any]:
    te, unet = one.request.strengths(hires)
    return {
        "tag": one.request.tag,
        "name": one.request.name,
        "card_id": card_id(one.request.name),
        "te": te.first,
        "unet": unet.first,
        "applied": one.applied,
        "total": one.total,
        "problem": one.problem,
    }


def _failed(error: LycoError, card_id: CardIdOf) -> dict[str, Any]:
    """A tag that asks for nothing: its error begins with where it stands."""
    tags = place_tags(error.where)
    place = " ".join(f"{error.where}: ".split())
    tag = tags[0].tag if tags and tags[0].start == 0 else None
    name = tag.name.strip() if tag else ""
    return {
        "tag": str(tag) if tag else "",
        "name": name,
        "card_id": card_id(name) if name else None,
        "te": 0.0,
        "unet": 0.0,
        "applied": 0,
        "total": 0,
        "problem": one_line(error).removeprefix(place).strip(),
    }


def presets_json(presets: Presets, base: Base) -> dict[str, Any]:
    """All block presets, with the weights of those that need no number from the tag."""
    return {
        "blocks": [{"name": name, "weights": _weights(presets, name)} for name in presets.blocks],
        "elements": [{"name": name, "weights": None} for name in presets.elements],
        "order": block_names(base.family) if base.family else UNET,
        "problems": [one_line(problem) for problem in presets.problems],
    }


def _weights(presets: Presets, name: str) -> dict[str, float] | None:
    preset = presets.blocks[name]
    if isinstance(preset, str) and _INHERITS.search(preset):
        return None
    return dict(presets.weights(name).weights)
