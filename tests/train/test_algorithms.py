"""Every algorithm with all its options, our forms against lycoris' own forward, and against each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lib_lyco.train.autograd.low_rank import face_split, face_split_pays
from lib_lyco.train.autograd.operation import geometry_of
from lib_lyco.train.layer import AlgoSettings, Draw, TrainableLayer
from tests.train.test_network import lycoris_forward, trainable

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(96, 80),
    "narrow": lambda: nn.Linear(80, 96, bias=False),
    "1x1": lambda: nn.Conv2d(96, 80, 1),
    "3x3 stride 2": lambda: nn.Conv2d(48, 80, 3, stride=2, padding=1),
}
SETTINGS: dict[str, AlgoSettings] = {
    "lora": AlgoSettings("lora", 4, 2.0),
    "lora scalar": AlgoSettings("lora", 4, 2.0, use_scalar=True),
    "lora tucker scalar": AlgoSettings("lora", 4, 2.0, tucker=True, use_scalar=True),
    "dora on input": AlgoSettings("lora", 4, 2.0, dora=True, wd_on_output=False),
    "loha": AlgoSettings("loha", 2, 1.0),
    "loha scalar": AlgoSettings("loha", 2, 1.0, use_scalar=True),
    "loha large": AlgoSettings("loha", 8, 4.0),
    "loha dora on input": AlgoSettings("loha", 2, 1.0, dora=True, wd_on_output=False),
    "lokr": AlgoSettings("lokr", 2, 1.0, factor=8),
    "lokr scalar": AlgoSettings("lokr", 2, 1.0, factor=4, use_scalar=True),
    "lokr both": AlgoSettings("lokr", 1, 0.5, decompose_both=True),
    "lokr full": AlgoSettings("lokr", 2, 1.0, factor=4, full_matrix=True),
    "lokr unbalanced": AlgoSettings("lokr", 2, 1.0, factor=4, unbalanced_factorization=True),
    "lokr tucker": AlgoSettings("lokr", 2, 1.0, factor=4, tucker=True),
    "lokr dora": AlgoSettings("lokr", 2, 1.0, factor=4, dora=True),
    "ia3": AlgoSettings("ia3", 1, 1.0),
    "ia3 input": AlgoSettings("ia3", 1, 1.0, train_on_input=True),
    "dylora": AlgoSettings("dylora", 6, 3.0, block_size=2),
    "tlora": AlgoSettings("tlora", 4, 2.0),
    "tlora random": AlgoSettings("tlora", 4, 2.0, sig_type="last", use_data_init=False),
    "full": AlgoSettings("full", 1, 1.0),
    "glora scalar": AlgoSettings("glora", 4, 2.0, use_scalar=True),
    "diag-oft rescaled": AlgoSettings("diag-oft", 8, 1.0, rescaled=True),
    "diag-oft constraint": AlgoSettings("diag-oft", 8, 1.0, constraint=0.001, rescaled=True),
    "boft rescaled": AlgoSettings("boft", 16, 1.0, rescaled=True),
}


def made(settings: AlgoSettings, kind: str) -> tuple[TrainableLayer, Any, Tensor]:
    """A layer with moved parameters, its module and an input."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module: Any = LAYERS[kind]().requires_grad_(False)
    layer = trainable(settings, module)
    shape = (
        (2, module.weight.shape[1], 6, 6) if isinstance(module, nn.Conv2d) else (2, 5, module.in_features)
    )
    return layer, module, torch.randn(shape, generator=torch.Generator().manual_seed(2))


