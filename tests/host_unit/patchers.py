"""A minimal Forge and a minimal reForge: what their patchers do with patches, from their sources.

Facts (Forge dfdcbab6 `backend/patcher/{base,lora}.py`, reForge 3b56b268 `ldm_patched/modules/
{model_patcher,lora}.py`): a clone shares the modules and has its own list of patches; to run one, the
originals are put back and each parameter with patches is taken to float32, goes through its patches in
order, and is cast to its own dtype. Forge knows a patch by the first of a pair and looks its function
up; reForge asks an instance of its base class.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn


class Patcher:
    """Over the modules of `model`, whose originals it keeps for all its clones."""

    def __init__(self, model: nn.Module, originals: dict[str, Tensor] | None = None) -> None:
        self.model = model
        self.patches: list[tuple[str, float, Any, bool]] = []
        fresh = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        self.originals = fresh if originals is None else originals

    def clone(self) -> Any:
        twin = type(self)(self.model, self.originals)
        twin.patches = list(self.patches)
        return twin

    def calculate(self, value: Any, weight: Tensor, key: str, strength: float) -> Tensor:
        raise NotImplementedError

    @torch.inference_mode()
    def run(self) -> dict[str, Tensor]:
        """What the parameters are when the model runs."""
        for key, original in self.originals.items():
            owner, _, name = key.rpartition(".")
            weight = original.float()
            found = [(strength, value) for patched, strength, value, _ in self.patches if patched == key]
            for strength, value in found:
                weight = self.calculate(value, weight, key, strength)
            merged = weight.to(original.dtype) if found else original
            setattr(self.model.get_submodule(owner), name, nn.Parameter(merged, requires_grad=False))
        return dict(self.model.named_parameters())

    def _add(self, patches: Mapping[str, Any], strength: float, online: bool) -> None:
        known = dict(self.model.named_parameters())
        for key, value in patches.items():
            assert key in known, key
            self.patches.append((key, strength, value, online))


class ForgePatcher(Patcher):
    def add_patches(
        self,
        *,
        filename: str,
        patches: Mapping[str, Any],
        strength_patch: float = 1.0,
        online_mode: bool = False,
    ) -> None:
        assert filename
        self._add(patches, strength_patch, online_mode)

    def calculate(self, value: Any, weight: Tensor, key: str, strength: float) -> Tensor:
        kind, content = value
        table: dict[str, Callable[[Tensor, float, Any], Tensor]]
        table = sys.modules["backend.patcher.lora"].extra_weight_calculators
        return table[kind](weight, strength, content)


class ReForgePatcher(Patcher):
    def add_patches(self, patches: Mapping[str, Any], strength_patch: float = 1.0) -> None:
        self._add(patches, strength_patch, False)

    def calculate(self, value: Any, weight: Tensor, key: str, strength: float) -> Tensor:
        assert isinstance(value, sys.modules["ldm_patched.modules.weight_adapter"].WeightAdapterBase)
        return value.calculate_weight(weight, key, strength, 1.0, None, None, torch.float32, None)


class Clip:
    def __init__(self, patcher: Patcher) -> None:
        self.patcher = patcher
        self.cond_stage_model = patcher.model

    def clone(self) -> Clip:
        return Clip(self.patcher.clone())

    def add_patches(self, *args: Any, **options: Any) -> None:
        self.patcher.add_patches(*args, **options)  # pyright: ignore[reportAttributeAccessIssue]


class Objects:
    def __init__(self, unet: Any, clip: Any) -> None:
        self.unet = unet
        self.clip = clip

    def shallow_copy(self) -> Objects:
        return Objects(self.unet, self.clip)


class Model:
    """The host's `sd_model`, as far as networks go."""

    def __init__(self, unet: Patcher, texts: Patcher) -> None:
        self.forge_objects = Objects(unet, Clip(texts))
        self.forge_objects_original = self.forge_objects.shallow_copy()
        self.forge_objects_after_applying_lora = self.forge_objects.shallow_copy()

    def begin_pass(self) -> None:
        """What the host does right after it has told extra networks their tags."""
        self.forge_objects = self.forge_objects_after_applying_lora.shallow_copy()

    def rebuild(self, patched: Callable[[Patcher], None]) -> None:
        """What the builtin does for another set of its own: it starts from the originals."""
        objects = self.forge_objects_original.shallow_copy()
        objects.unet = objects.unet.clone()
        patched(objects.unet)
        self.forge_objects_after_applying_lora = objects

    def run(self) -> dict[str, Tensor]:
        """All parameters as the next pass has them."""
        self.begin_pass()
        return {**self.forge_objects.unet.run(), **self.forge_objects.clip.patcher.run()}


def install(monkeypatch: pytest.MonkeyPatch, host: str) -> type[Patcher]:
    """Makes this process a `forge` or a `reforge`; returns its patcher."""
    modules: dict[str, dict[str, Any]]
    if host == "forge":
        modules = {
            "backend": {},
            "backend.args": {"dynamic_args": {"online_lora": False}},
            "backend.patcher": {},
            "backend.patcher.lora": {"extra_weight_calculators": {}},
        }
    else:
        base = type("WeightAdapterBase", (), {})
        modules = {
            "ldm_patched": {},
            "ldm_patched.modules": {},
            "ldm_patched.modules.weight_adapter": {"WeightAdapterBase": base},
        }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return ForgePatcher if host == "forge" else ReForgePatcher
