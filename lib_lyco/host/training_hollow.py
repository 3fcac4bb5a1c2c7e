"""The host's loaded model without its weights: what a run on it would take, before it runs.

Its modules are copied with every tensor on torch's `meta` device, so that a pass through them makes nothing
but shapes. It needs no diffusers, which few WebUIs have.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from modules import call_queue, sd_models
from torch import Tensor, nn

from lib_lyco.host.models import find_family, find_module, read_model
from lib_lyco.host.training_model import HostTrainingModel
from lib_lyco.host.training_text import OpenClipEncoder
from lib_lyco.models.text import Encoder
from lib_lyco.naming.layer import Component, Family
from lib_lyco.naming.table import layer_table

_META = torch.device("meta")
_FACTS = (
    "alphas_cumprod",
    "alphas_cumprod_original",
    "parameterization",
    "scale_factor",
    "sd_checkpoint_info",
)


@dataclass
class _CountedOpenClip(OpenClipEncoder):
    """Its blocks are called as modules, so that who counts sees each begin and end."""

    def _resblock(self, index: int, states: Tensor) -> Tensor:
        block = self.module.transformer.resblocks[index]
        vars(block)["forward"] = partial(self._block, index)
        return block(states)


class HollowHostModel(HostTrainingModel):
    """A `Hollow` on copies of ldm's or sgm's modules, which compute as in training."""

    def __init__(self, shell: nn.Module, family: Family) -> None:
        super().__init__(shell, family, read_model(shell).targets)
        self._compute(as_trained=True)

    @property
    def device(self) -> torch.device:
        return _META

    def _encoder(self, component: Component, module: Any) -> Encoder:
        encoder = super()._encoder(component, module)
        return _CountedOpenClip(**vars(encoder)) if isinstance(encoder, OpenClipEncoder) else encoder

    def _computing(self) -> AbstractContextManager[object]:
        """`meta` has no autocast: whoever counts follows its rules (`forecast.activations.Rules`)."""
        return nullcontext()

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Does nothing: what checkpointed blocks keep is counted, not left out."""


class HollowModels:
    """Copies of the loaded model, kept until another is loaded."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, torch.dtype], HollowHostModel] = {}

    def of_loaded(self, dtype: torch.dtype) -> HollowHostModel | None:
        """The loaded model as it would be in `dtype`; None where none is loaded that can be trained on, or
        somebody draws with it just now."""
        model = sd_models.model_data.sd_model
        family = find_family(model) if isinstance(model, nn.Module) else None
        if model is None or family is None or family == "sd3":
            return None
        key = (model.sd_checkpoint_info.filename, dtype)
        if key not in self._made and call_queue.queue_lock.acquire(blocking=False):
            try:
                self._made = {key: HollowHostModel(_shell(model, family, dtype), family)}
            finally:
                call_queue.queue_lock.release()
        return self._made.get(key)


def _shell(model: sd_models.HostModel, family: Family, dtype: torch.dtype) -> nn.Module:
    """What of the model training needs, in the same places, as shapes."""
    shell: Any = nn.Module()
    for root in layer_table(family).host_roots.values():
        module = find_module(model, root)
        if module is not None:
            _put(shell, root, _emptied(module, dtype))
    shell.first_stage_model = _emptied(model.first_stage_model, torch.float32)
    for name in _FACTS:
        if hasattr(model, name):
            object.__setattr__(shell, name, getattr(model, name))
    shell.lowvram = False
    return shell


def _put(shell: nn.Module, path: str, module: nn.Module) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        if not isinstance(getattr(shell, parent, None), nn.Module):
            shell.add_module(parent, nn.Module())
        shell = shell.get_submodule(parent)
    shell.add_module(name, module)


def _emptied(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy whose tensors are shapes, without anybody's hooks and forward functions."""
    memo = {id(one): _shape_of(one, dtype) for one in _tensors(module)}
    made: nn.Module = copy.deepcopy(module, memo)
    for part in made.modules():
        attributes = vars(part)
        attributes.pop("forward", None)
        for name, value in attributes.items():
            if name.endswith("_hooks"):
                value.clear()
    return made


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _shape_of(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    kind = dtype if tensor.is_floating_point() else tensor.dtype
    shape = torch.empty(tensor.shape, dtype=kind, device=_META)
    return nn.Parameter(shape, requires_grad=False) if isinstance(tensor, nn.Parameter) else shape
