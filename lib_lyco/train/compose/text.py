"""The captions of samples, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from lib_lyco.models.base import BaseModel, TextStyle
from lib_lyco.models.chunks import count_tokens
from lib_lyco.models.tokenizer import clip_tokenizer
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.record import ImageRecord
from lib_lyco.train.data.variation import Variations, varies
from lib_lyco.train.option import wrong
from lib_lyco.train.plan import Plan
from lib_lyco.train.text import TextEncoding, Texts


def make_variations(config: TrainConfig, plan: Plan) -> Variations:
    """What the captions become when they are shown."""
    weighted = config.weighted_captions != "off"
    return Variations(plan.records, config.seed, plan.total_steps, weighted)


def text_style(config: TrainConfig) -> TextStyle:
    """How captions become chunks of tokens, and what their brackets mean."""
    return TextStyle(
        chunks=cast(Literal["webui", "kohya"], config.long_captions),
        weights=cast(Literal["off", "webui", "kohya"], config.weighted_captions),
        max_tokens=config.max_token_length,
    )


def length_notes(config: TrainConfig, records: Sequence[ImageRecord]) -> list[str]:
    """Captions of which not all is read.

    Raises:
        MissingPackageError: Captions are long, but CLIP's vocabulary is not installed.
    """
    style, limit = text_style(config), config.max_token_length
    # a token is one byte or more, so most captions need not be looked at
    long = [record for record in records if len(record.caption.encode()) > limit]
    cut = [
        record
        for record in long
        if any(count_tokens(clip_tokenizer(), line, style) > limit for line in record.caption.split("\n"))
    ]
    if not cut:
        return []
    return [
        f"{len(cut)} captions have more than {limit} tokens (max_token_length), what is over is not read: "
        f"the first is that of {cut[0].path.name}."
    ]


def make_texts(config: TrainConfig, model: BaseModel, plan: Plan, learning: bool) -> Texts:
    """Where conds come from.

    Raises:
        ConfigError: An option is for another base model, or captions that vary are to be kept on disk.
    """
    _demand_text_encoders(config, model, plan)
    folder = None
    if config.text_cache == "disk":
        _demand_fixed(plan, learning)
        folder = Path(config.cache_folder) if config.cache_folder else Path(config.output) / "text_cache"
    encoding = TextEncoding(model, config.clip_skip, text_style(config))
    return Texts(encoding, learning=learning, keep=config.text_cache != "off", folder=folder)


def _demand_text_encoders(config: TrainConfig, model: BaseModel, plan: Plan) -> None:
    if model.family == "sdxl":
        if config.clip_skip != 1:
            remedy = "SDXL is always read at its last but one layer, in the WebUI too."
            raise wrong("clip_skip", config.clip_skip, "1 for SDXL", remedy)
        return
    for name in ("caption_dropout_rate_te1", "caption_dropout_rate_te2"):
        rate = max(getattr(record.subset, name) for record in plan.records)
        if rate:
            raise wrong(name, rate, f"0 for {model.family}", "Use caption_dropout_rate.")


def _demand_fixed(plan: Plan, learning: bool) -> None:
    if learning:
        remedy = "Or set te_learning_rate to 0: conds change while a text encoder is trained."
        raise wrong("text_cache", "disk", "memory or off", remedy)
    if any(varies(record.subset) for record in plan.records):
        remedy = "Captions that are shuffled, drawn or cut are new each time."
        raise wrong("text_cache", "disk", "memory or off", remedy)
