"""Trainable layers against lycoris' own forward, and their attachment."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.layer import AlgoSettings, TrainableLayer
from lib_lyco.train.layer_choice import LayerChoice
from lib_lyco.train.network import Recipe, build_network
from tests.train.tiny import TinyModel

CPU = torch.device("cpu")
LAYERS: dict[str, nn.Module] = {
    "linear": nn.Linear(12, 8),
    "no bias": nn.Linear(12, 8, bias=False),
    "1x1": nn.Conv2d(12, 8, 1),
    "3x3 stride 2": nn.Conv2d(12, 8, 3, stride=2, padding=1),
}
SETTINGS: dict[str, AlgoSettings] = {
    "lora": AlgoSettings("lora", 4, 2.0),
    "lora rs": AlgoSettings("lora", 4, 2.0, rs_lora=True),
    "lora tucker": AlgoSettings("lora", 4, 2.0, tucker=True),
    "dora": AlgoSettings("lora", 4, 2.0, dora=True),
    "loha": AlgoSettings("loha", 3, 2.0),
    "loha tucker": AlgoSettings("loha", 3, 2.0, tucker=True),
    "loha dora": AlgoSettings("loha", 3, 2.0, dora=True),
    "lokr": AlgoSettings("lokr", 1, 0.5),
    "lokr whole": AlgoSettings("lokr", 8, 2.0),
    "lokr whole rs": AlgoSettings("lokr", 8, 2.0, rs_lora=True),
    "lokr factor 2": AlgoSettings("lokr", 1, 0.5, factor=2, decompose_both=True),
    "ia3": AlgoSettings("ia3", 4, 2.0),
    "dylora": AlgoSettings("dylora", 4, 2.0, block_size=2),
    "tlora": AlgoSettings("tlora", 4, 2.0),
    "tlora random": AlgoSettings("tlora", 4, 2.0, sig_type="last", use_data_init=False),
    "full": AlgoSettings("full", 4, 2.0),
    "glora": AlgoSettings("glora", 4, 2.0),
    "glora rs": AlgoSettings("glora", 4, 2.0, rs_lora=True),
    "diag-oft": AlgoSettings("diag-oft", 4, 2.0),
    "diag-oft constraint": AlgoSettings("diag-oft", 4, 2.0, constraint=0.01),
    "boft": AlgoSettings("boft", 4, 2.0),
}


def trainable(settings: AlgoSettings, module: nn.Module, path: str = "mid_block.to_k") -> TrainableLayer:
    """One layer, every parameter moved away from its initial value."""
    name = LayerName("unet", path)
    network = build_network({name: Recipe(Target(name, module), settings)}, 3, CPU)
    chance = torch.Generator().manual_seed(1)
    for parameter in network.layers[0].parameters:
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=chance)
    return network.layers[0]


def chosen(model: TinyModel, settings: AlgoSettings, conv: bool = False) -> dict[LayerName, Recipe]:
    """Recipes of the UNet's layers."""
    layers = LayerChoice(["unet"], conv=conv).choose(model.targets(), "sd1")
    return {layer: Recipe(one.target, settings) for layer, one in layers.items()}


def an_input(module: nn.Module) -> Tensor:
    shape = (2, 12, 6, 6) if isinstance(module, nn.Conv2d) else (2, 5, 12)
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_forward_and_gradients_are_lycoris(settings: str, kind: str) -> None:
    module = copy.deepcopy(LAYERS[kind]).requires_grad_(False)
    layer = trainable(SETTINGS[settings], module)
    x = an_input(module).requires_grad_(True)
    mark = torch.randn(module(x).shape, generator=torch.Generator().manual_seed(4))
    theirs = lycoris_forward(layer, module, x)
    expected = torch.autograd.grad(
        (theirs * mark).sum(), [x, *layer.parameters], allow_unused=True, materialize_grads=True
    )
    layer.attach()
    ours = module(x)
    got = torch.autograd.grad(
        (ours * mark).sum(), [x, *layer.parameters], allow_unused=True, materialize_grads=True
    )
    layer.detach()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    for found, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def lycoris_forward(layer: TrainableLayer, module: Any, x: Tensor) -> Tensor:
    """lycoris' own forward of the same parameters; for DyLoRA of the last block."""
    theirs: Any = layer.module
    if layer.num_blocks() is not None:
        theirs = copy.deepcopy(theirs)
        theirs.up_list, theirs.down_list = layer.module.up_list, layer.module.down_list
        theirs.org_forward, theirs.org_module = module.forward, [module]
        last = (theirs.block_count - 1) * theirs.block_size
        theirs.get_random_rank_weight = lambda: theirs.get_weight(last)
    if layer.algo.module.startswith("tlora"):
        return along_matrix(theirs.bypass_forward_diff, module, x) + module(x)
    if layer.algo.module.startswith("glora"):
        # as the paper: W(x + A x) + B x; its rebuild mode applies the scale twice
        return theirs.bypass_forward(x)
    if layer.algo.module.startswith("full"):
        bias = None if module.bias is None else module.bias + theirs.bias
        return theirs.op(x, module.weight + theirs.weight, bias, **theirs.kw_dict)
    return theirs(x)


