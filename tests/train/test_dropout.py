"""Dropout of values, ranks, outputs and layers: how much, of what, drawn from what, and when not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.layer import AlgoSettings
from lib_lyco.train.network import Recipe, TrainableNetwork, build_network
from lib_lyco.train.run import train
from tests.train.tiny import TinyModel

RANK = 8


def one_layer(settings: AlgoSettings, module: nn.Module, path: str = "mid_block.to_k") -> TrainableNetwork:
    name = LayerName("unet", path)
    network = build_network({name: Recipe(Target(name, module), settings)}, 3, torch.device("cpu"))
    chance = torch.Generator().manual_seed(1)
    for parameter in network.layers[0].parameters:
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=chance)
    return network


def silent(module: nn.Module) -> nn.Module:
    """The same layer without weight and bias: its output is the change alone."""
    for parameter in module.parameters():
        parameter.requires_grad_(False).zero_()
    return module


@torch.no_grad()
def change(network: TrainableNetwork, x: Tensor, step: int | None, samples: tuple[int, ...] = ()) -> Tensor:
    """What the layer returns in a step with these samples; None is outside of steps."""
    if step is not None:
        network.begin_step(torch.Generator().manual_seed(step))
        network.begin_batch(samples or range(len(x)))
    with network:
        y = network.layers[0].target.module(x)
    network.end_step()
    return y


def shares(network: TrainableNetwork, x: Tensor, y: Tensor) -> Tensor:
    """How much of each rank's contribution is in y: (samples, tokens, r), by least squares."""
    module = network.layers[0].module
    up, down = module.lora_up.weight, module.lora_down.weight
    h = x @ down.T
    return torch.linalg.lstsq(up, (y / module.scale).flatten(0, 1).T).solution.T.view_as(h) / h


def test_rank_dropout_leaves_out_ranks_of_whole_images_and_raises_the_others() -> None:
    network = one_layer(AlgoSettings("lora", RANK, 4.0, rank_dropout=0.25), silent(nn.Linear(12, 16)))
    x = torch.randn(6, 5, 12)
    found = shares(network, x, change(network, x, 1))
    # sd-scripts, networks/lora.py: a mask for each sample and rank, scaled by 1 / (1 - p)
    rounded = (found * 0.75).round()
    torch.testing.assert_close(found, rounded / 0.75, rtol=1e-3, atol=1e-3)
    assert torch.equal(rounded, rounded[:, :1].expand_as(rounded))
    per_image = rounded[:, 0]
    assert set(per_image.flatten().tolist()) == {0.0, 1.0}
    assert len(set(map(tuple, per_image.tolist()))) > 3


def test_dropout_leaves_out_single_values() -> None:
    network = one_layer(AlgoSettings("lora", RANK, 4.0, dropout=0.25), silent(nn.Linear(12, 16)))
    x = torch.randn(6, 50, 12)
    found = shares(network, x, change(network, x, 1))
    rounded = (found * 0.75).round()
    torch.testing.assert_close(found, rounded / 0.75, rtol=1e-2, atol=1e-2)
    assert float(rounded.mean()) == pytest.approx(0.75, abs=0.03)
    assert not torch.equal(rounded, rounded[:, :1].expand_as(rounded))


