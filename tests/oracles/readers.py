"""What other programs' own loaders make of a network file: the change of each layer's weight and bias.

The WebUI's builtin Lora, ComfyUI and sd-scripts are read from sources that WEBUI_DIR, COMFYUI_DIR and
SD_SCRIPTS_DIR name; diffusers (with PEFT) and LyCORIS are packages. A layer that a loader leaves out is
left out here.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lib_lyco.models.base import BaseModel
from lib_lyco.naming.blocks import host_path
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import LayerName
from tests.oracles.layers import noise
from tests.oracles.sources import definitions, imported, sources


@dataclass(frozen=True)
class Change:
    """What a reader adds to a layer."""

    weight: Tensor
    bias: Tensor | None = None


Changes = dict[LayerName, Change]


def _modules(model: BaseModel) -> dict[LayerName, Any]:
    return {layer: places[0].module for layer, places in model.targets().items()}


# the WebUI's builtin


def by_builtin(path: Path, model: BaseModel) -> Changes:
    """`extensions-builtin/Lora` of the WebUI: its load_network and its modules' calc_updown."""
    folder = sources("WEBUI_DIR") / "extensions-builtin" / "Lora"
    kinds = ("Lora", "Hada", "Ia3", "Lokr", "Full", "Norm", "GLora", "OFT")
    names = {kind: f"network_{kind.lower()}" for kind in kinds}
    devices: dict[str, object] = {"cpu": "cpu", "device": "cpu", "dtype": torch.float32}
    stubs: dict[str, dict[str, object]] = {"modules": {}, "modules.models": {}, "modules.models.sd3": {}}
    stubs |= {f"modules.{name}": {} for name in ("sd_models", "cache", "errors", "hashes", "shared")}
    stubs["modules.devices"] = devices
    stubs["modules.models.sd3.mmdit"] = {"QkvLinear": type("Qkv", (), {})}
    layers = {_host_name(layer, model): (layer, module) for layer, module in _modules(model).items()}
    with imported(folder, ("network", *names.values()), stubs) as found:
        types = [getattr(found[names[kind]], f"ModuleType{kind}")() for kind in kinds]
        host = SimpleNamespace(network_layer_mapping={name: module for name, (_, module) in layers.items()})
        scope: dict[str, object] = {
            "network": found["network"],
            "module_types": types,
            "shared": SimpleNamespace(sd_model=host),
            "sd_models": SimpleNamespace(read_state_dict=load_file),
            **{"os": os, "re": re, "logging": logging, "re_compiled": {}},
        }
        wanted = ("load_network", "convert_diffusers_name_to_compvis", "suffix_conversion")
        functions = definitions(folder / "networks.py", (*wanted, "re_digits", "re_x_proj"), scope)
        net = functions["load_network"]("net", SimpleNamespace(filename=str(path)))
        changes: Changes = {}
        for name, loaded in net.modules.items():
            layer, module = layers[name]
            weight, bias = loaded.calc_updown(module.weight.detach())
            changes[layer] = Change(weight, bias)
    return changes


_OPEN_CLIP = (
    ("text_model_encoder_layers", "model_transformer_resblocks"),
    ("self_attn", "attn"),
    ("layer_norm", "ln_"),
    ("mlp_fc1", "mlp_c_fc"),
    ("mlp_fc2", "mlp_c_proj"),
)


def _host_name(layer: LayerName, model: BaseModel) -> str:
    """What the WebUI calls a layer; q, k and v of OpenCLIP, which are one for it, by their own names."""
    if layer.component == "unet":
        return f"diffusion_model_{host_path(layer, model.family)}".replace(".", "_")
    path = layer.path.replace(".", "_")
    if model.family != "sdxl":
        return f"transformer_{path}"
    if layer.component == "te1":
        return f"0_transformer_{path}"
    for ours, theirs in _OPEN_CLIP:
        path = path.replace(ours, theirs)
    return f"1_{path}"


# ComfyUI

_COMFY_UNETS: Mapping[str, dict[str, Any]] = {
    # what its model detection finds of the published models
    "sd1": {
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 2, 4, 4],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    },
    "sdxl": {
        "num_res_blocks": [2, 2, 2],
        "channel_mult": [1, 2, 4],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_middle": 10,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    },
}
_COMFY_TABLES = ("UNET_MAP_ATTENTIONS", "TRANSFORMER_BLOCKS", "UNET_MAP_RESNET", "UNET_MAP_BASIC")


