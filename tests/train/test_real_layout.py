"""Training through diffusers and transformers on made-up models with every real layer name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lib_lyco.demo.madeup import Known, write_checkpoint
from lib_lyco.models.load import load_model
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train


@pytest.mark.parametrize(
    ("family", "version", "counts", "sample"),
    [
        # sd-scripts' counts of modules, and a key as it writes it
        ("sd1", "sd_v1", (192, 72), "lora_te_text_model_encoder_layers_11_mlp_fc2.alpha"),
        ("sdxl", "sdxl_base_v1-0", (722, 264), "lora_unet_input_blocks_4_1_proj_in.lora_up.weight"),
    ],
)
def test_network_of_a_real_layout_has_kohyas_keys(
    make_config: Callable[..., TrainConfig],
    tmp_path: Path,
    family: Known,
    version: str,
    counts: tuple[int, int],
    sample: str,
) -> None:
    checkpoint = tmp_path / "base.safetensors"
    write_checkpoint(checkpoint, family, width=32)
    model = load_model(checkpoint, torch.device("cpu"), torch.float32)
    config = make_config(base_model=str(checkpoint), max_steps=2, rank=2)
    for _ in train(config, model):
        pass
    with safe_open(Path(config.output) / "network.safetensors", "pt") as file:
        metadata, keys = file.metadata(), set(file.keys())
    stems = {key.split(".")[0] for key in keys}
    in_unet = sum(stem.startswith("lora_unet_") for stem in stems)
    assert (in_unet, len(stems) - in_unet) == counts
    assert len(keys) == 3 * len(stems)
    assert sample in keys
    assert metadata["ss_base_model_version"] == version
    assert metadata["ss_sd_model_name"] == "base.safetensors"
    assert len(metadata["ss_new_sd_model_hash"]) == 64
