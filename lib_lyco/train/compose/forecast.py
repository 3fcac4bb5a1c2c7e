"""What a run will be: every part is made as the run makes it, without the base model's weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from lib_lyco.models.base import Hollow
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.train.compose.data import make_latents, make_source, plan_run
from lib_lyco.train.compose.model import halve, settle
from lib_lyco.train.compose.network import base_networks, learns_text, make_network
from lib_lyco.train.compose.objective import make_objective
from lib_lyco.train.compose.optimisation import make_factor, make_optimisation
from lib_lyco.train.compose.saving import make_saver, make_saving, make_states
from lib_lyco.train.compose.text import make_texts, text_style
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.forecast.content import (
    Forecast,
    MemoryForecast,
    NetworkForecast,
    TimeForecast,
)
from lib_lyco.train.forecast.data import forecast_data
from lib_lyco.train.forecast.memory import (
    LargestBatch,
    Reading,
    activation_bytes,
    base_bytes,
    largest_batch,
    state_bytes,
)
from lib_lyco.train.forecast.network import forecast_blocks, forecast_file, forecast_groups
from lib_lyco.train.forecast.pace import DECISIVE, forecast_time
from lib_lyco.train.forecast.remarks import Remarks, alpha_notes
from lib_lyco.train.forecast.weightless import Weightless
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.optim import Optimisation
from lib_lyco.train.optimisers import find_recipe
from lib_lyco.train.plan import Plan
from lib_lyco.train.precision import DTYPES, choose_precision, make_precision
from lib_lyco.train.world import World


def make_forecast(
    config: TrainConfig, checkpoint: Path, device: torch.device, processes: int = 1
) -> Forecast:
    """What a run of this config would be. Nothing is written.

    What cannot be done is told in the remarks, all of it at once where parts do not depend on each other.

    Args:
        config: What to do.
        checkpoint: The base model's file; only its header is read.
        device: Where the run would be; decides its precision.
        processes: How many train together; images and steps are those of all, memory is that of each.
    """
    from lib_lyco.models.hollow import hollow_model  # it imports diffusers, which few WebUIs have

    return forecast_on(
        config, lambda dtype: hollow_model(open_checkpoint(checkpoint), dtype), device, processes
    )


def forecast_on(
    config: TrainConfig,
    open_model: Callable[[torch.dtype], Hollow],
    device: torch.device,
    processes: int = 1,
) -> Forecast:
    """As `make_forecast`, on whatever base model without weights `open_model` makes."""
    remarks = Remarks()
    plan = remarks.tried("images", lambda: plan_run(config, processes))
    if plan:
        remarks.of_plan(plan, config.allow_untagged)
    dtype = DTYPES[choose_precision(config.precision, device)]
    model = remarks.tried("base_model", lambda: open_model(dtype))
    settled = remarks.tried("base_family", lambda: settle(config, model)[0]) if model else None
    network = optimisation = None
    if model and settled:
        network = remarks.tried("algo", lambda: _network(settled, model))
    if plan and model and settled and network:
        optimisation = remarks.tried(
            "optimizer_type", lambda: _optimisation(settled, model, network, plan, device)
        )
        _try_the_rest(remarks, settled, model, network, plan)
    if network:
        remarks.warn("alpha", alpha_notes(network))
    told = memory = time = None
    if plan and model and settled and network and optimisation:
        remarks.warn("optimizer_type", optimisation.notes)
        told = _told(settled, model, network, plan, optimisation)
        batch = largest_batch(plan, processes)
        memory = _memory(settled, model, network, batch, optimisation)
        time = _time(settled, model, plan, processes)
    return Forecast(forecast_data(plan) if plan else None, told, memory, time, remarks.found)


def _network(config: TrainConfig, model: Hollow) -> TrainableNetwork:
    with Weightless():
        network = make_network(config, model, resumed=True)
        halve(config, network)
    return network


def _optimisation(
    config: TrainConfig, model: Hollow, network: TrainableNetwork, plan: Plan, device: torch.device
) -> Optimisation:
    precision = make_precision(config.precision, device, model.dtype)
    return make_optimisation(config, model, network, plan, precision)


def _try_the_rest(
    remarks: Remarks, config: TrainConfig, model: Hollow, network: TrainableNetwork, plan: Plan
) -> None:
    """What nothing is to be told of, but that it can be made."""
    remarks.tried("base_weights", lambda: base_networks(config, model))
    remarks.tried("latent_cache", lambda: make_latents(config, model, make_source(config, plan), World()))
    texts = remarks.tried("text_cache", lambda: make_texts(config, model, plan, learns_text(network)))
    if texts:
        remarks.tried("loss_type", lambda: make_objective(config, model, network, texts.of))
    saver = make_saver(config, model, network, lambda _step, _epoch: {})
    states = make_states(config, {})
    remarks.tried("output", lambda: make_saving(config, saver, states, plan, None))


def _told(
    config: TrainConfig,
    model: Hollow,
    network: TrainableNetwork,
    plan: Plan,
    optimisation: Optimisation,
) -> NetworkForecast:
    dtype, total = DTYPES[config.save_precision], plan.total_steps
    return NetworkForecast(
        base=model.name,
        family=model.family,
        precision=config.precision,
        blocks=forecast_blocks(network, model.family, dtype),
        file=forecast_file(network, model.family, dtype),
        groups=forecast_groups(optimisation.groups, make_factor(config, total), total),
        steps_by_itself=find_recipe(config.optimizer_type).one_rate,
    )


def _memory(
    config: TrainConfig,
    model: Hollow,
    network: TrainableNetwork,
    batch: LargestBatch,
    optimisation: Optimisation,
) -> MemoryForecast:
    size = DTYPES[config.precision].itemsize if config.full_half else torch.float32.itemsize
    count = sum(parameter.numel() for parameter in optimisation.parameters)
    copies = 3 if config.ema_decay else 2
    reading = Reading(config.clip_skip, text_style(config), learns_text(network))
    return MemoryForecast(
        weights=base_bytes(model, [model.vae], config.fp8_base),
        adapters=copies * count * size,
        optimiser=state_bytes(optimisation.optimiser, count, size),
        activations=activation_bytes(model, network, batch, reading, config.gradient_checkpointing),
        batch=str(batch),
    )


def _time(config: TrainConfig, model: Hollow, plan: Plan, processes: int) -> TimeForecast:
    options: Mapping[str, str] = {name: json.dumps(getattr(config, name)) for name in DECISIVE}
    wanted = {**options, "base model": model.family, "processes": str(processes)}
    return forecast_time(Path(config.output), wanted, plan.total_steps)
