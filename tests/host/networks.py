"""Made-up networks, and base models with them already inside: the second is what the first must give.

The layers' two names are written down by hand: kohya's, as sd-scripts saves them, and ldm's, as they
stand in a checkpoint.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_lyco.demo import embedded

UNET = {
    "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (
        "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
    ),
    "down_blocks_2_attentions_1_transformer_blocks_0_attn2_to_k": (
        "input_blocks.8.1.transformer_blocks.0.attn2.to_k"
    ),
    "mid_block_attentions_0_proj_in": "middle_block.1.proj_in",
    "up_blocks_1_attentions_1_transformer_blocks_0_attn2_to_v": (
        "output_blocks.4.1.transformer_blocks.0.attn2.to_v"
    ),
    "up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj": (
        "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj"
    ),
    "up_blocks_3_resnets_2_conv1": "output_blocks.11.0.in_layers.2",
}
TEXT = {
    "text_model_encoder_layers_0_self_attn_q_proj": "text_model.encoder.layers.0.self_attn.q_proj",
    "text_model_encoder_layers_3_mlp_fc1": "text_model.encoder.layers.3.mlp.fc1",
    "text_model_encoder_layers_7_self_attn_out_proj": "text_model.encoder.layers.7.self_attn.out_proj",
}
PLACES = {
    **{f"lora_unet_{kohya}": f"model.diffusion_model.{ldm}.weight" for kohya, ldm in UNET.items()},
    **{f"lora_te_{kohya}": f"cond_stage_model.transformer.{ldm}.weight" for kohya, ldm in TEXT.items()},
}
RANK = 4


def base() -> dict[str, Tensor]:
    """The embedded model's weights."""
    return load_file(embedded.checkpoint())


def lora(seed: int, names: str = "lora_", gain: float = 1.6) -> dict[str, Tensor]:
    """A LoRA on the layers whose names begin so, large enough to be seen."""
    generator, weights = torch.Generator().manual_seed(seed), base()
    tensors: dict[str, Tensor] = {}
    for stem, key in PLACES.items():
        if not stem.startswith(names):
            continue
        out, inner, *kernel = weights[key].shape
        size = gain * 0.7 * float(weights[key].float().std()) / math.sqrt(RANK)
        down = torch.randn(RANK, inner, *kernel, generator=generator)
        up = size * torch.randn(out, RANK, *(1 for _ in kernel), generator=generator)
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        tensors[f"{stem}.alpha"] = torch.tensor(RANK / 2)
    return tensors


def merged(
    *parts: tuple[Mapping[str, Tensor], float, float], weights: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The base with networks inside: W + sum of multiplier * alpha / rank * up @ down, summed in float64.

    Hu et al. 2021, arXiv:2106.09685, section 4.1.

    Args:
        parts: Network, multiplier of the text encoder, multiplier of the denoiser.
        weights: Another base than the embedded one.
    """
    weights = dict(weights or base())
    for stem, key in PLACES.items():
        total = weights[key].double()
        for network, te, unet in parts:
            if f"{stem}.alpha" not in network:
                continue
            up, down = (network[f"{stem}.lora_{part}.weight"].double() for part in ("up", "down"))
            scale = (te if stem.startswith("lora_te_") else unet) * network[f"{stem}.alpha"].double() / RANK
            total = total + scale * (up.flatten(1) @ down.flatten(1)).reshape(total.shape)
        weights[key] = total.float()
    return weights


def sshs_hash(path: Path) -> str:
    """What the builtin calls a file without hashes in its metadata: sha256 behind the header."""
    data = path.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


FILES: Mapping[str, tuple[int, str]] = {
    "alpha": (1, "lora_"),
    "beta": (2, "lora_"),
    "words": (3, "lora_te_"),
    "paint": (4, "lora_unet_"),
    "one/twin": (5, "lora_"),
    "two/twin": (6, "lora_"),
}
"""Name below the folder -> seed and layers. The files that every run has from its start."""


def write_all(folder: Path) -> None:
    """Writes FILES, and one that goes by an alias."""
    for name, (seed, layers) in FILES.items():
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(lora(seed, layers), path)
    metadata = {"ss_output_name": "gamma", "ss_base_model_version": "sd_v1"}
    save_file(lora(7), folder / "file-of-gamma.safetensors", metadata)


def write_checkpoints(write: Callable[[str, Mapping[str, Tensor]], None]) -> None:
    """A second base model, and both with networks inside."""
    other = {key: value.float() * 1.05 for key, value in base().items()}
    write("other", other)
    write("alpha-inside", merged((lora(1), 1.0, 1.0)))
    write("beta-inside", merged((lora(2), 1.0, 1.0)))
    write("paint-inside", merged((lora(4, "lora_unet_"), 1.0, 1.0)))
    write("other-alpha-inside", merged((lora(1), 1.0, 1.0), weights=other))
