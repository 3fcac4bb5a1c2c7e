"""A made-up SD1.5 of full size, and made-up LoRAs for it: real names and shapes, random values."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.files.save import save_tensors
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import LayerName
from lib_lyco.naming.table import layer_table
from lib_lyco.network.network import Network

FAMILY = "sd1"


class MadeUpModel(nn.Module):
    """Every parametrised layer of the base model, side by side: nothing here runs them.

    The same few million random values fill all of them: speed does not depend on the values.
    """

    def __init__(self, dtype: torch.dtype, seed: int = 0) -> None:
        super().__init__()
        table = layer_table(FAMILY)
        noise = torch.empty(1 << 22, dtype=dtype)
        noise.uniform_(-0.05, 0.05, generator=torch.Generator().manual_seed(seed))
        self.by_layer: dict[LayerName, nn.Module] = {}
        for layer in table:
            module = _build(table.shape(layer), dtype)
            with torch.no_grad():
                for parameter in module.parameters():
                    for piece in parameter.view(-1).split(len(noise)):
                        piece.copy_(noise[: len(piece)])
            self.by_layer[layer] = module
            self.add_module(str(layer).replace(".", "/"), module)

    def targets(self) -> Targets:
        return {layer: (Target(layer, module),) for layer, module in self.by_layer.items()}

    def lora_layers(self) -> list[LayerName]:
        """What kohya's LoRA trains by default: all matrices of transformer blocks and text encoder."""
        return [layer for layer, module in self.by_layer.items() if _is_trained(layer, module)]


def made_up_lora(model: MadeUpModel, rank: int, seed: int) -> Network:
    """A LoRA on all of kohya's default layers, stored in float16 as such files are."""
    generator = torch.Generator().manual_seed(seed)
    name = f"network{seed}"
    adapters = {
        layer: decode(_factors(model.by_layer[layer], rank, generator), Hints()).adapter
        for layer in model.lora_layers()
    }
    return Network(name=name, content_id=name, family=FAMILY, adapters=adapters)


def write_network(network: Network, folder: Path) -> Path:
    """Writes a network as kohya does."""
    tensors = {
        f"{kohya_stem(layer, FAMILY)}.{part}": tensor
        for layer, adapter in network.adapters.items()
        for part, tensor in adapter.tensors().items()
    }
    path = folder / f"{network.name}.safetensors"
    save_tensors(path, tensors, {"ss_base_model_version": "sd_v1"})
    return path


def _build(shape: tuple[int, ...], dtype: torch.dtype) -> nn.Module:
    if len(shape) == 1:
        return skip_init(nn.LayerNorm, shape[0], dtype=dtype)
    if len(shape) == 2:
        return skip_init(nn.Linear, shape[1], shape[0], bias=False, dtype=dtype)
    return skip_init(nn.Conv2d, shape[1], shape[0], shape[2:], bias=False, dtype=dtype)


def _is_trained(layer: LayerName, module: nn.Module) -> bool:
    if isinstance(module, nn.LayerNorm):
        return False
    return ".attentions." in layer.path or ".encoder.layers." in layer.path


def _factors(module: nn.Module, rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    rows, columns, *kernel = module.get_parameter("weight").shape
    up = torch.randn(rows, rank, *kernel, generator=generator) * 0.02
    down = torch.randn(rank, columns, *kernel, generator=generator) * 0.02
    parts = {"lora_up.weight": up.half(), "lora_down.weight": down.half()}
    return {**parts, "alpha": torch.tensor(rank / 2.0)}
