"""Images, captions and their plan; latents and conds of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from lib_lyco.models.base import BaseModel
from lib_lyco.train.compose.datasets import make_datasets
from lib_lyco.train.compose.held_out import kept_in
from lib_lyco.train.compose.text import length_notes
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.encoder import ImageEncoder
from lib_lyco.train.data.image import parse_colour
from lib_lyco.train.data.latent import CachedLatents, CacheSettings, FreshLatents, LatentSource
from lib_lyco.train.data.mask import demand_masks
from lib_lyco.train.data.source import CropConditioning, ImageSource
from lib_lyco.train.options.images import not_kept
from lib_lyco.train.plan import Length, Plan, make_plan
from lib_lyco.train.precision import DTYPES
from lib_lyco.train.world import World


def plan_run(config: TrainConfig, processes: int = 1) -> Plan:
    """What a run will do, without a base model. A batch is what all processes have of it together.

    Raises:
        ConfigError: No images are named, or a value of the dataset_config cannot work.
        DataError: An image, a caption, a folder or a metadata file cannot be used.
    """
    datasets, notes = make_datasets(config)
    datasets = [replace(one, batch_size=one.batch_size * processes) for one in datasets]
    length = Length(config.epochs, config.max_steps, config.accumulation)
    plan = make_plan(kept_in(datasets), notes, config.seed, length)
    demand_masks(plan.records)
    return replace(plan, notes=(*plan.notes, *length_notes(config, plan.records)))


def make_source(config: TrainConfig, plan: Plan) -> ImageSource:
    """Where pixels come from."""
    return ImageSource(
        records=plan.records,
        placements=plan.placements,
        seed=config.seed,
        background=parse_colour(config.background),
        crop_conditioning=cast(CropConditioning, config.crop_conditioning),
    )


def make_latents(config: TrainConfig, model: BaseModel, source: ImageSource, world: World) -> LatentSource:
    """Where latents come from.

    Raises:
        ConfigError: They are to be kept, but a subset's images are new each time.
    """
    encode = ImageEncoder(model, DTYPES[config.vae_precision])
    if config.latent_cache == "off":
        return FreshLatents(source, encode, config.workers, world)
    reason = next((by for record in source.records if (by := record.subset.fresh_by)), "")
    if reason:
        raise not_kept(reason, config.latent_cache)
    folder = Path(config.cache_folder) if config.cache_folder else Path(config.output) / "latent_cache"
    settings = CacheSettings(
        folder=folder if config.latent_cache == "disk" else None,
        workers=config.workers,
        batch_size=config.vae_batch_size or config.batch_size,
        world=world,
    )
    return CachedLatents(source, encode, settings)
