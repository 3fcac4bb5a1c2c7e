"""The x-ray of networks on the base model in use."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from modules import call_queue

from lib_lyco.catalog.facts import sentence
from lib_lyco.errors import ConfigError, FileError, ModelError
from lib_lyco.host.app import HostApp
from lib_lyco.prompt.numbers import read_number
from lib_lyco.tools.xray import Subject, xray
from lib_lyco.tools.xray_drawing import draw_xray

_MAX_NETWORKS = 16


def xray_json(app: HostApp, given: Mapping[str, str]) -> dict[str, Any]:
    """Looks through networks.

    Args:
        app: Whose networks and model.
        given: `ids` of cards, and in their order strengths `te` and `unet`, separated by commas.

    Raises:
        LycoError: There are no such cards, no file can be read, or the base model is none of ours.
    """
    wanted = _wanted(given)
    subjects: dict[str, Subject] = {}
    unread: list[str] = []
    for card_id, (te, unet) in wanted.items():
        card = app.catalog.card(card_id)
        try:
            subjects[card_id] = Subject(replace(app.cache.load(card.path), name=card.name), te, unet)
        except FileError as error:
            unread.append(f"{card.name}: {sentence(error)}")
            if len(unread) == len(wanted):
                raise
    with _host_at_rest():
        family, weight_of = app.engine.weights()
        if family is None:
            raise ModelError(
                "There is no base model of ours to look at networks on", remedy="Load a checkpoint first."
            )
        found = xray(list(subjects.values()), family, weight_of)
    content: dict[str, Any] = _finite(asdict(found))
    for network, card_id in zip(content["networks"], subjects, strict=True):
        network["id"] = card_id
    return {**content, "findings": [*unread, *found.findings], "svg": draw_xray(found)}


def _wanted(given: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Card -> strengths; those of a network that is asked for twice add up, as they do in a picture."""
    ids = [one for one in given.get("ids", "").split(",") if one]
    wanted: dict[str, tuple[float, float]] = {}
    strengths = (_strengths(given.get(name, ""), len(ids)) for name in ("te", "unet"))
    for card_id, te, unet in zip(ids, *strengths, strict=True):
        before = wanted.get(card_id, (0.0, 0.0))
        wanted[card_id] = (before[0] + te, before[1] + unet)
    if not 0 < len(wanted) <= _MAX_NETWORKS:
        raise ConfigError(
            "ids cannot be this", got=str(len(wanted)), expected=f"1 to {_MAX_NETWORKS} cards"
        )
    return wanted


@contextmanager
def _host_at_rest() -> Generator[None]:
    """Keeps the host from drawing, which would move weights and originals; does not wait for a picture.

    Raises:
        ModelError: One is being drawn.
    """
    if not call_queue.queue_lock.acquire(blocking=False):
        raise ModelError("The base model is in use", remedy="Look again when the picture is drawn.")
    try:
        yield
    finally:
        call_queue.queue_lock.release()


def _strengths(text: str, count: int) -> list[float]:
    """Raises PromptError where one is no number."""
    given = [read_number(one) for one in text.split(",")] if text else []
    return (given + [1.0] * count)[:count]


def _finite(value: Any) -> Any:
    """The same with None for what JSON has no word for."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
