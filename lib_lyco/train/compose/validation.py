"""The images held out for validation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import BaseModel
from lib_lyco.train.compose.data import make_latents, make_source
from lib_lyco.train.compose.datasets import make_datasets
from lib_lyco.train.compose.held_out import held_out
from lib_lyco.train.compose.model import settle
from lib_lyco.train.compose.objective import make_objective
from lib_lyco.train.compose.text import make_texts, make_variations
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.plan import Length, Plan, make_plan
from lib_lyco.train.precision import make_precision
from lib_lyco.train.save_rules import Every
from lib_lyco.train.step import Learning, Material
from lib_lyco.train.validation import Validation
from lib_lyco.train.world import World

_ONCE = Length(epochs=1, max_steps=None, accumulation=1)
_SHARE, _MOST_BATCHES = 0.1, 8
"""Of each subset of training images, and how much of it is looked at, where a run held none out."""


@dataclass(frozen=True)
class Judging:
    """What the finished files of a run are compared with."""

    validation: Validation
    held_out: bool
    """Whether the run was not trained on these images; else they are a share of those it was trained on."""

    @property
    def count(self) -> int:
        """How many images are looked at."""
        batches = list(self.validation.batches())[: self.validation.max_batches]
        return sum(map(len, batches))


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


def make_judging(config: TrainConfig, model: BaseModel, world: World) -> Judging:
    """What finished files are judged by, outside of a run: the same loss on the same images as in it.

    Args:
        config: The run's.
        model: Its base. What a file changes is on it whenever the loss is asked for.
        world: The processes that share the work.

    Raises:
        ConfigError: An option cannot work with this model.
        DataError: An image, a caption or the folder cannot be used.
    """
    kept = "off" if config.latent_cache == "off" else "memory"
    config, model = settle(config.replaced(text_cache="off", latent_cache=kept), model)
    plan = _plan(config)
    is_held_out = plan is not None
    if plan is None:
        plan = _share_plan(config)
    source = make_source(config, plan)
    texts = make_texts(config, model, plan, learning=True)
    material = Material(
        model=model,
        plan=plan,
        source=source,
        latents=make_latents(config, model, source, world),
        variations=make_variations(config, plan),
        texts=texts,
        objective=make_objective(config, model, TrainableNetwork([]), texts.of),
        precision=make_precision(config.precision, model.device, model.dtype),
    )
    most = config.max_validation_steps if is_held_out else _MOST_BATCHES
    validation = Validation(material, Every(0, 0), config.validation_seed, config.batch_size, most)
    return Judging(validation, is_held_out)


def _share_plan(config: TrainConfig) -> Plan:
    """A share of the training images, always the same one; of few images as many as there are."""
    everything, notes = make_datasets(config)
    shared = held_out([replace(one, validation_split=_SHARE) for one in everything])
    if not shared:
        images = [
            replace(one, subsets=[part for part in one.subsets if not part.options.regularisation])
            for one in everything
        ]
        shared = [one for one in images if one.subsets]
    return make_plan(shared, notes, config.validation_seed, _ONCE)


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
