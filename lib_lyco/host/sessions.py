"""The networks on each of the host's models.

The host may keep several checkpoints, moves them between devices, loads the next one into the modules
of the last, and swaps models in the middle of sampling. So each model has networks of its own, which
live as long as the model does, and only the model in use carries any: one that is left is restored at
once, before it can be put aside with merged weights in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lib_lyco.apply.prompt_networks import PromptNetworks
from lib_lyco.apply.session import Session
from lib_lyco.host.forge import PatcherSession, find_kind, is_patched
from lib_lyco.host.models import read_model
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.network.network import Network

Load = Callable[[str], Network]
"""A tag's name -> its network. Raises LycoError."""

WeightOf = Callable[[LayerName], "Tensor | None"]
"""The base model's own weight of a layer, (o, i, ...); None if it has no such layer."""


@dataclass(frozen=True, eq=False)
class _Entry:
    networks: PromptNetworks
    budget_bytes: int
    family: Family | None
    session: Session | None
    """None where patchers run the model."""


class Sessions:
    """One `PromptNetworks` per model, made when the model is first used.

    Args:
        load: Finds and reads a network.
        budget_bytes: Memory for merged weights that are not in use, asked whenever a model is used.
        device: Where the host computes. With little GPU memory its weights wait on the CPU.
    """

    def __init__(
        self, load: Load, budget_bytes: Callable[[], int], device: Callable[[], torch.device]
    ) -> None:
        self._load = load
        self._budget_bytes = budget_bytes
        self._device = device
        self._entries: WeakKeyDictionary[nn.Module, _Entry] = WeakKeyDictionary()

    def enter(self, model: nn.Module) -> PromptNetworks:
        """The networks of the model in use; all others are restored."""
        for other, entry in list(self._entries.items()):
            if other is not model:
                entry.networks.restore()
        budget = self._budget_bytes()
        entry = self._entries.get(model)
        if entry is not None and entry.budget_bytes != budget:
            self.renew(model)
            entry = None
        if entry is None:
            entry = self._entries[model] = self._make(model, budget)
        return entry.networks

    def weights(self, model: nn.Module) -> tuple[Family | None, WeightOf | None]:
        """The model's family, and its weights as they are without networks, whatever is merged now.

        None where patchers run the model: they keep their originals to themselves.
        """
        self.enter(model)
        entry = self._entries[model]
        return entry.family, None if entry.session is None else entry.session.original

    def renew(self, model: nn.Module) -> None:
        """Forgets a model whose weights were loaded anew, once what was left of its networks is off."""
        entry = self._entries.pop(model, None)
        if entry is not None:
            entry.networks.restore()

    def restore(self) -> None:
        """Takes all networks off all models."""
        for entry in list(self._entries.values()):
            entry.networks.restore()

    def forget(self) -> None:
        """Takes all networks off and keeps nothing of any model, such as merged weights for later."""
        self.restore()
        self._entries.clear()

    def _make(self, model: nn.Module, budget_bytes: int) -> _Entry:
        if is_patched(model):
            patched = PatcherSession(model, find_kind())
            family, session, applier = patched.layers.family, None, patched
        else:
            found = read_model(model)
            family, session = found.family, Session(found.targets, budget_bytes, self._device())
            applier = session
        return _Entry(PromptNetworks(applier, family, self._load), budget_bytes, family, session)
