"""T-LoRA: ranks by timestep, starts, files and gradients, against lycoris' own module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris.modules.tlora import clear_timestep_mask, compute_timestep_mask, set_timestep_mask
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lib_lyco.errors import ConfigError
from lib_lyco.models.target import Target
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.network import Recipe, TrainableNetwork, build_network
from lib_lyco.train.run import train
from lib_lyco.train.tlora import active_ranks
from tests.train.test_network import CPU, LAYERS, along_matrix, an_input
from tests.train.test_save import saver, scatter, trained_network
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]
TIMED = AlgoSettings("tlora", 4, 2.0, min_rank=2)
TIMESTEPS = torch.tensor([900, 30])


@pytest.mark.parametrize(
    ("rank", "least", "exponent"), [(8, 1, 1.0), (64, 32, 1.0), (16, 4, 2.5), (4, 4, 1.0)]
)
def test_as_many_ranks_act_as_in_lycoris(rank: int, least: int, exponent: float) -> None:
    for timestep in (0, 1, 499, 500, 900, 999):
        theirs = compute_timestep_mask(timestep, 1000, rank, least, exponent)
        assert active_ranks(timestep, 1000, rank, least, exponent) == int(theirs.sum())
    # by hand: 8 ranks of which 1 always acts, in the middle int(0.5 * 7) + 1
    assert active_ranks(500, 1000, 8, 1, 1.0) == 4
    # a block of fewer ranks than always act has all of them
    assert active_ranks(999, 1000, 2, 4, 1.0) == 2


def timed(settings: AlgoSettings, module: nn.Module) -> TrainableNetwork:
    """One layer of the UNet with moved parameters, told of two timesteps."""
    name = LayerName("unet", "mid_block.to_k")
    network = build_network({name: Recipe(Target(name, module), settings)}, 3, CPU)
    scatter(network)
    network.at_timesteps(TIMESTEPS, 1000)
    return network


def by_lycoris(layer: Any, module: nn.Module, x: Tensor) -> Tensor:
    """lycoris' own forward of each sample, with the mask that its own function makes."""
    changed: list[Tensor] = []
    for sample, timestep in zip(x.split(1), TIMESTEPS.tolist(), strict=True):
        set_timestep_mask(compute_timestep_mask(timestep, 1000, 4, 2, 1.0))
        try:
            changed.append(along_matrix(layer.module.bypass_forward_diff, module, sample))
        finally:
            clear_timestep_mask()
    return module(x) + torch.cat(changed)


@pytest.mark.parametrize("math", ["own", "lycoris"])
@pytest.mark.parametrize("kind", LAYERS)
def test_each_sample_teaches_the_ranks_of_its_timestep(kind: str, math: str) -> None:
    module = LAYERS[kind].requires_grad_(False)
    layer = timed(replace(TIMED, layer_math=math), module).layers[0]
    x = an_input(module).requires_grad_(True)
    learning = [x, *layer.parameters]
    expected = by_lycoris(layer, module, x)
    mark = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4))
    wanted = torch.autograd.grad((expected * mark).sum(), learning)
    layer.attach()
    found = module(x)
    gradients = torch.autograd.grad((found * mark).sum(), learning)
    layer.detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_noise_alone_teaches_the_lowest_ranks_only() -> None:
    module = LAYERS["linear"].requires_grad_(False)
    network = timed(TIMED, module)
    (layer,) = network
    network.at_timesteps(torch.tensor([999, 999]), 1000)
    layer.attach()
    module(an_input(module)).sum().backward()
    layer.detach()
    for name, dim in (("p_layer.weight", 1), ("q_layer.weight", 0), ("lambda_layer", 1)):
        by_rank = dict(layer.module.named_parameters())[name].grad.movedim(dim, 0).flatten(1).abs().sum(1)
        assert (by_rank > 0).tolist() == [True, True, False, False], name
    network.end_step()
    assert layer.active is None


