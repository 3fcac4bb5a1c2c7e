"""What is computed and kept in which dtype, and what the base model is taken to predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from lib_lyco.errors import ConfigError
from lib_lyco.train.compose.model import halve, settle
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.events import Step
from lib_lyco.train.precision import choose_precision
from lib_lyco.train.prepare import compact, prepared
from tests.train.test_run import equal, final_file, load_trained, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("device", "has_bf16", "loaded", "chosen"),
    [
        (CPU, False, torch.float32, "fp32"),
        (CPU, False, torch.bfloat16, "bf16"),
        (CUDA, True, torch.float32, "bf16"),
        (CUDA, False, torch.float32, "fp16"),
        (CUDA, True, torch.float16, "fp16"),
        (torch.device("mps"), False, torch.float32, "fp32"),
    ],
)
def test_precision_is_chosen_by_the_device_and_the_loaded_model(
    device: torch.device,
    has_bf16: bool,
    loaded: torch.dtype,
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    assert choose_precision("auto", device, loaded) == chosen
    assert choose_precision("fp16", device, loaded) == "fp16"


def test_chosen_precision_is_what_the_file_says(make_config: Make) -> None:
    config = make_config(max_steps=1)
    assert config.precision == "auto"
    for model, precision in ((TinyModel(), "no"), (TinyModel(dtype=torch.bfloat16), "bf16")):
        run(config.replaced(overwrite=True), model)
        with safe_open(final_file(config), "pt") as file:
            assert file.metadata()["ss_mixed_precision"] == precision


class Dtypes(TinyModel):
    """Remembers in which dtype its first attention computes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[torch.dtype, torch.dtype]] = set()
        layer = self.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q

        def look(module: nn.Linear, _inputs: Any, output: torch.Tensor) -> None:
            self.seen.add((module.weight.dtype, output.dtype))

        layer.register_forward_hook(look)


def test_base_weights_are_eight_bits_while_training(make_config: Make) -> None:
    model, full = Dtypes(), Dtypes()
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    config = make_config(precision="bf16", name="full")
    losses = [event.loss for event in run(config, full) if isinstance(event, Step)]
    small = config.replaced(name="small", fp8_base=True)
    compacted = [event.loss for event in run(small, model) if isinstance(event, Step)]
    assert full.seen == {(torch.float32, torch.bfloat16)}
    assert model.seen == {(torch.float8_e4m3fn, torch.bfloat16)}
    # e4m3 rounds to 1 part in 16: the loss of a random model is moved, and little
    assert losses[0] != compacted[0] == pytest.approx(losses[0], rel=0.05)
    after = model.unet.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {value.dtype for value in after.values()} == {torch.float32}
    with safe_open(final_file(small), "pt") as file:
        assert file.metadata()["ss_fp8_base"] == "True"


def test_eight_bit_weights_are_those_of_torch_and_put_back_after_an_error() -> None:
    model = TinyModel()
    layer = model.unet.mid_block.attentions[0].proj_in
    embedding, norm = model.text.get_input_embeddings(), model.unet.conv_norm_out
    with torch.no_grad():
        layer.weight.view(-1)[0] = 1e4
    original = layer.weight.detach().clone()
    with pytest.raises(KeyError), prepared(model, False), compact(model, True):
        expected = original.clamp(-448, 448).to(torch.float8_e4m3fn).float()
        assert torch.equal(layer.weight.float(), expected)
        assert layer.weight.float().isfinite().all()
        assert embedding.weight.dtype == norm.weight.dtype == torch.float32
        assert model.unet.dtype == torch.float32
        raise KeyError
    assert torch.equal(layer.weight, original)


@pytest.mark.parametrize("algo", ["lora", "locon", "loha", "lokr", "ia3", "dylora", "full", "glora"])
def test_full_half_keeps_trained_weights_and_states_in_half(make_config: Make, algo: str) -> None:
    config = make_config(precision="bf16", algo=algo, save_precision="fp32", name="half", full_half=True)
    full = config.replaced(name="full", full_half=False)
    tensors, exact = load_trained(config), load_trained(full)
    weights = {key: value for key, value in tensors.items() if not key.endswith(("alpha", "on_input"))}
    assert all(torch.equal(value, value.bfloat16().float()) for value in weights.values())
    assert any(not torch.equal(exact[key], exact[key].bfloat16().float()) for key in weights)
    alphas = [key for key in tensors if key.endswith("alpha")]
    assert all(torch.equal(tensors[key], exact[key]) for key in alphas)


@pytest.mark.parametrize(
    "options",
    [
        {"dora": True},
        {"dora": True, "wd_on_output": False, "conv_rank": 2},
        {"algo": "lokr", "dora": True},
        {"algo": "diag-oft", "rescaled": True},
        {"algo": "tlora"},
    ],
    ids=str,
)
def test_full_half_network_starts_as_the_identity(
    make_config: Make, tiny: TinyModel, options: dict[str, Any]
) -> None:
    # a magnitude in bf16 rounds each row by up to 2^-9, and all of the weight where norms are taken in it
    config = make_config(precision="bf16", full_half=True, **options)
    network = make_network(config, tiny)
    halve(config, network)
    assert torch.bfloat16 in {parameter.dtype for layer in network for parameter in layer.parameters}
    for layer in network:
        change = layer.algo.delta(layer).detach()
        assert float(change.norm()) < 1e-5 * float(layer.weight.norm()), layer.layer


def test_full_half_run_resumes_exactly(make_config: Make) -> None:
    config = make_config(
        precision="bf16", full_half=True, name="whole", save_every_n_steps=2, save_state=True
    )
    whole = load_trained(config)
    folder = Path(config.output)
    again = config.replaced(name="again")
    run(again)
    for path in folder.glob("again-step0000000[45].state"):
        path.unlink()
    run(again.replaced(resume=str(folder / "again-step00000002.state")))
    assert equal(load_file(final_file(again)), whole)


@pytest.mark.parametrize("option", ["full_half", "fp8_base"])
def test_half_options_need_half_precision(make_config: Make, option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(precision="fp32", **{option: True})
    assert caught.value.where == option
    with pytest.raises(ConfigError) as caught:
        run(make_config(**{option: True}))
    assert caught.value.where == option


def test_prediction_can_be_overridden(make_config: Make) -> None:
    """A run that is told that the model predicts v is that on a model whose file says so."""
    config = make_config(prediction="v")
    told = load_trained(config, TinyModel("epsilon"))
    with safe_open(final_file(config), "pt") as file:
        assert file.metadata()["modelspec.prediction_type"] == "v"
    assert equal(told, load_trained(make_config(name="detected"), TinyModel("v")))
    assert not equal(told, load_trained(make_config(name="noise"), TinyModel("epsilon")))


def test_unexpected_family_is_an_error(make_config: Make) -> None:
    settle(make_config(base_family="sd1"), TinyModel())
    with pytest.raises(ConfigError) as caught:
        run(make_config(base_family="sdxl"))
    assert caught.value.where == "base_family"