def along_matrix(operation: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor) -> Tensor:
    """What an operation on rows makes of a layer's input: of a convolution the patches are the rows."""
    if not isinstance(module, nn.Conv2d):
        return operation(x)
    patches = nn.functional.unfold(x, module.kernel_size, 1, module.padding, module.stride)  # pyright: ignore
    changed = operation(patches.transpose(1, 2)).transpose(1, 2)
    return changed.reshape(module(x).shape)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_delta_is_what_the_forward_adds(settings: str, kind: str) -> None:
    module = copy.deepcopy(LAYERS[kind]).requires_grad_(False)
    layer = trainable(SETTINGS[settings], module)
    x = an_input(module)
    plain: Any = copy.deepcopy(module)
    plain.weight += layer.delta()
    if layer.algo.module.startswith("full") and plain.bias is not None:
        plain.bias += layer.module.bias.detach()
    layer.attach()
    torch.testing.assert_close(module(x), plain(x), rtol=1e-4, atol=1e-4)
    layer.detach()


@pytest.mark.parametrize("settings", SETTINGS)
def test_network_starts_as_the_identity(settings: str, tiny: TinyModel) -> None:
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    cond = tiny.encode_prompts(["a cat"])
    before = tiny.predict(noisy, torch.tensor([10]), cond)
    with build_network(chosen(tiny, SETTINGS[settings], conv=True), 0, CPU):
        after = tiny.predict(noisy, torch.tensor([10]), cond)
    tolerance = 1e-4 if "dora" in settings or "oft" in settings else 0.0
    torch.testing.assert_close(after, before, rtol=0, atol=tolerance)


def test_detaching_is_exact_also_after_an_error(tiny: TinyModel) -> None:
    noisy, timesteps = torch.ones(1, 4, 8, 8), torch.tensor([10])
    cond = tiny.encode_prompts(["a cat"])
    before = tiny.predict(noisy, timesteps, cond)
    members = {name: set(vars(module)) for name, module in tiny.unet.named_modules()}
    network = build_network(chosen(tiny, SETTINGS["lora"]), 0, CPU)
    for layer in network:
        layer.module.lora_up.weight.data.fill_(0.1)
    with pytest.raises(ZeroDivisionError), network:
        assert not torch.equal(tiny.predict(noisy, timesteps, cond), before)
        raise ZeroDivisionError
    assert torch.equal(tiny.predict(noisy, timesteps, cond), before)
    assert {name: set(vars(module)) for name, module in tiny.unet.named_modules()} == members
    assert not any(module._forward_hooks for module in tiny.unet.modules())


def test_initial_values_depend_on_seed_and_name_only(tiny: TinyModel) -> None:
    recipes = chosen(tiny, SETTINGS["lora"])
    state = torch.random.get_rng_state()
    one = build_network(recipes, 5, CPU)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    few = build_network(dict(list(recipes.items())[7:9]), 5, CPU)
    other = build_network(recipes, 6, CPU)
    down = [layer.module.lora_down.weight for layer in one][7]
    assert torch.equal(down, few.layers[0].module.lora_down.weight)
    assert not torch.equal(down, other.layers[7].module.lora_down.weight)


def test_dylora_draws_one_block_per_layer_and_step(tiny: TinyModel) -> None:
    network = build_network(chosen(tiny, SETTINGS["dylora"]), 0, CPU)
    network.begin_step(torch.Generator().manual_seed(1))
    first = [layer.block for layer in network]
    assert set(first) == {0, 1}
    network.begin_step(torch.Generator().manual_seed(1))
    assert [layer.block for layer in network] == first
    network.end_step()
    assert {layer.block for layer in network} == {None}


def test_small_change_survives_a_half_precision_base() -> None:
    # lycoris' rebuild rounds W + delta to W's dtype, so that a delta below W's ulp is lost
    module = nn.Linear(12, 8, bias=False).to(torch.bfloat16).requires_grad_(False)
    layer = trainable(SETTINGS["loha"], module)
    for parameter in layer.parameters:
        parameter.data *= 0.1
    x = torch.ones(1, 12, dtype=torch.bfloat16)
    wanted = x.float() @ layer.delta().T
    with torch.no_grad():
        added = layer.algo.forward(layer, x, torch.zeros(1, 8, dtype=torch.bfloat16)).float()
        lost = (layer.module(x) - module(x)).float()
    scale = float(wanted.abs().max())
    assert (added - wanted).abs().max() < 0.02 * scale
    assert (lost - wanted).abs().max() > 0.2 * scale


def test_rank_scale_of_each_algorithm_is_alpha_over_rank() -> None:
    module = nn.Linear(12, 8).requires_grad_(False)
    plain, rooted = trainable(SETTINGS["lora"], module), trainable(SETTINGS["lora rs"], module)
    up_down = plain.module.lora_up.weight @ plain.module.lora_down.weight
    torch.testing.assert_close(plain.delta(), (up_down * 2 / 4).detach())
    torch.testing.assert_close(rooted.delta(), (up_down * 2 / math.sqrt(4)).detach())