@pytest.mark.parametrize("vectors", ["principal", "last", "middle"])
def test_training_starts_at_the_singular_vectors_asked_for(vectors: str) -> None:
    module: Any = nn.Conv2d(4, 12, 3)
    name = LayerName("unet", "mid_block.to_k")
    settings = replace(TIMED, sig_type=vectors)
    (layer,) = build_network({name: Recipe(Target(name, module), settings)}, 3, CPU)
    left, values, right = torch.linalg.svd(module.weight.detach().flatten(1).double(), full_matrices=False)
    chosen = {"principal": slice(0, 4), "last": slice(8, 12), "middle": slice(4, 8)}[vectors]
    start = (layer.module.p_layer.weight * layer.module.lambda_layer) @ layer.module.q_layer.weight
    wanted = (left[:, chosen] * values[chosen]) @ right[chosen]
    torch.testing.assert_close(start.detach().double(), wanted, rtol=1e-4, atol=1e-5)
    settings = replace(settings, use_data_init=False)
    (other,) = build_network({name: Recipe(Target(name, module), settings)}, 3, CPU)
    random = (other.module.p_layer.weight * other.module.lambda_layer) @ other.module.q_layer.weight
    assert float((random - start).detach().norm()) > 0.5 * float(start.detach().norm())
    eye = other.module.q_layer.weight @ other.module.q_layer.weight.T
    torch.testing.assert_close(eye.detach(), torch.eye(4), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_change_survives_a_file_in_half_precision(dtype: torch.dtype) -> None:
    # as lycoris stores it, P and Q are large beside their change, and rounding them drowns it
    module: Any = nn.Linear(64, 48, bias=False).requires_grad_(False)
    name = LayerName("unet", "mid_block.to_k")
    (layer,) = build_network({name: Recipe(Target(name, module), TIMED)}, 3, CPU)
    for index, parameter in enumerate(layer.parameters):
        parameter.data += 1e-3 * torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(index)
        )
    wanted = layer.delta()
    parts = {part: tensor.to(dtype).double() for part, tensor in layer.parts().items()}
    ours = parts["lora_up.weight"] @ parts["lora_down.weight"] * parts["alpha"] / 8
    factors = [layer.module.p_layer.weight, layer.module.lambda_layer, layer.module.q_layer.weight]
    p, values, q = (tensor.detach().to(dtype).double() for tensor in factors)
    start = layer.module.base_p * layer.module.base_lambda @ layer.module.base_q
    theirs = ((p * values) @ q - start) * 0.5
    errors = [float((found - wanted).norm() / wanted.norm()) for found in (ours, theirs)]
    assert errors[0] < 0.01
    assert errors[1] > 10 * errors[0]


def changed_ranks(config: TrainConfig, tiny: TinyModel) -> dict[str, set[tuple[bool, ...]]]:
    """Which rows of Q a run changed, for each component; in the file they are the lower half of down."""
    for _ in train(config, tiny):
        pass
    found: dict[str, set[tuple[bool, ...]]] = {}
    for key, tensor in load_file(Path(config.output) / f"{config.name}.safetensors").items():
        if key.endswith("lora_down.weight"):
            rows = tensor.flatten(1)[len(tensor) // 2 :].abs().sum(1) > 0
            found.setdefault(key.split("_")[1], set()).add(tuple(rows.tolist()))
    return found


@pytest.mark.parametrize(
    ("options", "learns"),
    [
        ({"min_rank": 2}, (True, True, False, False)),
        ({"min_rank": 1}, (True, False, False, False)),
        ({"min_rank": 4}, (True, True, True, True)),
        ({"min_rank": 1, "rank_exponent": 0.0}, (True, True, True, True)),
        # int(0.001 ** 0.1 * 3) + 1 = int(0.501 * 3) + 1
        ({"min_rank": 1, "rank_exponent": 0.1}, (True, True, False, False)),
    ],
)
def test_run_at_the_last_timestep_changes_the_ranks_that_act_there(
    make_config: Make, tiny: TinyModel, options: dict[str, Any], learns: tuple[bool, ...]
) -> None:
    at_the_end: dict[str, Any] = {
        "min_timestep": 999,
        "max_timestep": 1000,
        "max_steps": 2,
        "batch_size": 2,
    }
    # weights would decay without a gradient too
    config = make_config(algo="tlora", optimizer_args=["weight_decay=0"], **at_the_end, **options)
    # a text has no timestep: all ranks of text encoders learn
    assert changed_ranks(config, tiny) == {"unet": {learns}, "te": {(True,) * 4}}


def test_file_of_lycoris_is_trained_further_from_its_own_start(
    make_config: Make, tiny: TinyModel, tmp_path: Path
) -> None:
    first = trained_network(tiny, replace(TIMED, min_rank=1), conv=False)
    tensors: dict[str, Tensor] = {}
    for layer in first:
        stem = kohya_stem(layer.layer, "sd1")
        shapes = {"q_layer.weight": (4, -1), "p_layer.weight": (-1, 4), "lambda_layer": (1, 4), "alpha": ()}
        for part, shape in shapes.items():
            tensors[f"{stem}.{part}"] = layer.module.custom_state_dict()[part].detach().view(shape).clone()
    path = tmp_path / "theirs.safetensors"
    save_file(tensors, path)
    options = {"algo": "tlora", "rank": 4, "network_weights": str(path)}
    for alpha in (2.0, 4.0):
        network = make_network(make_config(**options, alpha=alpha), tiny)
        for layer, wanted in zip(network, first, strict=True):
            torch.testing.assert_close(layer.delta(), wanted.delta(), rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="otherwise than trained"):
        make_network(make_config(**options, alpha=2.0, sig_type="last"), tiny)


def test_ranks_of_a_file_are_half_of_its_loras(make_config: Make, tiny: TinyModel, tmp_path: Path) -> None:
    path = saver(tmp_path, trained_network(tiny, TIMED, conv=False)).save("", 1, 1)
    config = make_config(algo="tlora", rank=32, network_weights=str(path), dim_from_weights=True)
    network = make_network(config, tiny)
    assert {(layer.settings.rank, layer.scale) for layer in network} == {(4, 0.5)}
    with pytest.raises(ConfigError, match="twice that of a T-LoRA"):
        make_network(make_config(algo="tlora", rank=8, network_weights=str(path)), tiny)
