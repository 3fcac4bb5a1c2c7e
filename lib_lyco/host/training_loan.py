"""The host's model out of the way of a run on another, or made whole for a run on it.

With --medvram and --lowvram the host moves pieces of its model to the GPU by hooks, and with FP8 weight it
keeps weights in 8 bits. Neither has gradients; so for a run the model is what it would be without.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from modules import devices, sd_models
from torch import Tensor, nn

from lib_lyco.host.forge import is_patched
from lib_lyco.host.models import find_module

COARSE = (torch.float8_e4m3fn, torch.float8_e5m2)
"""What weights are in with FP8 weight."""
_HOOKS = "_forward_pre_hooks"
_PIECEMEAL = "modules.lowvram"
"""Where the host's hooks and functions come from that move pieces of its model."""
_MANAGERS = ("backend.memory_management", "ldm_patched.modules.model_management")
"""What moves models in Forge and reForge, whose own functions for it do nothing."""


def put_away(model: sd_models.HostModel | None) -> None:
    """Has the host's model off the GPU, and gives its memory back."""
    if is_patched(model):
        _manager().unload_all_models()
    else:
        sd_models.send_model_to_cpu(model)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def bring_back(model: sd_models.HostModel | None) -> None:
    """Has the host's model where the host keeps it; Forge and reForge fetch theirs for each picture."""
    if model is not None and not is_patched(model):
        sd_models.send_model_to_device(model)


def _manager() -> Any:
    return importlib.import_module(next(name for name in _MANAGERS if find_spec(name.partition(".")[0])))


def is_unloaded(model: sd_models.HostModel) -> bool:
    """Whether the user has had it put off the device."""
    unet = find_module(model, "model.diffusion_model")
    if unet is None or model.lowvram:
        return False
    return next(unet.parameters()).device.type != torch.device(devices.device).type


class Whole:
    """All of the model on the device, which the host has there in pieces; see `presence.Part`.

    What it moves it keeps, so that the model has the very same memory afterwards.
    """

    def __init__(self, model: sd_models.HostModel) -> None:
        self._model = model
        self._moved: list[tuple[Tensor, Tensor]] = []
        self._hooks: list[tuple[dict[int, Any], dict[int, Any]]] = []
        self._functions: dict[str, Any] = {}

    def put_on(self) -> None:
        """Takes the host's hooks off, then moves."""
        try:
            self._take_hooks()
            self._moved = [(one, one.data) for one in _tensors(self._model)]
            for tensor, data in self._moved:
                tensor.data = data.to(devices.device)
        except BaseException:  # no memory; nothing stays half done
            self.take_off()
            raise

    def _take_hooks(self) -> None:
        sd_models.send_model_to_cpu(self._model)  # so that the host counts nothing as being on the device
        for module in self._model.modules():
            hooks: dict[int, Any] = vars(module)[_HOOKS]
            theirs = {key: hook for key, hook in hooks.items() if _is_piecemeal(hook)}
            if theirs:
                self._hooks.append((hooks, dict(hooks)))
                for key in theirs:
                    del hooks[key]
        vae: Any = self._model.first_stage_model
        self._functions = {name: one for name, one in vars(vae).items() if _is_piecemeal(one)}
        for name in self._functions:
            delattr(vae, name)
        self._model.lowvram = False

    def take_off(self) -> None:
        """The reverse, in the order in which the host had put its hooks."""
        for tensor, data in self._moved:
            tensor.data = data
        self._moved.clear()
        self._model.lowvram = True
        for name, function in self._functions.items():
            setattr(self._model.first_stage_model, name, function)
        for hooks, before in self._hooks:
            others = {key: hook for key, hook in hooks.items() if key not in before}
            kept = {key: hook for key, hook in before.items() if key in hooks or _is_piecemeal(hook)}
            hooks.clear()
            hooks.update(kept | others)
        self._hooks.clear()


class Fine:
    """Weights in the precision that the host would have without FP8 weight, of the values that it keeps in
    8 bits; see `presence.Part`."""

    def __init__(self, model: sd_models.HostModel) -> None:
        self._model = model
        self._coarse: list[tuple[Tensor, Tensor]] = []

    def put_on(self) -> None:
        """Makes the finer ones."""
        dtype = devices.dtype_unet
        self._coarse = [(one, one.data) for one in _tensors(self._model) if one.dtype in COARSE]
        try:
            for tensor, data in self._coarse:
                tensor.data = data.to(dtype)
        except BaseException:  # no memory; nothing stays half done
            self.take_off()
            raise

    def take_off(self) -> None:
        """Has the host's own memory in use again."""
        for tensor, data in self._coarse:
            tensor.data = data
        self._coarse.clear()


def loans(model: sd_models.HostModel) -> list[Whole | Fine]:
    """What makes this model one that can be trained on."""
    found: list[Whole | Fine] = []
    if model.lowvram:
        found.append(Whole(model))
    if any(one.dtype in COARSE for one in model.parameters()):
        found.append(Fine(model))
    return found


def _is_piecemeal(function: Any) -> bool:
    return getattr(function, "__module__", None) == _PIECEMEAL


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
