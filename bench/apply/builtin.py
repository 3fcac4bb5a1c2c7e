"""The WebUI's builtin Lora extension itself, run on the made-up model.

Its own files are imported from a checkout of the WebUI (`extensions-builtin/Lora`, version 1.10); what
they import of the WebUI is replaced by as little as they touch. The builtin acts inside each layer's
forward: here its `network_apply_weights` is called on every layer that it would have patched.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.apply.model import FAMILY, MadeUpModel
from lib_lyco.naming.resolve import flatten
from lib_lyco.naming.table import layer_table
from lib_lyco.network.network import Network

_ROOTS = {"unet": "diffusion_model", "te1": "transformer"}


class Builtin:
    """The builtin's own code, on what its `load_network` makes of files by the networks' names."""

    def __init__(self, webui: Path, model: MadeUpModel, files: Mapping[str, Path]) -> None:
        table = layer_table(FAMILY)
        self._modules: dict[str, nn.Module] = {}
        for layer, module in model.by_layer.items():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.LayerNorm)):
                name = flatten(f"{_ROOTS[layer.component]}.{table.host_place(layer).path}")
                self._modules[name] = module
        dtype = next(iter(self._modules.values())).get_parameter("weight").dtype
        self._networks = _import_networks(webui, self._modules, dtype)
        self._loaded = {name: self.load(path) for name, path in files.items()}
        self.start()

    def start(self) -> None:
        """Forgets every backup, as after a reload of the base model."""
        for name, module in self._modules.items():
            module.network_layer_name = name  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
            self._networks.network_reset_cached_weight(module)

    def load(self, path: Path) -> Any:
        """Reads a file as the builtin does whenever a network was not in the set before."""
        on_disk = SimpleNamespace(filename=str(path), read_hash=lambda: None)
        return self._networks.load_network(path.stem, on_disk)

    @torch.no_grad()
    def apply(self, wanted: Sequence[tuple[Network, float]]) -> None:
        loaded = [self._loaded[network.name] for network, _ in wanted]
        for one, (_, multiplier) in zip(loaded, wanted, strict=True):
            one.te_multiplier = one.unet_multiplier = multiplier
        self._networks.loaded_networks[:] = loaded
        for module in self._modules.values():
            self._networks.network_apply_weights(module)

    def off(self) -> None:
        self.apply([])

    def held(self) -> int:
        backups: list[Tensor | None] = [
            getattr(module, "network_weights_backup", None) for module in self._modules.values()
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in backups if tensor is not None)


def _import_networks(webui: Path, layers: dict[str, nn.Module], dtype: torch.dtype) -> ModuleType:
    """Imports the builtin's `networks` with stand-ins for what it takes from the WebUI."""
    folder = webui / "extensions-builtin" / "Lora"
    if not (folder / "networks.py").is_file():
        raise SystemExit(
            f"{webui} is no checkout of the WebUI: it has no extensions-builtin/Lora/networks.py"
        )
    stubs = _stubs(layers, dtype)
    sys.modules.update(stubs)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("networks")
    finally:
        sys.path.remove(str(folder))
        for name in stubs:
            del sys.modules[name]


def _stubs(layers: dict[str, nn.Module], dtype: torch.dtype) -> dict[str, ModuleType]:
    sd_model = SimpleNamespace(network_layer_mapping=layers, is_sdxl=False)
    contents: dict[str, dict[str, Any]] = {
        "gradio": {},
        "modules": {},
        "modules.shared": {
            "sd_model": sd_model,
            "opts": SimpleNamespace(lora_in_memory_limit=0),
            "cmd_opts": SimpleNamespace(lora_dir=tempfile.gettempdir(), lyco_dir_backcompat=""),
            "walk_files": lambda *_args, **_named: [],  # pyright: ignore[reportUnknownLambdaType]
        },
        "modules.devices": {"cpu": torch.device("cpu"), "dtype": dtype},
        "modules.sd_models": {"read_state_dict": load_file},
        **{
            f"modules.{name}": {}
            for name in ("cache", "errors", "hashes", "patches", "scripts", "sd_hijack")
        },
        "modules.textual_inversion": {},
        "modules.textual_inversion.textual_inversion": {},
        "modules.models": {},
        "modules.models.sd3": {},
        "modules.models.sd3.mmdit": {"QkvLinear": type("QkvLinear", (nn.Linear,), {})},
    }
    stubs: dict[str, ModuleType] = {}
    for name, attributes in contents.items():
        stub = stubs[name] = ModuleType(name)
        vars(stub).update(attributes)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stubs[parent], child, stub)
    return stubs
