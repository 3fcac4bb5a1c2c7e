"""The network to train, and its learning rates."""

from __future__ import annotations

from collections.abc import Mapping

from lib_lyco.models.base import BaseModel
from lib_lyco.naming.layer import Component
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.layer_choice import LayerChoice
from lib_lyco.train.network import AlgoSettings, TrainableNetwork, build_network

TEXT_ENCODERS: tuple[Component, ...] = ("te1", "te2", "te3")


def component_rates(config: TrainConfig) -> Mapping[Component, float]:
    """The learning rate of each component; 0 leaves it out."""

    def rate(own: float | None) -> float:
        return config.learning_rate if own is None else own

    rates: dict[Component, float] = dict.fromkeys(TEXT_ENCODERS, rate(config.te_learning_rate))
    return {"unet": rate(config.unet_learning_rate), **rates}


def make_network(config: TrainConfig, model: BaseModel) -> TrainableNetwork:
    """Trainable layers on the chosen layers of the model; nothing is attached yet."""
    choice = LayerChoice(
        components=[name for name, rate in component_rates(config).items() if rate > 0],
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


def learns_text(network: TrainableNetwork) -> bool:
    """Whether a text encoder has trainable layers."""
    return any(layer.layer.component in TEXT_ENCODERS for layer in network)
