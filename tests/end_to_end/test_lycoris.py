"""Networks of LyCORIS: what its modules do in forward, and what its saved file does in ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.end_to_end.tiny import Tiny, check_file, scatter, sd1

kohya: Any = pytest.importorskip("lycoris.kohya", reason="LyCORIS writes the files")

EVERYWHERE = """
enable_conv = true
unet_target_module = ["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"]
unet_target_name = ["conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"]
text_encoder_target_module = ["CLIPAttention", "CLIPMLP"]
text_encoder_target_name = []
"""
TEXT = """
enable_conv = false
unet_target_module = []
unet_target_name = []
text_encoder_target_module = ["CLIPAttention", "CLIPMLP"]
text_encoder_target_name = []
"""
MIXED = f"""
{EVERYWHERE}
[module_algo_map.ResnetBlock2D]
algo = "loha"
[module_algo_map.CLIPAttention]
algo = "ia3"
[module_algo_map.CLIPMLP]
algo = "full"
"""

CASES: tuple[tuple[str, dict[str, str], float], ...] = (
    ("locon", {"conv_dim": "2", "conv_alpha": "1", "train_norm": "True"}, 0.1),
    ("locon", {"use_tucker": "True"}, 0.1),
    ("locon", {"rs_lora": "True"}, 0.1),
    ("locon", {"use_scalar": "True"}, 0.1),
    ("locon", {"dora_wd": "True"}, 0.1),
    ("locon", {"dora_wd": "True", "wd_on_output": "False"}, 0.1),
    ("loha", {}, 0.2),
    ("loha", {"use_tucker": "True"}, 0.3),
    ("lokr", {"factor": "4"}, 0.1),
    ("lokr", {"factor": "4", "decompose_both": "True", "use_tucker": "True"}, 0.2),
    ("lokr", {"factor": "8", "unbalanced_factorization": "True"}, 0.1),
    ("lokr", {"factor": "2", "full_matrix": "True"}, 0.02),
    ("lokr", {"factor": "4", "dora_wd": "True"}, 0.1),
    ("ia3", {}, 0.1),
    ("ia3", {"bypass_mode": "True"}, 0.1),
    ("glora", {}, 0.1),
    ("glora", {"rs_lora": "True"}, 0.1),
    ("diag-oft", {}, 0.1),
    ("diag-oft", {"rescaled": "True", "constraint": "0.01"}, 0.1),
    ("boft", {"rescaled": "True"}, 0.1),
    ("full", {}, 0.02),
)


@pytest.fixture(scope="module")
def base() -> Tiny:
    return sd1()


@pytest.fixture
def clean() -> Iterator[None]:
    """Puts back what a preset leaves on LyCORIS' class for whoever comes next."""
    network = kohya.LycorisNetworkKohya
    before = {name: value for name, value in vars(network).items() if name.isupper()}
    yield
    for name, value in before.items():
        setattr(network, name, value)


def trained(base: Tiny, algo: str, options: dict[str, str], folder: Path, preset: str = EVERYWHERE) -> Any:
    """A copy of the model and LyCORIS' network on it."""
    model, file = base.copy(), folder / "preset.toml"
    file.write_text(preset)
    network = kohya.create_network(
        *(1.0, 4, 2.0, None, model.text, model.unet),
        algo=algo,
        preset=str(file),
        warn_on_unmatched=False,
        **options,
    )
    network.apply_to(model.text, model.unet, True, True)
    return model, network.eval()


def save(network: Any, algo: str, options: dict[str, str], folder: Path) -> Path:
    """LyCORIS' own file, with the metadata that sd-scripts writes into it."""
    path = folder / "network.safetensors"
    args = json.dumps({"algo": algo, **options})
    network.save_weights(str(path), None, {"ss_network_module": "lycoris.kohya", "ss_network_args": args})
    return path


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    ("algo", "options", "scale"), CASES, ids=["-".join((algo, *options)) for algo, options, _ in CASES]
)
def test_saved_network_returns_what_its_training_forward_returned(
    base: Tiny, tmp_path: Path, algo: str, options: dict[str, str], scale: float
) -> None:
    model, network = trained(base, algo, options, tmp_path)
    scatter(network, scale)
    check_file(save(network, algo, options, tmp_path), base, model.outputs())


@pytest.mark.usefixtures("clean")
def test_mixed_algorithms_in_one_file(base: Tiny, tmp_path: Path) -> None:
    model, network = trained(base, "lokr", {"factor": "4"}, tmp_path, MIXED)
    scatter(network, 0.1)
    check_file(save(network, "lokr", {"factor": "4"}, tmp_path), base, model.outputs())


@pytest.mark.usefixtures("clean")
def test_tlora_on_the_model_it_was_trained_on(base: Tiny, tmp_path: Path) -> None:
    model, network = trained(base, "tlora", {"bypass_mode": "True"}, tmp_path, TEXT)
    scatter(network, 0.1)
    check_file(save(network, "tlora", {"bypass_mode": "True"}, tmp_path), base, model.outputs())


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("blocks", [1, 2])
def test_dylora_at_the_sub_rank_that_a_training_step_drew(
    base: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    model, network = trained(base, "dylora", {"block_size": "2"}, tmp_path)
    scatter(network, 0.1)

    def draw(_first: int, _last: int) -> int:
        return blocks - 1

    monkeypatch.setattr("lycoris.modules.dylora.random.randint", draw)
    path = save(network, "dylora", {"block_size": "2"}, tmp_path)
    check_file(path, base, model.outputs(), rank=2 * blocks)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("algo", ["locon", "ia3", "diag-oft"])
def test_network_saved_in_half_is_the_rounded_network(
    base: Tiny, tmp_path: Path, algo: str, dtype: torch.dtype
) -> None:
    model, network = trained(base, algo, {}, tmp_path)
    scatter(network, 0.1)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype).float()
    path = tmp_path / "half.safetensors"
    network.save_weights(str(path), dtype, {"ss_network_args": json.dumps({"algo": algo})})
    check_file(path, base, model.outputs())
