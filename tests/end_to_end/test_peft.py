"""Networks of PEFT and diffusers: what their wrapped UNet returns, and what the file does in ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import LayerName
from tests.end_to_end.tiny import Tiny, check_file, scatter, sd1, sdxl
from tests.oracles.layers import noise

peft: Any = pytest.importorskip("peft", reason="PEFT writes the files")
diffusers: Any = pytest.importorskip("diffusers", reason="diffusers writes the files")

LINEAR = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj"]
ALL = [*LINEAR, "proj_in", "conv1", "conv_in", "linear_1"]
RANK = 4


@pytest.fixture(scope="module")
def base() -> Tiny:
    return sd1()


CONFIGS: dict[str, tuple[str, dict[str, Any], float]] = {
    # alpha is in PEFT's own configuration, beside the file: equal to r here, which is scale 1
    "lora": ("LoraConfig", {"r": RANK, "lora_alpha": RANK, "target_modules": ALL}, 0.1),
    "dora": ("LoraConfig", {"r": RANK, "lora_alpha": RANK, "target_modules": ALL, "use_dora": True}, 0.1),
    "loha": ("LoHaConfig", {"r": RANK, "alpha": RANK, "target_modules": ALL}, 0.2),
    "lokr": ("LoKrConfig", {"r": RANK, "alpha": RANK, "target_modules": ALL, "decompose_both": True}, 0.2),
    "ia3": ("IA3Config", {"target_modules": LINEAR, "feedforward_modules": ["ff.net.0.proj"]}, 0.2),
    "oft": ("OFTConfig", {"target_modules": LINEAR, "oft_block_size": 4}, 0.1),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_file_of_peft_returns_what_its_model_returned(base: Tiny, tmp_path: Path, kind: str) -> None:
    name, options, scale = CONFIGS[kind]
    model = base.copy()
    wrapped = peft.get_peft_model(model.unet, getattr(peft, name)(**options)).eval()
    scatter(wrapped, scale)
    path = tmp_path / "adapter_model.safetensors"
    save_file(
        {key: value.contiguous() for key, value in peft.get_peft_model_state_dict(wrapped).items()}, path
    )
    check_file(path, base, Tiny(wrapped, model.text).outputs())


@pytest.mark.parametrize(
    "options", [{}, {"use_rslora": True}, {"alpha_pattern": {"attn1.to_q": 16}}], ids=str
)
def test_file_of_diffusers_is_applied_at_its_alpha(
    base: Tiny, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = base.copy()
    config = peft.LoraConfig(r=RANK, lora_alpha=2, target_modules=ALL, **options)
    model.unet.add_adapter(config)
    scatter(model.unet, 0.1)
    diffusers.StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=peft.get_peft_model_state_dict(model.unet),
        unet_lora_adapter_metadata=config.to_dict(),
    )
    check_file(tmp_path / "pytorch_lora_weights.safetensors", base, model.outputs())


def test_kohyas_sdxl_file_is_to_us_what_it_is_to_diffusers(tmp_path: Path) -> None:
    """With sgm names, and the upsampler, which other readers look for in the wrong place."""
    base = sdxl()
    state: dict[str, Any] = {}
    for number, (path, module) in enumerate(base.unet.named_modules()):
        if not path.endswith((*LINEAR, "proj_in", "conv1", "upsamplers.0.conv", "downsamplers.0.conv")):
            continue
        stem = kohya_stem(LayerName("unet", path), "sdxl")
        o, *rest = module.weight.shape
        ones = [1] * (len(rest) - 1)
        state[f"{stem}.lora_down.weight"] = noise(RANK, *rest, seed=number, scale=0.2)
        state[f"{stem}.lora_up.weight"] = noise(o, RANK, *ones, seed=number + 999, scale=0.2)
        # diffusers drops the alphas of attention layers, so only alpha = r, scale 1, can be compared
        state[f"{stem}.alpha"] = torch.tensor(float(RANK))
    path = tmp_path / "network.safetensors"
    save_file(state, path, metadata={"ss_base_model_version": "sdxl_base_v1-0"})
    model = base.copy()
    pipeline = diffusers.StableDiffusionXLPipeline
    loaded, alphas = pipeline.lora_state_dict(str(path), unet_config=model.unet.config)
    pipeline.load_lora_into_unet(loaded, network_alphas=alphas, unet=model.unet)
    check_file(path, base, model.outputs())
