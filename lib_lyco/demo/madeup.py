"""Made-up base models and networks: the names and shapes of real ones, at any width, random weights.

They prove plumbing, not pictures: loading, naming, applying, memory, speed. Nothing of them is kept
in the repository; whoever needs one writes it into a folder of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from lib_lyco.demo.madeup_yaml import yaml_text
from lib_lyco.files.save import save_tensors
from lib_lyco.models.plan import ModelPlan
from lib_lyco.models.settings import FACTS_KEY
from lib_lyco.models.sources import Source, part_sources, plan_layers
from lib_lyco.models.vae_layers import VaePlan
from lib_lyco.naming import sd1, sd2, sdxl
from lib_lyco.naming.clip import ClipPlan
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.place import Layer
from lib_lyco.naming.table import layer_table

Known = Literal["sd1", "sd2", "sdxl"]
Algo = Literal["lora", "locon", "loha", "lokr", "ia3", "full"]

FULL = MappingProxyType(
    {
        "sd1": ModelPlan("sd1", sd1.UNET, {"te1": sd1.TE1}, VaePlan((128, 256, 512, 512), 2)),
        "sd2": ModelPlan("sd2", sd2.UNET, {"te1": sd2.TE1}, VaePlan((128, 256, 512, 512), 2)),
        "sdxl": ModelPlan(
            "sdxl", sdxl.UNET, {"te1": sdxl.TE1, "te2": sdxl.TE2}, VaePlan((128, 256, 512, 512), 2)
        ),
    }
)
"""The published plans."""

_VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2_v", "sdxl": "sdxl_base_v1-0"}
_CONV_BLOCKS = (".resnets.", ".downsamplers.", ".upsamplers.")
_DELTA = 0.05
"""How large a network's change is beside the weights it changes."""

_HEADS = 4
_SIZE_WIDTH = 32


