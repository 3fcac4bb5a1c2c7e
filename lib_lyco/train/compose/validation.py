"""The images held out for validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lib_lyco.errors import ConfigError
from lib_lyco.train.compose.data import make_latents, make_source
from lib_lyco.train.compose.datasets import make_datasets
from lib_lyco.train.compose.held_out import held_out
from lib_lyco.train.compose.text import make_variations
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.plan import Length, Plan, make_plan
from lib_lyco.train.save_rules import Every
from lib_lyco.train.step import Learning
from lib_lyco.train.validation import Validation

_ONCE = Length(epochs=1, max_steps=None, accumulation=1)


def make_validation(config: TrainConfig, learning: Learning) -> Validation | None:
    """What a run is validated with; None if it is not.

    Raises:
        ConfigError: The share is too small for a single image.
        DataError: An image, a caption or the folder cannot be used.
    """
    plan = _plan(config)
    if plan is None:
        return None
    source = make_source(config, plan)
    images = replace(
        learning,
        plan=plan,
        source=source,
        latents=make_latents(config, learning.model, source),
        variations=make_variations(config, plan),
    )
    steps = config.validate_every_n_steps
    epochs = config.validate_every_n_epochs or (0 if steps else 1)
    every = Every(epochs, steps)
    return Validation(images, every, config.validation_seed, config.batch_size, config.max_validation_steps)


def _plan(config: TrainConfig) -> Plan | None:
    if config.validation_images:
        folder = Path(config.validation_images)
        datasets, notes = make_datasets(
            config.replaced(images=str(folder), reg_images="", metadata_file="", dataset_config="")
        )
    elif config.validation_split:
        everything, notes = make_datasets(config)
        datasets = held_out(everything, config.validation_split, config.validation_seed)
        if not datasets:
            raise ConfigError(
                "No image is held out for validation.",
                where="validation_split",
                got=str(config.validation_split),
                remedy="Hold out a larger share, or name validation_images.",
            )
    else:
        return None
    return make_plan(datasets, notes, config.validation_seed, _ONCE)
