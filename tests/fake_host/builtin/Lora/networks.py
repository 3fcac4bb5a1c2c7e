"""What other extensions see of the builtin: it keeps a list of what is wanted, and applies nothing here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from modules import shared

available_networks: dict[str, SimpleNamespace] = {}
loaded_networks: list[SimpleNamespace] = []
extra_network_lora: Any = None


def list_available_networks() -> None:
    """Reads the folders; of two equal names the last stays."""
    available_networks.clear()
    for folder in (shared.cmd_opts.lora_dir, shared.cmd_opts.lyco_dir_backcompat):
        for path in sorted(Path(folder).rglob("*.safetensors")):
            available_networks[path.stem] = SimpleNamespace(
                name=path.stem, alias=path.stem, filename=str(path), metadata={}
            )


def load_networks(
    names: Sequence[str],
    te_multipliers: Sequence[float] | None = None,
    unet_multipliers: Sequence[float] | None = None,
    dyn_dims: Sequence[int | None] | None = None,
) -> None:
    """Replaces the wanted set."""
    del te_multipliers, unet_multipliers, dyn_dims
    loaded_networks[:] = [available_networks[name] for name in names if name in available_networks]


def network_apply_weights(module: Any) -> None:
    """The real one brings a layer to what is loaded, whenever it is used."""
    del module


def purge_networks_from_memory() -> None:
    """Nothing is kept."""


def assign_network_names_to_compvis_modules(sd_model: Any) -> None:
    """The real one marks every layer of the model."""
    del sd_model


list_available_networks()
