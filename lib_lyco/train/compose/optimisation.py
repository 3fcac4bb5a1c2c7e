"""Optimiser, its groups, its schedule and loss scaling."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import BaseModel
from lib_lyco.naming.layer import Component
from lib_lyco.train.blocks import block_of
from lib_lyco.train.compose.network import TEXT_ENCODERS, component_rates
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.groups import Rates, make_groups
from lib_lyco.train.layer import TrainableLayer
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.norm_limit import limit_norms
from lib_lyco.train.optim import Group, Limits, LossScaler, Optimisation
from lib_lyco.train.optimisers import OptimiserChoice, build_optimiser, find_recipe
from lib_lyco.train.plan import Plan
from lib_lyco.train.precision import Precision
from lib_lyco.train.schedules import (
    ADAFACTOR,
    Factor,
    ScheduleSettings,
    relative_step_rates,
    schedule_factor,
)

_POLYNOMIAL_END = 1e-7
"""The learning rate at which polynomial ends (transformers, sd-scripts)."""
_USUAL_LOWEST = 0.1
"""Below it a learning rate is told to be low for what finds its step size itself (sd-scripts)."""


def make_optimisation(
    config: TrainConfig, model: BaseModel, network: TrainableNetwork, plan: Plan, precision: Precision
) -> Optimisation:
    """What turns gradients into updates.

    Raises:
        ConfigError: Learning rates, optimiser and schedule do not fit each other or the model.
        MissingPackageError: The optimiser's package cannot be imported.
    """
    _check_encoders(config, model)
    groups = make_groups(network, _rates(config, model, plan))
    _demand_learning(config, groups, plan.total_steps)
    notes = _check_rates(config, groups)
    built = build_optimiser(
        OptimiserChoice(config.optimizer_type, config.optimiser_arguments),
        [{"params": list(group.parameters), "lr": group.learning_rate} for group in groups],
        model.device,
    )
    shorten = None
    if config.scale_weight_norms:
        shorten = partial(limit_norms, tuple(network), config.scale_weight_norms)
    return Optimisation(
        groups=groups,
        factor=make_factor(config, plan.total_steps),
        built=replace(built, notes=(*built.notes, *notes)),
        limits=Limits(config.max_grad_norm, shorten),
        scaler=LossScaler() if precision.scales_loss else None,
    )


def make_factor(config: TrainConfig, total: int) -> Factor:
    """What the learning rates are multiplied by in each step of a run.

    Raises:
        ConfigError: The warmup is longer than the run, or a rule cannot be read.
    """
    if config.scheduler == ADAFACTOR:
        return relative_step_rates(bool(config.optimiser_arguments.get("warmup_init", False)))
    warmup = config.warmup_steps or round(config.warmup_share * total)
    decay = config.decay_steps or round(config.decay_share * total)
    if warmup + decay > total:
        raise ConfigError(
            "Warmup and decay are longer than the run.",
            where="warmup_steps, decay_steps",
            got=f"{warmup} and {decay} steps",
            expected=f"together at most {total}",
        )
    rate = config.learning_rate
    return schedule_factor(
        ScheduleSettings(
            name=config.scheduler,
            total=total,
            warmup=warmup,
            decay=decay,
            cycles=config.scheduler_cycles,
            power=config.scheduler_power,
            end=_POLYNOMIAL_END / rate if rate > _POLYNOMIAL_END else 0.0,
            min_ratio=config.scheduler_min_ratio,
            timescale=config.scheduler_timescale,
            rules=config.scheduler_rules,
        )
    )


def _check_encoders(config: TrainConfig, model: BaseModel) -> None:
    found = [name for name in TEXT_ENCODERS if model.component(name) is not None]
    if len(config.te_rates) > 1 and len(config.te_rates) != len(found):
        raise ConfigError(
            "There are not as many learning rates as text encoders.",
            where="te_learning_rate",
            got=f"{len(config.te_rates)} rates",
            expected=f"one, or one for each of {', '.join(found)}",
        )


def _demand_learning(config: TrainConfig, groups: Iterable[Group], total: int) -> None:
    if all(group.until is not None and group.until < total for group in groups):
        names = ("unet_stop_epochs", "unet_stop_steps", "te_stop_epochs", "te_stop_steps")
        raise ConfigError(
            "Everything is frozen before the run ends.",
            where=next((name for name in names if getattr(config, name)), "epochs"),
            got=", ".join(f"{group.name} from step {group.until}" for group in groups),
            expected=f"one that goes on to the last step, {total}",
            remedy="Let one of them go on, or shorten the run.",
        )


def _until(share: float, epochs: int, steps: int, plan: Plan) -> int | None:
    """The step at which a component is frozen; None is never."""
    if epochs:
        ends = plan.epoch_ends
        return ends[epochs - 1] if epochs <= len(ends) else None
    return steps or (round(share * plan.total_steps) if share else None)


def _rates(config: TrainConfig, model: BaseModel, plan: Plan) -> Rates:
    ratio = config.loraplus_lr_ratio
    ratios = _by_component(
        config.loraplus_unet_lr_ratio or ratio or 1.0, config.loraplus_text_encoder_lr_ratio or ratio or 1.0
    )
    unet = _until(config.unet_stop_share, config.unet_stop_epochs, config.unet_stop_steps, plan)
    text = _until(config.te_stop_share, config.te_stop_epochs, config.te_stop_steps, plan)
    until: dict[Component, int | None] = {"unet": unet, **dict.fromkeys(TEXT_ENCODERS, text)}
    given = component_rates(config)
    trained: dict[Component, float] = {name: float(rate > 0) for name, rate in given.items()}
    return Rates(
        components=trained if config.scheduler == ADAFACTOR else given,
        up_ratios=ratios,
        until={name: step for name, step in until.items() if step is not None},
        block_weight=_block_weight(config, model),
    )


def _by_component(unet: float, text: float) -> dict[Component, float]:
    return {"unet": unet, **dict.fromkeys(TEXT_ENCODERS, text)}


def _block_weight(
    config: TrainConfig, model: BaseModel
) -> Callable[[TrainableLayer], tuple[str, float]] | None:
    if not config.block_weights:
        return None
    weights = config.block_weights.by_block(model.family)

    def of(layer: TrainableLayer) -> tuple[str, float]:
        block = block_of(layer.layer, model.family)
        assert block is not None, "a layer of the UNet has a block"
        return str(block), weights[block]

    return of


def _check_rates(config: TrainConfig, groups: list[Group]) -> tuple[str, ...]:
    """What is to be said of the learning rates.

    Raises:
        ConfigError: Several, for an optimiser that allows one.
    """
    rates = sorted({group.learning_rate for group in groups})
    if config.scheduler == ADAFACTOR and len(rates) > 1:
        raise ConfigError(
            "Adafactor's relative steps ignore all learning rates.",
            where="scheduler",
            got="rates that differ: " + ", ".join(group.name for group in groups),
            remedy="Remove block weights and LoRA+ ratios, or choose another scheduler.",
        )
    if not find_recipe(config.optimizer_type).one_rate:
        return ()
    if len(rates) > 1:
        raise ConfigError(
            f"{config.optimizer_type} finds its step size itself and allows one learning rate.",
            where="learning_rate",
            got=", ".join(f"{group.name} {group.learning_rate:g}" for group in groups),
            expected="the same everywhere; 1 is usual",
        )
    if rates[0] < _USUAL_LOWEST:
        return (
            f"{config.optimizer_type} finds its step size itself; {rates[0]:g} of it is low, 1 is usual.",
        )
    return ()
