"""Sizes and rates that are told before a run are those of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from lib_lyco.demo.madeup import write_checkpoint
from lib_lyco.files.save import save_tensors
from lib_lyco.models.checkpoint import open_checkpoint
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.hollow import hollow_model
from lib_lyco.models.load import load_model
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import make_config
from lib_lyco.train.export import export_tensors
from lib_lyco.train.forecast.network import forecast_blocks, forecast_file
from lib_lyco.train.forecast.weightless import Weightless
from lib_lyco.train.options.network import ALGOS
from lib_lyco.train.precision import DTYPES
from tests.train.forecast.full import full_model

MB, KB = 2**20, 2**10
STATED: list[tuple[dict[str, Any], str, float]] = [
    # sizes that users report: the LyCORIS wiki's and a memo's files for SD1.5
    ({"algo": "lora", "rank": 128}, "fp16", 144 * MB),
    ({"algo": "locon", "rank": 128}, "fp16", 297 * MB),
    ({"algo": "loha", "rank": 128}, "fp16", 594 * MB),
    ({"algo": "locon", "rank": 8}, "fp32", 38_000 * KB),
    ({"algo": "lora", "rank": 4}, "fp32", 9 * MB),
    ({"algo": "lora", "rank": 32}, "fp32", 72 * MB),
    ({"algo": "lokr", "rank": 8}, "fp16", 1.27 * MB),
]
VARIANTS: list[dict[str, Any]] = [
    *({"algo": algo} for algo in ALGOS),
    {"algo": "locon", "tucker": True, "use_scalar": True, "conv_rank": 2},
    {"algo": "lora", "dora": True, "train_norm": True},
    {"algo": "loha", "tucker": True, "dora": True, "wd_on_output": False},
    {"algo": "lokr", "decompose_both": True, "factor": 4},
    {"algo": "lokr", "full_matrix": True, "dora": True},
    {"algo": "lokr", "tucker": True, "unbalanced_factorization": True},
    {"algo": "boft", "rescaled": True},
    {"algo": "lora", "te_learning_rate": [0.0], "down_lr_weight": "zeros"},
]


@pytest.fixture(scope="module")
def published() -> DiffusersModel:
    return full_model()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "small.safetensors", "sd1", 32)


@pytest.fixture(scope="module")
def hollow(small: Path) -> DiffusersModel:
    return hollow_model(open_checkpoint(small))


@pytest.fixture(scope="module")
def loaded(small: Path) -> DiffusersModel:
    return load_model(small)


@pytest.mark.parametrize(("options", "precision", "stated"), STATED)
def test_sizes_on_the_published_model_are_those_that_users_report(
    published: DiffusersModel, options: dict[str, Any], precision: str, stated: float
) -> None:
    with Weightless():
        network = make_network(make_config(options), published)
    file = forecast_file(network, "sd1", DTYPES[precision])
    assert file.tensors + file.index == pytest.approx(stated, rel=0.012)


def test_ia3_with_all_scales_on_the_output_is_as_large_as_the_wikis_file(
    published: DiffusersModel, tmp_path: Path
) -> None:
    preset = tmp_path / "ia3.toml"
    names = r'unet_target_name = [".*\\.to_k$", ".*\\.to_v$", ".*\\.ff\\.net\\.2$"]'
    texts = r'text_encoder_target_name = [".*\\.k_proj$", ".*\\.v_proj$", ".*\\.mlp\\.fc2$"]'
    classes = "enable_conv = false\nunet_target_module = []\ntext_encoder_target_module = []"
    override = '[name_algo_map.".*"]\nalgo = "ia3"\ntrain_on_input = false'
    preset.write_text(f"{classes}\n{names}\n{texts}\n{override}\n", encoding="utf-8")
    with Weightless():
        network = make_network(make_config({"algo": "ia3", "preset": str(preset)}), published)
    file = forecast_file(network, "sd1", torch.float16)
    assert file.tensors + file.index == pytest.approx(208 * KB, rel=0.02)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_parameters_and_bytes_are_those_of_the_file(
    hollow: DiffusersModel, loaded: DiffusersModel, tmp_path: Path, options: dict[str, Any]
) -> None:
    config = make_config(
        {"rank": 4, "alpha": 2.0 if options["algo"] in ("lora", "lokr") else 8.0} | options
    )
    with Weightless():
        told = make_network(config, hollow)
    made = make_network(config, loaded)
    path = tmp_path / "network.safetensors"
    save_tensors(path, export_tensors(made, "sd1", torch.float16), {})
    with safe_open(path, "pt") as file:
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping
    forecast = forecast_file(told, "sd1", torch.float16)
    assert forecast.tensors == sum(tensor.nbytes for tensor in stored.values())
    assert forecast.tensors + forecast.index == path.stat().st_size
    blocks = forecast_blocks(told, "sd1", torch.float16)
    assert sum(block.bytes for block in blocks) == forecast.tensors
    trained = sum(parameter.numel() for layer in made for parameter in layer.parameters)
    assert (sum(block.parameters for block in blocks), sum(block.adapters for block in blocks)) == (
        trained,
        len(made.layers),
    )


def test_blocks_are_the_model_s_in_order(hollow: DiffusersModel) -> None:
    with Weightless():
        network = make_network(make_config({"rank": 2}), hollow)
    blocks = forecast_blocks(network, "sd1", torch.float32)
    ins, outs = ("IN01", "IN02", "IN04", "IN05", "IN07", "IN08"), tuple(f"OUT{n:02}" for n in range(3, 12))
    assert [block.block for block in blocks] == ["BASE", *ins, "MID", *outs]
    # te: 12 layers of 4 + 2 Linear; IN01: proj_in, proj_out, 2 x 4 of attention, 2 of the MLP
    assert [block.adapters for block in blocks[:2]] == [72, 12]
    # width 32, context 64, rank 2: each factor pair is 2 (in + out)
    assert blocks[1].parameters == 2 * (8 * 64 + 2 * (64 + 32) + (32 + 256) + (128 + 32))