def small_plan(family: Known, width: int = 32) -> ModelPlan:
    """A published plan with its top level `width` wide (a multiple of 32, for the norms' groups).

    Levels keep their proportions, and all layers stay: only widths shrink.
    """
    assert width % 32 == 0, width
    full = FULL[family]
    top = full.unet.channels[0]
    texts = {c: replace(p, width=width * (4 if c == "te2" else 2)) for c, p in full.texts.items()}
    unet = replace(
        full.unet,
        channels=tuple(c * width // top for c in full.unet.channels),
        context=sum(p.width for p in texts.values()),
        vector=texts["te2"].width + 6 * _SIZE_WIDTH if "te2" in texts else 0,
    )
    return replace(full, unet=unet, texts=texts, vae=VaePlan((width,) * 4, full.vae.layers_per_block))


def write_checkpoint(
    path: Path, family: Known, width: int | None = 32, seed: int = 0, dtype: torch.dtype = torch.float16
) -> Path:
    """Writes a made-up base model (SD1 and SDXL predict epsilon, SD2 v) with the .yaml of a host beside it.

    Args:
        path: The .safetensors file.
        width: Width of the denoiser's top level; None for the published size (2 to 7 GB in float16).

    Returns:
        `path`.

    Raises:
        FileError: The file cannot be written.
    """
    plan = FULL[family] if width is None else small_plan(family, width)
    generator = torch.Generator().manual_seed(seed)
    tensors = {key: value.to(dtype) for key, value in _tensors(plan, generator)}
    metadata = {
        "modelspec.architecture": "made-up",
        "modelspec.prediction_type": "v" if family == "sd2" else "epsilon",
    }
    heads = None if width is None else _HEADS
    if heads:
        metadata[FACTS_KEY] = json.dumps({"unet_heads": heads, "text_heads": [heads] * len(plan.texts)})
    save_tensors(path, tensors, metadata)
    path.with_suffix(".yaml").write_text(yaml_text(plan, heads), encoding="utf-8")
    return path


def network_tensors(
    plan: ModelPlan, algo: Algo = "lora", rank: int = 4, seed: int = 0, dtype: torch.dtype = torch.float16
) -> dict[str, Tensor]:
    """A made-up network for a base model of this plan (`FULL[family]` or `small_plan`), under kohya's keys.

    It has the layers that sd-scripts trains (attention blocks and text encoders; with "locon" and
    "full" also the 3x3 convs of resnets and samplers), alpha half the rank, and changes that are
    small beside the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for component in layer_table(plan.family).components:
        for layer in plan_layers(plan, component):
            if _is_trained(layer, algo):
                stem = kohya_stem(layer.name, plan.family)
                for part, value in _parts(algo, layer.shape, rank, generator).items():
                    tensors[f"{stem}.{part}"] = value.to(dtype)
    return tensors


def network_metadata(plan: ModelPlan, algo: Algo = "lora", rank: int = 4) -> dict[str, str]:
    """What a trainer writes beside `network_tensors`."""
    by_kohya = algo == "lora"
    return {
        "ss_base_model_version": _VERSIONS[plan.family],
        "ss_v2": str(plan.family == "sd2"),
        "ss_network_module": "networks.lora" if by_kohya else "lycoris.kohya",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank / 2),
        "ss_network_args": "{}" if by_kohya else json.dumps({"algo": algo}),
    }


def _is_trained(layer: Layer, algo: Algo) -> bool:
    path, ndim = layer.name.path, len(layer.shape)
    if algo == "ia3":
        return path.endswith((".to_k", ".to_v", ".ff.net.2", ".k_proj", ".v_proj", ".mlp.fc2"))
    if layer.name.component != "unet":
        return ndim == 2 and ".encoder." in path
    if ".attentions." in path:
        return ndim >= 2
    return algo in ("locon", "full") and ndim == 4 and any(block in path for block in _CONV_BLOCKS)


def _parts(algo: Algo, shape: tuple[int, ...], rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """One layer's tensors; `shape` is (o, i, ...). Alpha is half the rank: factors are twice as large."""
    o, i, *kernel = shape
    flat, size = math.prod(shape[1:]), _DELTA / math.sqrt(math.prod(shape[1:]))

    def noise(*dims: int) -> Tensor:
        return torch.randn(dims, generator=generator)

    if algo == "full":
        return {"diff": size * noise(*shape)}
    if algo == "ia3":
        return {"weight": _DELTA * noise(o), "on_input": torch.tensor(0.0)}
    if algo == "lokr":
        return {"lokr_w1": noise(4, 4), "lokr_w2": size * noise(o // 4, i // 4, *kernel)}
    alpha = {"alpha": torch.tensor(rank / 2)}
    if algo == "loha":
        first = {"hada_w1_a": 2 * size * noise(o, rank), "hada_w1_b": noise(rank, flat)}
        return first | {"hada_w2_a": noise(o, rank), "hada_w2_b": noise(rank, flat) / rank} | alpha
    up = 2 * size / math.sqrt(rank) * noise(o, rank, *(1 for _ in kernel))
    return {"lora_up.weight": up, "lora_down.weight": noise(rank, i, *kernel)} | alpha


def _tensors(plan: ModelPlan, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    written: set[str] = set()
    for part in part_sources(_with_unread(plan)).values():
        for name, source in part.items():
            if source.key not in written:
                written.add(source.key)
                yield source.key, _values(name, _stored_shape(source), generator)


def _with_unread(plan: ModelPlan) -> ModelPlan:
    """The plan of the file: SD2's has OpenCLIP's last resblock and projection, which nothing reads."""
    if plan.family != "sd2":
        return plan
    return replace(
        plan, texts={c: ClipPlan(p.num_layers + 1, p.width, projection=True) for c, p in plan.texts.items()}
    )


def _stored_shape(source: Source) -> tuple[int, ...]:
    shape = source.shape
    if source.place.rows is not None:
        return (shape[0] * source.place.rows.count, *shape[1:])
    if source.place.transposed:
        return shape[::-1]
    if ".attn_1." in source.key and len(shape) == 2:
        return (*shape, 1, 1)  # the autoencoder's attention is made of convs in a file
    return shape


def _values(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Values of a size at which every layer passes on signals as large as it gets them."""
    noise = torch.randn(shape, generator=generator)
    if "embedding.weight" in name and "time" not in name:
        return 0.4 * noise
    if name.endswith("final_layer_norm.bias"):
        return 0.2 + 0.1 * noise  # the WebUI divides by the states' mean: it must not be zero
    if len(shape) == 1:
        return 0.05 * noise + (1 if name.endswith("weight") else 0)
    return noise / math.sqrt(math.prod(shape[1:]))