def by_comfyui(path: Path, model: BaseModel) -> Changes:
    """ComfyUI's key maps, load_lora and calculate_weight."""
    folder = sources("COMFYUI_DIR")

    def cast(tensor: Tensor, device: torch.device, dtype: torch.dtype, copy: bool = False) -> Tensor:
        return tensor.to(device, dtype, copy=copy)

    others = "StableCascade_C SD3 AuraFlow PixArt HunyuanDiT Flux GenmoMochi HunyuanVideo HiDream ACEStep"
    others += " Omnigen2 QwenImage"
    tables = definitions(folder / "comfy" / "utils.py", ("unet_to_diffusers", *_COMFY_TABLES), {})
    stubs: dict[str, dict[str, object]] = {
        "comfy": {},
        "comfy.utils": tables,
        "comfy.model_management": {"cast_to_device": cast},
        "comfy.model_base": {name: type(name, (), {}) for name in others.split()},
    }
    layers = {_comfy_key(layer, model): (layer, module) for layer, module in _modules(model).items()}
    holder = SimpleNamespace(
        state_dict=lambda: dict.fromkeys(layers),
        model_config=SimpleNamespace(unet_config=_COMFY_UNETS[model.family]),
    )
    with imported(folder, ("comfy.lora",), stubs) as found:
        loader = found["comfy.lora"]
        keys = loader.model_lora_keys_clip(holder, loader.model_lora_keys_unet(holder, {}))
        patches = loader.load_lora(load_file(path), keys, log_missing=False)
        changes: Changes = {}
        for key in patches.keys() & layers.keys():
            layer, module = layers[key]
            before = module.weight.detach().clone()
            after = loader.calculate_weight([(1.0, patches[key], 1.0, None, None)], before.clone(), key)
            shift = patches.get(key.removesuffix("weight") + "bias")
            changes[layer] = Change(after - before, None if shift is None else shift[1][0])
    return changes


def _comfy_key(layer: LayerName, model: BaseModel) -> str:
    if layer.component == "unet":
        return f"diffusion_model.{host_path(layer, model.family)}.weight"
    return f"clip_{'l' if layer.component == 'te1' else 'g'}.transformer.{layer.path}.weight"


# sd-scripts

_CLASSES = (
    # where a module stands -> its class in sd-scripts' own models
    (r".*attentions\.\d+(?=\.)", "Transformer2DModel"),
    (r".*(resnets|downsamplers|upsamplers)\.\d+(?=\.)", "ResnetBlock2D"),
    (r".*self_attn(?=\.)", "CLIPAttention"),
    (r".*mlp(?=\.)", "CLIPMLP"),
)


def by_sd_scripts(path: Path, model: BaseModel) -> Changes:
    """`networks.lora` of sd-scripts: create_network_from_weights and what its modules add."""
    file = sources("SD_SCRIPTS_DIR") / "networks" / "lora.py"

    class Xl(nn.Module):
        """In the place of its SDXL UNet."""

    scope: dict[str, object] = {name: getattr(typing, name) for name in ("Dict", "List", "Optional")}
    scope |= {name: getattr(typing, name) for name in ("Tuple", "Type", "Union")}
    scope |= {"torch": torch, "math": math, "os": os, "re": re, "np": np, "SdxlUNet2DConditionModel": Xl}
    scope |= {"logger": logging.getLogger("sd-scripts"), "__name__": "lora", "AutoencoderKL": None}
    scope |= {"CLIPTextModel": None}
    names = ("LoRAModule", "LoRAInfModule", "LoRANetwork", "create_network_from_weights", "RE_UPDOWN")
    names += ("parse_block_lr_kwargs", "convert_diffusers_to_sai_if_needed")
    loader = definitions(file, names, scope)
    is_xl = model.family == "sdxl"
    unet, texts = Xl() if is_xl else nn.Module(), {}
    for layer, module in _modules(model).items():
        if isinstance(module, nn.Linear | nn.Conv2d):
            root = unet if layer.component == "unet" else texts.setdefault(layer.component, nn.Module())
            place = host_path(layer, "sdxl") if is_xl and layer.component == "unet" else layer.path
            _hang(root, layer.path, place, module)
    several = [texts[name] for name in sorted(texts)]
    network, state = loader["create_network_from_weights"](
        1.0, None, None, several if is_xl else several[0], unet, load_file(path), for_inference=True
    )
    network.apply_to(several, unet, True, True)
    if network.load_state_dict(state, strict=False).unexpected_keys:
        return {}
    made = {
        module.lora_name: module.get_weight() for module in network.text_encoder_loras + network.unet_loras
    }
    stems = {kohya_stem(layer, model.family): layer for layer in _modules(model)}
    return {stems[name]: Change(weight.detach()) for name, weight in made.items()}