def gradients(
    forward: Callable[[Tensor], Tensor], x: Tensor, parameters: list[nn.Parameter]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The output, and the gradients of input and parameters for one random direction of it."""
    x = x.detach().requires_grad_(True)
    y = forward(x)
    mark = torch.randn(y.shape, generator=torch.Generator().manual_seed(4)).to(y.dtype)
    found = torch.autograd.grad(y, [x, *parameters], mark, allow_unused=True, materialize_grads=True)
    return y.detach(), found


def assert_equal_to_rounding(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...], limit: float) -> None:
    """Each tensor within `limit` of the largest value of the wanted one."""
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        scale = float(theirs.abs().max())
        assert float((ours - theirs).abs().max()) <= limit * scale + 1e-12, (ours.shape, scale)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_lycoris_to_rounding(name: str, kind: str) -> None:
    layer, module, x = made(SETTINGS[name], kind)
    # its forward rounds W + delta, so the weights are small beside the delta to see ours, not that
    if not (SETTINGS[name].dora or "oft" in name or SETTINGS[name].algo in ("ia3", "glora")):
        module.weight *= 1e-3
    wanted = gradients(lambda x: lycoris_forward(layer, module, x), x, layer.parameters)
    layer.attach()
    found = gradients(module, x, layer.parameters)
    layer.detach()
    limit = 2e-4 if SETTINGS[name].dora or "oft" in name else 5e-5
    assert_equal_to_rounding((found[0], *found[1]), (wanted[0], *wanted[1]), limit)


@pytest.mark.parametrize("kind", ["linear", "3x3 stride 2"])
@pytest.mark.parametrize("name", SETTINGS)
def test_lycoris_mathematics_can_be_chosen_and_agree(name: str, kind: str) -> None:
    layer, module, x = made(SETTINGS[name], kind)
    layer.attach()
    found = gradients(module, x, layer.parameters)
    layer.detach()
    layer.settings = dataclasses.replace(layer.settings, layer_math="lycoris")
    calls: list[str] = []
    plain = layer.algo.plain

    def counted(layer: TrainableLayer, x: Tensor, y: Tensor) -> Tensor:
        calls.append("plain")
        return plain(layer, x, y)

    layer.algo = dataclasses.replace(layer.algo, plain=counted)
    layer.attach()
    wanted = gradients(module, x, layer.parameters)
    layer.detach()
    assert calls == ["plain"]
    assert_equal_to_rounding((found[0], *found[1]), (wanted[0], *wanted[1]), 2e-4)


@pytest.mark.parametrize("name", ["lora", "loha", "lokr", "lokr both"])
def test_bypass_mode_is_lycoris_own_bypass(name: str) -> None:
    settings = dataclasses.replace(SETTINGS[name], layer_math="lycoris", bypass_mode=True)
    layer, module, x = made(settings, "linear")
    bypassed: list[Tensor] = []
    own = layer.module.bypass_forward_diff

    def counted(x: Tensor) -> Tensor:
        bypassed.append(x)
        return own(x)

    layer.module.bypass_forward_diff = counted
    layer.attach()
    with torch.no_grad():
        found = module(x)
        layer.detach()
        wanted = module(x) + nn.functional.linear(x, layer.delta())
    assert len(bypassed) == 1
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", SETTINGS)
def test_nothing_weight_sized_is_kept_for_the_backward_pass(name: str, kind: str) -> None:
    layer, module, x = made(SETTINGS[name], kind)
    if layer.settings.algo in ("full", "ia3"):
        pytest.skip("the parameter itself is of the weight's size; IA3 scales without weights")
    own = {parameter.data_ptr() for parameter in layer.parameters} | {module.weight.data_ptr()}
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept.append(tensor.numel())
        return tensor

    layer.attach()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(x.requires_grad_(True))
    layer.detach()
    assert max(kept) < module.weight.numel()


@pytest.mark.parametrize("name", SETTINGS)
def test_gradient_checkpointing_changes_no_bit(name: str) -> None:
    settings = SETTINGS[name]
    able = settings.algo not in ("ia3", "dylora")
    settings = dataclasses.replace(
        settings,
        rank_dropout=0.3 if able else 0.0,
        dropout=0.3 if settings.algo == "lora" and not settings.dora else 0.0,
    )
    layer, module, x = made(settings, "linear")
    layer.block = 1
    if settings.drops:
        layer.draw = Draw(3, (7, 8))
    layer.attach()
    wanted = gradients(module, x, layer.parameters)
    torch.rand(5)  # the global generator plays no part

    def checkpointed(x: Tensor) -> Any:
        return checkpoint(module, x, use_reentrant=False, preserve_rng_state=False)

    found = gradients(checkpointed, x, layer.parameters)
    layer.detach()
    assert all(
        torch.equal(a, b) for a, b in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True)
    )


@pytest.mark.parametrize(
    "name", ["lora", "loha", "lokr", "ia3", "ia3 input", "dylora", "tlora", "boft rescaled"]
)
def test_half_precision_and_autocast_stay_near_float32(name: str) -> None:
    layer, module, x = made(SETTINGS[name], "linear")
    layer.attach()
    wanted = gradients(module, x, layer.parameters)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(module, x, layer.parameters)
    assert found[0].dtype == torch.bfloat16
    assert_equal_to_rounding(found[1], wanted[1], 0.06)
    module.to(torch.bfloat16)
    halved = gradients(module, x.bfloat16(), layer.parameters)
    layer.detach()
    assert {tensor.dtype for tensor in halved[1][1:]} == {torch.float32}
    assert_equal_to_rounding((halved[1][0].float(), *halved[1][1:]), wanted[1], 0.06)


def test_face_splitting_is_the_hadamard_product() -> None:
    # (1 2; 3 4) x (5 6; 7 8) and its like, multiplied out by hand: rank 1 each, (a b^T) o (c d^T)
    first = (torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, 4.0]]))
    second = (torch.tensor([[5.0], [6.0]]), torch.tensor([[7.0, 8.0]]))
    down, up = face_split(first, second)
    # [1*3*5*7, 1*4*5*8; 2*3*6*7, 2*4*6*8]
    assert torch.equal(up @ down, torch.tensor([[105.0, 160.0], [252.0, 384.0]]))
    u1, v1, u2, v2 = (torch.randn(shape) for shape in ((5, 3), (3, 7), (5, 2), (2, 7)))
    down, up = face_split((u1, v1), (u2, v2))
    assert down.shape == (6, 7)
    torch.testing.assert_close(up @ down, (u1 @ v1) * (u2 @ v2))
    # r^2 (i + o) < i o at 1280: r^2 < 640
    assert face_split_pays(25, 1280, 1280)
    assert not face_split_pays(26, 1280, 1280)


def test_layers_that_stable_diffusion_has_not_are_told() -> None:
    with pytest.raises(TypeError, match="groups=2"):
        geometry_of(nn.Conv2d(4, 4, 3, groups=2))


def test_whole_weights_keep_no_copies_of_the_base() -> None:
    layer, module, _ = made(SETTINGS["full"], "linear")
    held = [tensor for tensor in vars(layer.module).values() if isinstance(tensor, list)]
    assert not any(isinstance(one, Tensor) for several in held for one in several)
    assert module.weight.shape == (80, 96)
