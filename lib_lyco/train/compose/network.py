"""The network to train, its learning rates, and the files it starts from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import BaseModel
from lib_lyco.models.presence import Presence
from lib_lyco.naming.layer import Component
from lib_lyco.network.load import load_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.layer_choice import LayerChoice, chosen_of_file
from lib_lyco.train.network import TrainableNetwork, build_network
from lib_lyco.train.sizes import Sizes, Sizing, recipes_of_file
from lib_lyco.train.start import continue_from, merged_base

TEXT_ENCODERS: tuple[Component, ...] = ("te1", "te2", "te3")


def component_rates(config: TrainConfig) -> Mapping[Component, float]:
    """The learning rate of each component; 0 leaves it out."""
    own = config.unet_learning_rate
    text = config.te_learning_rate or (config.learning_rate,)
    rates: dict[Component, float] = {"unet": config.learning_rate if own is None else own}
    for index, component in enumerate(TEXT_ENCODERS):
        rates[component] = text[min(index, len(text) - 1)]
    return rates


def make_network(config: TrainConfig, model: BaseModel, resumed: bool = False) -> TrainableNetwork:
    """Trainable layers on the chosen layers of the model; nothing is attached yet.

    Args:
        config: What to train.
        model: Its base.
        resumed: Whether the values will come from a state, so that `network_weights` is not needed.

    Raises:
        ConfigError: The options do not fit the model or the file they start from.
        FileError: A network file cannot be read.
    """
    targets, family = model.targets(), model.family
    components: list[Component] = [name for name, rate in component_rates(config).items() if rate > 0]
    start = load_network(Path(config.network_weights)) if _needs_file(config, resumed) else None
    if start and config.dim_from_weights:
        chosen = chosen_of_file(targets, components, start.adapters)
        recipes = recipes_of_file(chosen, _settings(config), start)
    else:
        chosen = _choice(config, components).choose(targets, family)
        recipes = _sizing(config).recipes(chosen, _settings(config), family)
    network = build_network(recipes, config.seed, model.device)
    if start and not resumed:
        continue_from(network, start, config.network_weights)
    return network


def base_networks(
    config: TrainConfig, model: BaseModel, presence: Presence | None = None
) -> AbstractContextManager[None]:
    """Within it, `base_weights` are part of the base model; `presence` as for `prepared`.

    Raises:
        FileError: A network file cannot be read.
    """
    for name in ("network_weights", *config.base_weights):
        path = config.network_weights if name == "network_weights" else name
        _refuse_overwriting(config, path)
    if not config.base_weights:
        return nullcontext()
    missing = len(config.base_weights) - len(config.base_weights_multiplier)
    multipliers = (*config.base_weights_multiplier, *(1.0,) * missing)
    files = [(load_network(Path(path)), path) for path in config.base_weights]
    merged = [(network, m, path) for (network, path), m in zip(files, multipliers, strict=True)]
    return merged_base(model.targets(), merged, presence)


def learns_text(network: TrainableNetwork) -> bool:
    """Whether a text encoder has trainable layers."""
    return any(layer.layer.component in TEXT_ENCODERS for layer in network)


def _needs_file(config: TrainConfig, resumed: bool) -> bool:
    return bool(config.network_weights) and (config.dim_from_weights or not resumed)


def _refuse_overwriting(config: TrainConfig, path: str) -> None:
    """Files that a run starts from are not the ones it writes."""
    if not path or Path(path).resolve().parent != Path(config.output).resolve():
        return
    if re.fullmatch(re.escape(config.name) + r"(-\d{6}|-step\d{8})?(-\d+)?", Path(path).stem):
        raise ConfigError(
            "The run would write over a file it starts from.",
            where="name",
            got=path,
            expected="another name, or another output folder",
        )


def _choice(config: TrainConfig, components: Sequence[Component]) -> LayerChoice:
    preset = config.preset or ("ia3" if config.algo == "ia3" else "")
    return LayerChoice(
        components=components,
        conv=config.conv_rank_used > 0 or any(config.conv_block_dims),
        preset=preset,
        train_norm=config.train_norm,
        include=config.include_layers,
        exclude=config.exclude_layers,
    )


def _sizing(config: TrainConfig) -> Sizing:
    conv_alpha = config.alpha if config.conv_alpha is None else config.conv_alpha
    return Sizing(
        plain=Sizes(config.rank, config.alpha, config.block_dims, config.block_alphas),
        spatial=Sizes(config.conv_rank_used, conv_alpha, config.conv_block_dims, config.conv_block_alphas),
        weights=config.block_weights,
    )


def _settings(config: TrainConfig) -> AlgoSettings:
    return AlgoSettings(
        algo=config.algo,
        rank=config.rank,
        alpha=config.alpha,
        tucker=config.tucker,
        rs_lora=config.rs_lora,
        use_scalar=config.use_scalar,
        dora=config.dora,
        wd_on_output=config.wd_on_output,
        factor=config.factor,
        decompose_both=config.decompose_both,
        full_matrix=config.full_matrix,
        unbalanced_factorization=config.unbalanced_factorization,
        block_size=config.block_size,
        constraint=config.constraint,
        rescaled=config.rescaled,
        min_rank=config.min_rank,
        rank_exponent=config.rank_exponent,
        sig_type=config.sig_type,
        use_data_init=config.use_data_init,
        dropout=config.dropout,
        rank_dropout=config.rank_dropout,
        module_dropout=config.module_dropout,
        layer_math=config.layer_math,
        bypass_mode=config.bypass_mode,
    )