def _hang(root: nn.Module, path: str, place: str, leaf: nn.Module) -> None:
    """Puts a copy of a layer at its place below the root, in a module of the class that is looked for.

    `path` is the layer's by diffusers, which tells the class; `place` where it is for sd-scripts.
    """
    found = [(match[0], kind) for pattern, kind in _CLASSES if (match := re.match(pattern, path))]
    if not found:
        return
    (around, kind), *_ = found
    if place != path:  # a block of Stability's: middle_block.1, input_blocks.4.1
        around = ".".join(place.split(".")[: 2 if place.startswith("middle") else 3])
    here, *parents = root, *place.split(".")[:-1]
    for depth, part in enumerate(parents):
        if not hasattr(here, part):
            is_block = ".".join(parents[: depth + 1]) == around
            here.add_module(part, type(kind if is_block else "Around", (nn.Module,), {})())
        here = getattr(here, part)
    here.add_module(place.rpartition(".")[2], copy.deepcopy(leaf))


# diffusers with PEFT, LyCORIS


def by_diffusers(path: Path, model: BaseModel) -> Changes:
    """What diffusers' pipeline loads, merged by PEFT."""
    diffusers: Any = pytest.importorskip("diffusers", reason="diffusers loads the file")
    pytest.importorskip("peft", reason="PEFT puts it on")
    is_xl = model.family == "sdxl"
    pipeline = diffusers.StableDiffusionXLPipeline if is_xl else diffusers.StableDiffusionPipeline
    unet: Any = copy.deepcopy(model.component("unet"))
    state, alphas = pipeline.lora_state_dict(str(path), unet_config=unet.config)
    roots: dict[str, Any] = {"unet": unet}
    pipeline.load_lora_into_unet(state, network_alphas=alphas, unet=unet)
    for component, prefix in (("te1", "text_encoder"), ("te2", "text_encoder_2")):
        text = model.component(component)  # pyright: ignore[reportArgumentType]
        if text is not None and any(key.startswith(f"{prefix}.") for key in state):
            roots[component] = copy.deepcopy(text)
            pipeline.load_lora_into_text_encoder(
                state, network_alphas=alphas, text_encoder=roots[component], prefix=prefix
            )
    changes: Changes = {}
    by_module = {
        (layer.component, layer.path.removeprefix("text_model.")): layer for layer in _modules(model)
    }
    for component, root in roots.items():
        for name, module in root.named_modules():
            if hasattr(module, "lora_A"):
                before = module.base_layer.weight.detach().clone()
                module.merge()
                change = Change(module.base_layer.weight.detach() - before)
                changes[by_module[component, name.removeprefix("text_model.")]] = change
    return changes


def by_lycoris(path: Path, model: BaseModel) -> Changes:
    """LyCORIS' own modules, made from the file; what their forward adds, since their merges err."""
    modules: Any = pytest.importorskip("lycoris.modules", reason="LyCORIS loads the file")
    state = load_file(path)
    changes: Changes = {}
    for layer, module in _modules(model).items():
        stem = kohya_stem(layer, model.family)
        kind, parts = modules.get_module(state, stem)
        if kind is not None:
            base = copy.deepcopy(module)
            made: Any = modules.make_module(kind, parts, stem, base)
            with torch.no_grad():
                changes[layer] = _probed(made.eval(), base)
    return changes


def _probed(made: Any, base: Any) -> Change:
    """The change of a layer, from what a module makes of some inputs."""
    shape = base.weight.shape
    if len(shape) == 1:  # a norm: of each channel, the line of what is added over what was normalised
        plain = copy.deepcopy(base)
        plain.weight.fill_(1.0)
        plain.bias.zero_()
        x = noise(32, *shape, *((3, 3) if isinstance(base, nn.GroupNorm) else ()))
        flat, added = (
            values.view(*values.shape[:2], -1)[..., 0] for values in (plain(x), made(x) - base(x))
        )
        middle, height = flat.mean(0), added.mean(0)
        slope = ((flat - middle) * (added - height)).sum(0) / (flat - middle).square().sum(0)
        return Change(slope, height - slope * middle)
    units = torch.eye(base.weight[0].numel())
    units = torch.cat((torch.zeros(1, len(units)), units))
    if isinstance(base, nn.Conv2d):
        base.stride, base.padding = (1, 1), (0, 0)
        made.kw_dict = {**made.kw_dict, "stride": (1, 1), "padding": (0, 0)}
        units = units.view(len(units), *shape[1:])
    added = (made(units) - base(units)).flatten(1)
    return Change((added[1:] - added[0]).T.reshape(shape), added[0])
