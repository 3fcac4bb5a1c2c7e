"""Files made by other tools' own code load without one unknown key, one adapter per layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from torch import Tensor

from lib_lyco.network.decode import decode_network
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network
from tests.network.written import by_lycoris, by_peft, stems, tiny_unet

LYCORIS = [
    ("locon", {}, "lora"),
    ("locon", {"use_tucker": "True"}, "lora"),
    ("locon", {"dora_wd": "True"}, "lora+dora"),
    ("locon", {"dora_wd": "True", "wd_on_output": "False"}, "lora+dora"),
    ("loha", {}, "loha"),
    ("loha", {"use_tucker": "True"}, "loha"),
    ("lokr", {"factor": "4"}, "lokr"),
    ("lokr", {"factor": "4", "decompose_both": "True"}, "lokr"),
    ("lokr", {"factor": "4", "use_tucker": "True"}, "lokr"),
    ("lokr", {"full_matrix": "True"}, "lokr"),
    ("ia3", {}, "ia3"),
    ("dylora", {"block_size": "1"}, "dylora"),
    ("glora", {}, "glora"),
    ("diag-oft", {}, "diag-oft"),
    ("diag-oft", {"rescaled": "True", "constraint": "1"}, "diag-oft"),
    ("full", {}, "full"),
]


def decoded(state: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Network:
    return decode_network(state, metadata or {}, "made", "id")


@pytest.mark.parametrize("preset", ["attn-mlp", "unet-convblock-only"])
@pytest.mark.parametrize(
    ("algo", "options", "ours"),
    LYCORIS,
    ids=[f"{algo}-{'-'.join(options)}" for algo, options, _ in LYCORIS],
)
def test_lycoris_files_are_understood_whole(
    preset: str, algo: str, options: dict[str, str], ours: str
) -> None:
    state = by_lycoris(algo, preset, **options)
    network = decoded(state, {"ss_network_args": json.dumps({"algo": algo})})
    assert network.unknown == ()
    assert network.family == "sd1"
    assert len(network.adapters) == len(stems(state)) > 0
    assert ours in {adapter.algo for adapter in network.adapters.values()}
    assert {layer.component for layer in network.adapters} == (
        {"unet", "te1"} if preset == "attn-mlp" else {"unet"}
    )


LINEAR = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj"]
CONV = [*LINEAR, "proj_in", "conv1"]
PEFT = {
    "lora": ("LoraConfig", {"r": 2, "target_modules": CONV}),
    "dora": ("LoraConfig", {"r": 2, "target_modules": CONV, "use_dora": True}),
    "loha": ("LoHaConfig", {"r": 2, "target_modules": CONV, "use_effective_conv2d": True}),
    "lokr": ("LoKrConfig", {"r": 2, "target_modules": CONV, "decompose_both": True}),
    "ia3": ("IA3Config", {"target_modules": LINEAR, "feedforward_modules": ["ff.net.0.proj"]}),
    "oft": ("OFTConfig", {"target_modules": LINEAR, "oft_block_size": 4}),
}


@pytest.mark.parametrize("kind", PEFT)
def test_peft_files_are_understood_whole(kind: str) -> None:
    peft: Any = pytest.importorskip("peft", reason="PEFT writes the file")
    name, options = PEFT[kind]
    state = by_peft(getattr(peft, name)(**options))
    network = decoded(state)
    assert network.unknown == ()
    assert network.family == "sd1"
    modules = {key.rpartition(f".{part}")[0] for key in state for part in PEFT_PARTS if f".{part}" in key}
    assert len(network.adapters) == len(modules) > 100


PEFT_PARTS = ("lora_", "hada_", "lokr_", "ia3_", "oft_")


def test_diffusers_file_is_understood_whole_with_its_alpha(tmp_path: Path) -> None:
    diffusers: Any = pytest.importorskip("diffusers", reason="diffusers writes the file")
    peft: Any = pytest.importorskip("peft", reason="PEFT makes the adapters")
    unet = tiny_unet()
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=CONV)
    unet.add_adapter(config)
    diffusers.StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=peft.get_peft_model_state_dict(unet),
        unet_lora_adapter_metadata=config.to_dict(),
    )
    network = load_network(tmp_path / "pytorch_lora_weights.safetensors")
    assert network.unknown == ()
    assert {layer.component for layer in network.adapters} == {"unet"}
    assert {adapter.scale for adapter in network.adapters.values()} == {2.0}


def test_saved_by_lycoris_in_half_precision_is_the_same_network(tmp_path: Path) -> None:
    state = by_lycoris("locon", "attn-mlp")
    path = tmp_path / "half.safetensors"
    save_file({key: value.half() for key, value in state.items()}, path)
    network = load_network(path)
    assert network.name == "half"
    assert network.unknown == ()
    assert {adapter.scale for adapter in network.adapters.values()} == {0.5}
