"""Composition: a config and a base model become a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from lib_lyco.models.base import BaseModel
from lib_lyco.models.presence import presence_on
from lib_lyco.train.average import Average
from lib_lyco.train.compose.data import make_latents, make_source, plan_run
from lib_lyco.train.compose.logging import make_logs
from lib_lyco.train.compose.model import halve, settle
from lib_lyco.train.compose.network import base_networks, learns_text, make_network
from lib_lyco.train.compose.objective import make_objective
from lib_lyco.train.compose.optimisation import make_optimisation
from lib_lyco.train.compose.previews import make_previews
from lib_lyco.train.compose.saving import make_facts, make_saver, make_saving, make_states
from lib_lyco.train.compose.text import make_texts, make_variations
from lib_lyco.train.compose.validation import make_validation
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.control import Control
from lib_lyco.train.events import Event
from lib_lyco.train.heap import heap_kept
from lib_lyco.train.identity import run_identity
from lib_lyco.train.log import logged
from lib_lyco.train.loop import Run, run_loop
from lib_lyco.train.metadata import BaseFacts, network_metadata, progress_metadata
from lib_lyco.train.plan import Plan
from lib_lyco.train.precision import make_precision
from lib_lyco.train.prepare import compact, prepared
from lib_lyco.train.preview import Draw, Previews
from lib_lyco.train.recovery import Recovery
from lib_lyco.train.state import State, StateStore
from lib_lyco.train.step import Learning
from lib_lyco.train.untagged import demand_captions
from lib_lyco.train.world import World


def train(
    config: TrainConfig,
    model: BaseModel,
    control: Control | None = None,
    clock: Callable[[], float] = time.time,
    draw: Draw | None = None,
    world: World | None = None,
) -> Iterator[Event]:
    """Trains a network on a base model; yields what happens. The model is put back at the end.

    Args:
        config: What to do.
        model: The base model, loaded; its weights are not changed.
        control: Stops, pauses, saves and draws from outside, at the next step.
        clock: Seconds since 1970 (UTC), for progress and for the dates in the file's metadata.
        draw: Draws the sample prompts.
        world: The processes that train together; this one alone if it is not given.

    Raises:
        ConfigError: An option cannot work with this model or these images, or images lack captions.
        DataError: An image, a caption or the folder cannot be used.
        TrainingError: The run cannot go on; see `run_loop`.
        FileError: The network cannot be written.
        MissingPackageError: lycoris-lora cannot be imported.
    """
    config, model = settle(config, model)
    world = world or World()
    plan = plan_run(config, world.size)
    if not config.allow_untagged:
        demand_captions(plan)
    base = make_facts(config, model)
    states = make_states(config, run_identity(config, plan, base) | {"processes": str(world.size)})
    resumed = states.find(config.resume)
    presence = presence_on(model)
    with (
        heap_kept(model.device),
        prepared(model, config.gradient_checkpointing, presence),
        base_networks(config, model, presence),
    ):
        learning = replace(_learning(config, model, plan, world, bool(resumed)), presence=presence)
        outside = _Outside(clock, make_previews(config, draw, clock), world)
        run = _run(config, learning, base, states, resumed, outside)
        world.meet()  # all have read what was there before one begins to write
        first_step = resumed.step if resumed else 0
        with compact(model, config.fp8_base), presence.holding(learning.network):
            logs = make_logs(config, run.started_at, first_step) if world.writes else []
            yield from logged(run_loop(run, control or Control()), logs)


@dataclass(frozen=True)
class _Outside:
    """What a run meets beside its config and its model."""

    clock: Callable[[], float]
    previews: Previews | None
    world: World


def _run(
    config: TrainConfig,
    learning: Learning,
    base: BaseFacts,
    states: StateStore,
    resumed: State | None,
    outside: _Outside,
) -> Run:
    """The run, where the state to go on from has been taken up."""
    model, network, plan = learning.model, learning.network, learning.plan
    clock, world = outside.clock, outside.world
    average = Average(network, config.ema_decay) if config.ema_decay else None
    if resumed:
        network.load(resumed.network)
        learning.optimisation.load(resumed.optimisation)
        if average:
            average.load(resumed.average)
    started_at = resumed.started_at if resumed else clock()
    validation = make_validation(config, learning, world)
    held_out = len(validation.images.plan.records) if validation else 0
    fixed = network_metadata(config, plan, base, started_at, world.size, held_out)
    saver = make_saver(
        config, model, network, partial(_metadata, fixed, clock if config.metadata else None)
    )
    return Run(
        learning=learning,
        saving=make_saving(config, saver, states, plan, average),
        started_at=started_at,
        clock=clock,
        resumed=resumed,
        validation=validation,
        previews=outside.previews,
        world=world,
        recovery=Recovery(config.on_nan == "recover", config.on_out_of_memory == "recover"),
    )


def _learning(config: TrainConfig, model: BaseModel, plan: Plan, world: World, resumed: bool) -> Learning:
    """Everything that an update is made from, as it is before the first one."""
    network = make_network(config, model, resumed)
    halve(config, network)
    source = make_source(config, plan)
    precision = make_precision(config.precision, model.device, model.dtype)
    optimisation = make_optimisation(config, model, network, plan, precision)
    plan = replace(plan, notes=(*plan.notes, *optimisation.notes))
    texts = make_texts(config, model, plan, learns_text(network))
    return Learning(
        model=model,
        network=network,
        plan=plan,
        source=source,
        latents=make_latents(config, model, source, world),
        variations=make_variations(config, plan),
        texts=texts,
        objective=make_objective(config, model, network, texts.of),
        optimisation=optimisation,
        precision=precision,
        gradient_checkpointing=config.gradient_checkpointing,
    )


def _metadata(
    fixed: Mapping[str, str], clock: Callable[[], float] | None, step: int, epoch: int
) -> dict[str, str]:
    """What a file says; without a clock, nothing of how far the run is."""
    return {**fixed, **(progress_metadata(step, epoch, clock()) if clock else {})}
