"""All trainable layers of a run, built, attached, and taken off again."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.algorithms import ALGORITHMS
from lib_lyco.train.layer import AlgoSettings, Draw, TrainableLayer
from lib_lyco.train.lycoris import make_module
from lib_lyco.train.seed import derived_seed
from lib_lyco.train.tlora import active_mask, active_ranks
from lib_lyco.train.transfer import moved


@dataclass(frozen=True)
class Recipe:
    """Where one trainable layer goes, and what it is."""

    target: Target
    settings: AlgoSettings


class TrainableNetwork:
    """All trainable layers of a run. As a context manager it attaches, and detaches at the end."""

    def __init__(self, layers: Sequence[TrainableLayer]) -> None:
        self.layers = tuple(layers)
        self._drop = tuple(layer for layer in layers if layer.settings.drops)
        self._timed = tuple(
            layer for layer in layers if layer.settings.algo == "tlora" and layer.layer.component == "unet"
        )

    def __iter__(self) -> Iterator[TrainableLayer]:
        return iter(self.layers)

    def __enter__(self) -> TrainableNetwork:
        self.put_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.take_off()

    def put_on(self) -> None:
        """Attaches every layer."""
        for layer in self.layers:
            layer.attach()

    def take_off(self) -> None:
        """Detaches every layer."""
        for layer in self.layers:
            layer.detach()

    @contextmanager
    def muted(self) -> Generator[None]:
        """Within this the base model acts alone, though the network is attached."""
        for layer in self.layers:
            layer.muted = True
        try:
            yield
        finally:
            for layer in self.layers:
                layer.muted = False

    def state(self) -> dict[str, Tensor]:
        """Every tensor of every module by layer and name, as it is; not what a file stores."""
        return {
            f"{layer.layer}/{name}": tensor.detach()
            for layer in self.layers
            for name, tensor in chain(layer.module.named_parameters(), layer.module.named_buffers())
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes up what `state` gave.

        Raises:
            FileError: The tensors are not those of this network.
        """
        own = self.state()
        differing = [key for key in own.keys() | state.keys() if _shape(own, key) != _shape(state, key)]
        if differing:
            raise FileError(
                "The state does not fit the network.",
                where=min(differing),
                got=str(_shape(state, min(differing))),
                expected=str(_shape(own, min(differing))),
            )
        for key, tensor in own.items():
            tensor.copy_(state[key])

    def begin_step(self, generator: torch.Generator) -> None:
        """Draws what stays the same during one step: DyLoRA's block of each layer, layers left out."""
        for layer in self.layers:
            count = layer.num_blocks()
            if count is not None:
                layer.block = int(torch.randint(count, (), generator=generator))
        if self._drop:
            seed = int(torch.randint(2**62, (), generator=generator))
            for layer in self._drop:
                layer.draw = Draw(derived_seed("dropout", seed, str(layer.layer)))

    def begin_batch(self, seeds: Sequence[int]) -> None:
        """Tells a micro-batch's samples by a seed each, of which what is dropped of them is a function."""
        for layer in self._drop:
            assert layer.draw is not None, "a micro-batch is part of a step"
            layer.draw = Draw(layer.draw.step, tuple(seeds))

    def at_timesteps(self, timesteps: Tensor, total: int) -> None:
        """Tells the next pass' timesteps, (b,) of 0 to `total` - 1, which decide on T-LoRA's ranks."""
        masks: dict[tuple[int, int, float], Tensor] = {}
        for layer in self._timed:
            sizes = layer.settings.rank, layer.settings.min_rank, layer.settings.rank_exponent
            if sizes not in masks:
                counts = [active_ranks(timestep, total, *sizes) for timestep in timesteps.tolist()]
                masks[sizes] = moved(active_mask(counts, sizes[0]), layer.weight.device)
            layer.active = masks[sizes]

    @property
    def drops(self) -> bool:
        """Whether `begin_batch` matters."""
        return bool(self._drop)

    def end_step(self) -> None:
        """From here on every layer acts whole: at its full rank, with nothing left out."""
        for layer in self.layers:
            layer.block = None
            layer.draw = None
            layer.active = None


def _shape(tensors: Mapping[str, Tensor], key: str) -> tuple[int, ...] | None:
    return tuple(tensors[key].shape) if key in tensors else None


def build_network(recipes: Mapping[LayerName, Recipe], seed: int, device: torch.device) -> TrainableNetwork:
    """Builds the trainable layers; nothing is attached yet.

    A layer's initial values are a function of the seed and its name. Every algorithm starts as the
    identity.

    Raises:
        ConfigError: An algorithm cannot act on a layer.
        MissingPackageError: lycoris-lora is missing, or too new for this torch.
    """
    made: list[TrainableLayer] = []
    for layer, recipe in recipes.items():
        algo = ALGORITHMS[recipe.settings.algo]
        seeded = derived_seed("init", seed, str(layer))
        module = make_module(algo.module, layer, recipe.target.module, recipe.settings, seeded)
        module.to(device=device, dtype=torch.float32)
        made.append(TrainableLayer(layer, recipe.target, recipe.settings, algo, module))
    return TrainableNetwork(made)
