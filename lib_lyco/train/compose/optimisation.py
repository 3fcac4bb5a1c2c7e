"""Optimiser, its groups, its schedule and loss scaling."""

from __future__ import annotations

from lib_lyco.train.compose.network import component_rates
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.optim import Group, LossScaler, Optimisation, schedule_factor
from lib_lyco.train.plan import Plan
from lib_lyco.train.precision import Precision


def make_optimisation(
    config: TrainConfig, network: TrainableNetwork, plan: Plan, precision: Precision
) -> Optimisation:
    """What turns gradients into updates."""
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
        for component, rate in component_rates(config).items()
    ]
    return Optimisation(
        groups=[group for group in groups if group.parameters],
        factor=schedule_factor(config.scheduler, config.warmup_steps, plan.total_steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        scaler=LossScaler() if precision.scales_loss else None,
    )
