"""Composition: a config and a base model become a run. The only reader of `TrainConfig`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import BaseModel
from lib_lyco.naming.layer import Component
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.bucket import Bucketing
from lib_lyco.train.data.image import parse_colour
from lib_lyco.train.data.latent import CachedLatents, FreshLatents, LatentSource
from lib_lyco.train.data.record import scan_folder
from lib_lyco.train.data.source import ImageSource
from lib_lyco.train.events import Event
from lib_lyco.train.identity import run_identity
from lib_lyco.train.layer_choice import LayerChoice
from lib_lyco.train.loop import Run, Saving, Stop, run_loop
from lib_lyco.train.metadata import BaseFacts, base_facts, network_metadata, progress_metadata
from lib_lyco.train.network import AlgoSettings, TrainableLayer, TrainableNetwork, build_network
from lib_lyco.train.objective import Objective
from lib_lyco.train.optim import Group, LossScaler, Optimisation, schedule_factor
from lib_lyco.train.plan import Length, Plan, make_plan
from lib_lyco.train.precision import DTYPES, Precision, make_precision
from lib_lyco.train.prepare import prepared
from lib_lyco.train.save import Metadata, Saver
from lib_lyco.train.state import StateStore
from lib_lyco.train.text import Texts

_TEXT_ENCODERS: tuple[Component, ...] = ("te1", "te2", "te3")


def train(
    config: TrainConfig,
    model: BaseModel,
    stop: Stop | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Event]:
    """Trains a network on a base model; yields what happens. The model is put back at the end.

    Args:
        config: What to do.
        model: The base model, loaded; its weights are not changed.
        stop: Ends the run at its next step when requested.
        clock: Seconds since 1970 (UTC), for progress and for the dates in the file's metadata.

    Raises:
        ConfigError: An option cannot work with this model or these images.
        DataError: An image, a caption or the folder cannot be used.
        TrainingError: The run cannot go on; see `run_loop`.
        FileError: The network cannot be written.
        MissingPackageError: lycoris-lora cannot be imported.
    """
    plan = plan_run(config)
    base = _base(config, model)
    states = StateStore(
        Path(config.output), config.name, config.keep_states, run_identity(config, plan, base)
    )
    resumed = states.find(config.resume)
    started_at = resumed.started_at if resumed else clock()
    precision = make_precision(config.precision, model.device, model.dtype)
    with prepared(model, config.gradient_checkpointing):
        network = _network(config, model)
        source = ImageSource(
            records=plan.records,
            placements=plan.placements,
            seed=config.seed,
            background=parse_colour(config.background),
            flip=config.flip,
            random_crop=config.random_crop,
        )
        optimisation = _optimisation(config, network, plan, precision)
        if resumed:
            network.load(resumed.network)
            optimisation.load(resumed.optimisation)
        fixed = network_metadata(config, plan, base, started_at)
        run = Run(
            model=model,
            network=network,
            plan=plan,
            source=source,
            latents=_latents(config, model, source),
            texts=Texts(
                model, config.clip_skip, learning=any(_of(network, name) for name in _TEXT_ENCODERS)
            ),
            objective=Objective(config.min_snr_gamma),
            optimisation=optimisation,
            precision=precision,
            saving=_saving(config, model, network, partial(_metadata, fixed, clock)),
            states=states,
            started_at=started_at,
            clock=clock,
            resumed=resumed,
        )
        with network:
            yield from run_loop(run, stop or Stop())


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
    scan = scan_folder(Path(config.images), config.repeats, config.caption_extension)
    length = Length(config.epochs, config.max_steps, config.accumulation)
    return make_plan(scan, bucketing, config.batch_size, config.seed, length)


def _rates(config: TrainConfig) -> Mapping[Component, float]:
    def rate(own: float | None) -> float:
        return config.learning_rate if own is None else own

    rates: dict[Component, float] = dict.fromkeys(_TEXT_ENCODERS, rate(config.te_learning_rate))
    return {"unet": rate(config.unet_learning_rate), **rates}


def _network(config: TrainConfig, model: BaseModel) -> TrainableNetwork:
    choice = LayerChoice(
        components=[name for name, rate in _rates(config).items() if rate > 0],
        conv=config.conv_rank_used > 0,
        ia3=config.algo == "ia3",
    )
    settings = AlgoSettings(
        algo=config.algo,
        rank=config.rank,
        alpha=config.alpha,
        conv_rank=config.conv_rank_used,
        conv_alpha=config.alpha if config.conv_alpha is None else config.conv_alpha,
        tucker=config.tucker,
        rs_lora=config.rs_lora,
        dora=config.dora,
        factor=config.factor,
        decompose_both=config.decompose_both,
        block_size=config.block_size,
        constraint=config.constraint,
    )
    return build_network(choice.choose(model.targets()), settings, config.seed, model.device)


def _of(network: TrainableNetwork, component: Component) -> list[TrainableLayer]:
    return [layer for layer in network if layer.layer.component == component]


def _latents(config: TrainConfig, model: BaseModel, source: ImageSource) -> LatentSource:
    def encode(images: Tensor) -> Tensor:
        return model.encode_images(images.to(model.device))

    if config.latent_cache == "off":
        return FreshLatents(source, encode, config.workers)
    folder = Path(config.cache_folder) if config.cache_folder else Path(config.output) / "latent_cache"
    return CachedLatents(source, encode, folder if config.latent_cache == "disk" else None, config.workers)


def _optimisation(
    config: TrainConfig, network: TrainableNetwork, plan: Plan, precision: Precision
) -> Optimisation:
    rates = _rates(config)
    groups = [
        Group(
            name=component,
            parameters=[
                parameter
                for layer in network
                if layer.layer.component == component
                for parameter in layer.parameters
            ],
            learning_rate=rate,
        )
        for component, rate in rates.items()
    ]
    return Optimisation(
        groups=[group for group in groups if group.parameters],
        factor=schedule_factor(config.scheduler, config.warmup_steps, plan.total_steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        scaler=LossScaler() if precision.scales_loss else None,
    )


def _base(config: TrainConfig, model: BaseModel) -> BaseFacts:
    path = Path(config.base_model) if config.base_model else None
    return base_facts(model.family, model.schedule.prediction, model.name, path)


def _saving(config: TrainConfig, model: BaseModel, network: TrainableNetwork, metadata: Metadata) -> Saving:
    saver = Saver(
        folder=Path(config.output),
        name=config.name,
        network=network,
        family=model.family,
        dtype=DTYPES[config.save_precision],
        metadata=metadata,
        resumed=bool(config.resume),
    )
    return Saving(saver, config.save_every_epochs, config.save_every_steps)


def _metadata(
    fixed: Mapping[str, str], clock: Callable[[], float], step: int, epoch: int
) -> dict[str, str]:
    return {**fixed, **progress_metadata(step, epoch, clock())}
