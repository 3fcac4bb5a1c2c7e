"""Images, captions and their plan; latents and conds of them."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import BaseModel
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.bucket import Bucketing
from lib_lyco.train.data.image import parse_colour
from lib_lyco.train.data.latent import CachedLatents, FreshLatents, LatentSource
from lib_lyco.train.data.record import scan_folder
from lib_lyco.train.data.source import ImageSource
from lib_lyco.train.option import declarations
from lib_lyco.train.options.subset import SubsetOptions
from lib_lyco.train.plan import Length, Plan, make_plan


def plan_run(config: TrainConfig) -> Plan:
    """What a run will do, without a base model.

    Raises:
        ConfigError: `images` is not set.
        DataError: An image, a caption or the folder cannot be used.
    """
    if not config.images:
        raise ConfigError(
            "There are no images to train on.", where="images", remedy="Name a folder of images."
        )
    bucketing = Bucketing(
        resolution=config.resolution,
        enabled=config.buckets,
        smallest=config.bucket_min,
        largest=config.bucket_max,
        step=config.bucket_step,
        upscale=config.bucket_upscale,
    )
    scan = scan_folder(Path(config.images), _own(config))
    length = Length(config.epochs, config.max_steps, config.accumulation)
    return make_plan(scan, bucketing, config.batch_size, config.seed, length)


def _own(config: TrainConfig) -> SubsetOptions:
    """The run's values of what a subset may set for itself."""
    names = {declaration.name for declaration in declarations(TrainConfig)}
    shared = [one.name for one in declarations(SubsetOptions) if one.name in names]
    return SubsetOptions(**{name: getattr(config, name) for name in shared})


def make_source(config: TrainConfig, plan: Plan) -> ImageSource:
    """Where pixels come from."""
    return ImageSource(
        records=plan.records,
        placements=plan.placements,
        seed=config.seed,
        background=parse_colour(config.background),
        flip=config.flip,
        random_crop=config.random_crop,
    )


def make_latents(config: TrainConfig, model: BaseModel, source: ImageSource) -> LatentSource:
    """Where latents come from."""

    def encode(images: Tensor) -> Tensor:
        return model.encode_images(images.to(model.device))

    if config.latent_cache == "off":
        return FreshLatents(source, encode, config.workers)
    folder = Path(config.cache_folder) if config.cache_folder else Path(config.output) / "latent_cache"
    return CachedLatents(source, encode, folder if config.latent_cache == "disk" else None, config.workers)
