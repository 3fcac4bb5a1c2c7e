"""A moving average of the trained weights (EMA), which often generalises better than the last ones."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.train.network import TrainableNetwork


class Average:
    """avg <- d · avg + (1 - d) · weights after every update.

    After n updates d is min(decay, n / (n + 9)), 0 for the first: so that the initial values are
    forgotten in short runs too (diffusers, `EMAModel` with warmup).
    """

    def __init__(self, network: TrainableNetwork, decay: float) -> None:
        self._decay = decay
        self._live = {
            f"{layer.layer}/{index}": parameter
            for layer in network
            for index, parameter in enumerate(layer.parameters)
        }
        self._average = {key: parameter.detach().clone() for key, parameter in self._live.items()}
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights after an update in."""
        step = self._updates
        self._updates += 1
        decay = min(self._decay, (1 + step) / (10 + step)) if step else 0.0
        lerp = torch._foreach_lerp_  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
        lerp(list(self._average.values()), list(self._live.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Within it, the network has the averaged weights; afterwards its own, bit for bit."""
        kept = {key: parameter.data for key, parameter in self._live.items()}
        try:
            for key, parameter in self._live.items():
                parameter.data = self._average[key]
            yield
        finally:
            for key, parameter in self._live.items():
                parameter.data = kept[key]

    def state(self) -> dict[str, Tensor]:
        """Everything that changes with the steps."""
        return {**self._average, "updates": torch.tensor(self._updates)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes up what `state` gave.

        Raises:
            FileError: The tensors are not those of this network.
        """
        if state.keys() != self.state().keys():
            raise FileError("The averaged weights in the state do not fit the network.")
        self._updates = int(state["updates"])
        for key, tensor in self._average.items():
            tensor.copy_(state[key])