CASES: dict[str, tuple[AlgoSettings, Callable[[], nn.Module], tuple[int, ...]]] = {
    "lora linear": (
        AlgoSettings("lora", RANK, 4.0, dropout=0.2, rank_dropout=0.2),
        lambda: nn.Linear(12, 8),
        (4, 3, 12),
    ),
    "lora conv": (
        AlgoSettings("lora", RANK, 4.0, dropout=0.2, rank_dropout=0.2),
        lambda: nn.Conv2d(12, 8, 3, padding=1),
        (4, 12, 5, 5),
    ),
    "lora tucker": (
        AlgoSettings("lora", RANK, 4.0, tucker=True, rank_dropout=0.3),
        lambda: nn.Conv2d(12, 8, 3, padding=1),
        (4, 12, 5, 5),
    ),
    "dora": (
        AlgoSettings("lora", RANK, 4.0, dora=True, rank_dropout=0.3),
        lambda: nn.Linear(12, 8),
        (4, 3, 12),
    ),
    "loha": (AlgoSettings("loha", 2, 1.0, rank_dropout=0.3), lambda: nn.Linear(12, 8), (4, 3, 12)),
    "lokr conv": (
        AlgoSettings("lokr", 2, 1.0, rank_dropout=0.3),
        lambda: nn.Conv2d(12, 8, 3),
        (4, 12, 5, 5),
    ),
    "full": (AlgoSettings("full", 1, 1.0, rank_dropout=0.3), lambda: nn.Linear(12, 8), (4, 3, 12)),
    "glora": (AlgoSettings("glora", 2, 1.0, rank_dropout=0.3), lambda: nn.Linear(12, 8), (4, 3, 12)),
    "diag-oft": (AlgoSettings("diag-oft", 4, 1.0, rank_dropout=0.3), lambda: nn.Linear(12, 8), (4, 3, 12)),
    "norm": (AlgoSettings("norm", 1, 0.0, rank_dropout=0.3), lambda: nn.GroupNorm(4, 12), (4, 12, 5, 5)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_dropped_has_the_whole_as_its_mean_and_steps_only(case: str) -> None:
    settings, make, shape = CASES[case]
    module = make().requires_grad_(False)
    network = one_layer(settings, module)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    plain = module(x)
    whole = change(network, x, None) - plain
    state = torch.random.get_rng_state()
    drawn = torch.stack([change(network, x, step) - plain for step in range(400)])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert float((drawn[0] - whole).abs().max()) > 0.1 * float(whole.abs().max())
    spread = drawn.std(0) / 20 + 1e-4
    assert float(((drawn.mean(0) - whole) / spread).abs().max()) < 5.5
    # equal steps draw equally, and after the step nothing is left out
    assert torch.equal(change(network, x, 7), change(network, x, 7))
    assert torch.equal(change(network, x, None) - plain, whole)


@pytest.mark.parametrize("case", ["lora linear", "lora conv", "loha"])
def test_a_batch_drops_what_its_halves_drop(case: str) -> None:
    settings, make, shape = CASES[case]
    network = one_layer(settings, make().requires_grad_(False))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    together = change(network, x, 5, (11, 12, 13, 14))
    halves = [change(network, x[:2], 5, (11, 12)), change(network, x[2:], 5, (13, 14))]
    torch.testing.assert_close(together, torch.cat(halves))
    assert not torch.allclose(together, change(network, x, 5, (21, 12, 13, 14)))


def test_module_dropout_silences_whole_layers_for_a_step(tiny: TinyModel) -> None:
    settings = AlgoSettings("lora", 2, 1.0, module_dropout=0.25)
    names = [LayerName("unet", f"blocks.{index}") for index in range(200)]
    module = nn.Linear(3, 3)
    network = build_network(
        {name: Recipe(Target(name, module), settings) for name in names}, 0, torch.device("cpu")
    )
    network.begin_step(torch.Generator().manual_seed(1))
    first = [layer.draw.skips(0.25) for layer in network if layer.draw]
    assert 30 < sum(first) < 70
    network.begin_batch([1, 2])
    assert [layer.draw.skips(0.25) for layer in network if layer.draw] == first
    network.begin_step(torch.Generator().manual_seed(2))
    assert [layer.draw.skips(0.25) for layer in network if layer.draw] != first
    # a silent layer is the base layer, to the bit
    alone = one_layer(
        dataclasses.replace(settings, module_dropout=0.5), nn.Linear(3, 3).requires_grad_(False)
    )
    x = torch.randn(2, 3)
    outputs = [change(alone, x, step) for step in range(40)]
    base = alone.layers[0].target.module(x)
    silences = [torch.equal(y, base) for y in outputs]
    assert 8 < sum(silences) < 32


@pytest.mark.parametrize(
    "options",
    [{"dropout": 0.3, "rank_dropout": 0.3, "module_dropout": 0.3}, {"algo": "dylora", "block_size": 2}],
    ids=["dropout", "dylora"],
)
def test_runs_repeat_and_gradient_checkpointing_changes_nothing(
    make_config: Callable[..., TrainConfig], tiny: TinyModel, tmp_path: Path, options: dict[str, object]
) -> None:
    def trained(**more: object) -> dict[str, Tensor]:
        folder = tmp_path / "".join(sorted(more))
        config = make_config(max_steps=3, batch_size=2, output=str(folder), **{**options, **more})
        for _ in train(config, tiny):
            pass
        return load_file(folder / "network.safetensors")

    first, checkpointed = trained(), trained(gradient_checkpointing=True)
    assert all(torch.equal(first[key], checkpointed[key]) for key in first)
    other = trained(seed=8)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    if "dropout" in options:
        whole = trained(dropout=0.0, rank_dropout=0.0, module_dropout=0.0)
        assert not all(torch.equal(first[key], whole[key]) for key in first)
