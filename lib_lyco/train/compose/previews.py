"""The pictures drawn while a run goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.preview import Draw, Previews
from lib_lyco.train.sample_prompts import Picture, read_prompts, sampler_name
from lib_lyco.train.save_rules import Every


def make_previews(config: TrainConfig, draw: Draw | None, clock: Callable[[], float]) -> Previews | None:
    """What is drawn; None if nothing is.

    Raises:
        ConfigError: There are prompts, but nothing to draw with.
        DataError: The file of prompts cannot be read.
    """
    if not config.sample_prompts:
        return None
    if draw is None:
        raise ConfigError(
            "Nothing here can draw the sample prompts.",
            where="sample_prompts",
            got=config.sample_prompts,
            remedy="Leave it out.",
        )
    prompts = Path(config.sample_prompts)
    default = Picture(
        prompt="",
        size=config.resolution,
        sampler=sampler_name(config.sample_sampler),
        clip_skip=config.clip_skip,
    )
    read_prompts(prompts, default)
    return Previews(
        draw=draw,
        prompts=prompts,
        default=default,
        every=Every(config.sample_every_n_epochs, config.sample_every_n_steps),
        folder=Path(config.output) / "sample",
        name=config.name,
        seed=config.seed,
        clock=clock,
        at_first=config.sample_at_first,
        without_network=config.sample_without_network,
    )
