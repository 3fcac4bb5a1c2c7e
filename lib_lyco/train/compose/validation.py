"""The images held out for validation."""

from __future__ import annotations

from dataclasses import replace

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
from lib_lyco.train.world import World

_ONCE = Length(epochs=1, max_steps=None, accumulation=1)


def make_validation(config: TrainConfig, learning: Learning, world: World) -> Validation | None:
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
        latents=make_latents(config, learning.model, source, world),
        variations=make_variations(config, plan),
    )
    steps = config.validate_every_n_steps
    epochs = config.validate_every_n_epochs or (0 if steps else 1)
    every = Every(epochs, steps)
    return Validation(images, every, config.validation_seed, config.batch_size, config.max_validation_steps)


def _plan(config: TrainConfig) -> Plan | None:
    if config.validation_images:
        folder = config.replaced(
            images=config.validation_images,
            metadata_file="",
            dataset_config="",
            reg_images="",
            prior_loss_weight=1.0,
            reg_prior_prediction=False,
        )
        datasets, notes = make_datasets(folder)
    elif config.validation_split or config.dataset_config:
        everything, notes = make_datasets(config)
        if not any(dataset.validation_split for dataset in everything):
            return None
        datasets = held_out(everything)
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
