"""Rank and alpha of each chosen layer, and with them its recipe."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib_lyco.errors import ConfigError
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.network.network import Network
from lib_lyco.train.blocks import BlockWeights, block_of, num_blocks
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.layer_choice import Chosen, is_norm, is_spatial
from lib_lyco.train.network import Recipe


@dataclass(frozen=True)
class Sizes:
    """Ranks and alphas, where they do not come from a file."""

    rank: int
    alpha: float
    block_ranks: Sequence[int] = ()
    """One for each UNet block, by its number; empty takes `rank`."""
    block_alphas: Sequence[float] = ()

    def check(self, names: tuple[str, str], family: Family) -> None:
        """Demands a value for each block.

        Raises:
            ConfigError: There are more or fewer; `names` are the options of ranks and alphas.
        """
        for name, values in zip(names, (self.block_ranks, self.block_alphas), strict=True):
            if values and len(values) != num_blocks(family):
                raise ConfigError(
                    "There is not one value for each block.",
                    where=name,
                    got=f"{len(values)} values",
                    expected=f"{num_blocks(family)} for {family}",
                )

    def of(self, block: int | None) -> tuple[int, float]:
        """Rank and alpha in a block; None is a text encoder's."""
        rank = self.block_ranks[block] if self.block_ranks and block is not None else self.rank
        alpha = self.block_alphas[block] if self.block_alphas and block is not None else self.alpha
        return rank, alpha


@dataclass(frozen=True)
class Sizing:
    """How large the adapters are."""

    plain: Sizes
    spatial: Sizes
    """Of convolutions larger than 1x1."""
    weights: BlockWeights = BlockWeights()
    """A block whose learning rate is 0 gets no adapters."""

    def recipes(
        self, chosen: Mapping[LayerName, Chosen], settings: AlgoSettings, family: Family
    ) -> dict[LayerName, Recipe]:
        """What is built on each chosen layer; layers of rank 0 are left out.

        Raises:
            ConfigError: Values and blocks do not fit, or nothing is left.
        """
        self.plain.check(("block_dims", "block_alphas"), family)
        self.spatial.check(("conv_block_dims", "conv_block_alphas"), family)
        by_block = bool(self.weights or any((*self._by_block(),)))
        rates = self.weights.by_block(family) if self.weights else None
        made: dict[LayerName, Recipe] = {}
        for layer, one in chosen.items():
            block = block_of(layer, family) if by_block else None
            spatial = is_spatial(one.target.module)
            rank, alpha = (self.spatial if spatial else self.plain).of(block)
            if rates is not None and block is not None and rates[block] == 0:
                continue
            if is_norm(one.target.module):
                made[layer] = Recipe(one.target, _norm_settings(settings))
                continue
            sized = dataclasses.replace(settings, rank=rank, alpha=alpha)
            sized = one.override.applied(sized) if one.override else sized
            if sized.rank:
                made[layer] = Recipe(one.target, _checked(layer, sized))
        if not made:
            raise ConfigError(
                "No layer is left to train.",
                where="block_dims, down_lr_weight, mid_lr_weight, up_lr_weight",
                expected="a rank and a learning rate above 0 for some block",
            )
        return made

    def _by_block(self) -> tuple[Sequence[float], ...]:
        return (
            self.plain.block_ranks,
            self.plain.block_alphas,
            self.spatial.block_ranks,
            self.spatial.block_alphas,
        )


def _norm_settings(settings: AlgoSettings) -> AlgoSettings:
    return AlgoSettings(
        "norm",
        1,
        0.0,
        rank_dropout=settings.rank_dropout,
        module_dropout=settings.module_dropout,
        layer_math=settings.layer_math,
    )


def _checked(layer: LayerName, settings: AlgoSettings) -> AlgoSettings:
    if settings.algo == "dylora" and settings.rank % settings.block_size:
        raise ConfigError(
            "The ranks trained together do not divide a layer's rank.",
            where="block_size",
            got=f"{settings.block_size}, rank {settings.rank} on {layer}",
            expected="a divisor",
        )
    return settings


def recipes_of_file(
    chosen: Mapping[LayerName, Chosen], settings: AlgoSettings, file: Network
) -> dict[LayerName, Recipe]:
    """Recipes for exactly the layers of a network file, with its ranks and alphas."""
    made: dict[LayerName, Recipe] = {}
    for layer, one in chosen.items():
        adapter = file.adapters.get(layer)
        if adapter is None:
            continue
        if is_norm(one.target.module):
            made[layer] = Recipe(one.target, _norm_settings(settings))
            continue
        rank = adapter.rank or settings.rank
        if settings.algo == "tlora" and adapter.algo != "tlora":
            rank = rank // 2  # as tlora.stored writes it
        alpha = adapter.scale * (math.sqrt(rank) if settings.rs_lora else rank)
        if settings.algo == "dylora":
            alpha = alpha / settings.block_size  # see algorithms: files of DyLoRA store alpha · block
        sized = dataclasses.replace(settings, rank=rank, alpha=alpha)
        made[layer] = Recipe(one.target, _checked(layer, sized))
    return made
