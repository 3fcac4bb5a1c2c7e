"""What a merged weight is: the exact sum, rounded once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.models.target import Target, Targets
from tests.apply.reference import assert_rounded_once, reference_delta
from tests.apply.small import SmallModel, adapter_of, name, network_of, parts_of, shape_of, targets_of

LAYERS = ("linear", "bare", "pointwise", "down")
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LAYER = name("layer")


def one_layer(module: nn.Module, **place: object) -> Targets:
    return {LAYER: (Target(LAYER, module, **place),)}  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("multiplier", (-1.0, 0.5, 1.0, 2.0))
@pytest.mark.parametrize("algo", ("lora", "loha", "loha16", "lokr", "full", "ia3", "dora"))
def test_merged_weight_is_rounded_once(algo: str, multiplier: float, dtype: torch.dtype) -> None:
    model = SmallModel().to(dtype)
    targets = targets_of(model)
    for path in LAYERS:
        (target,) = targets[name(path)]
        parts = parts_of(algo, shape_of(target), torch.Generator().manual_seed(1))
        original = target.module.get_parameter("weight").detach().clone()
        delta = reference_delta(algo, parts, original)
        network = network_of("n", {name(path): decode(parts, Hints()).adapter})
        with Session(targets) as session:
            session.apply([Wanted(network, unet=multiplier)])
            merged = target.module.get_parameter("weight").detach().clone()
        exact = original.double() + multiplier * delta
        assert delta.abs().max() > 1e-2, "a network without effect proves nothing"
        # DoRA and LoHa multiply what they sum, so the delta's own float32 error counts several times
        assert_rounded_once(
            merged, exact, [original.double(), 4 * multiplier * delta, 0.1 * torch.ones(())]
        )


def test_loha_is_the_same_however_many_rows_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_lyco.algos.loha._BLOCK", 100)
    test_merged_weight_is_rounded_once("loha16", 0.5, torch.float32)
    test_merged_weight_is_rounded_once("loha16", 0.5, torch.float16)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_many_networks_are_one_rounding(dtype: torch.dtype) -> None:
    model = SmallModel().to(dtype)
    targets = targets_of(model)
    original = model.down.weight.detach().clone()
    wanted: list[Wanted] = []
    summands = [original.double()]
    for index, algo in enumerate(("lora", "loha16", "lora", "ia3", "lokr", "dora")):
        parts = parts_of(algo, original.shape, torch.Generator().manual_seed(index))
        multiplier = 0.3 * (index - 2.5)
        network = network_of(f"n{index}", {name("down"): decode(parts, Hints()).adapter})
        wanted.append(Wanted(network, unet=multiplier))
        summands.append(multiplier * reference_delta(algo, parts, original))
    Session(targets).apply(wanted)
    exact = torch.stack(summands).sum(dim=0)
    assert_rounded_once(model.down.weight.detach(), exact, [*summands, 0.1 * torch.ones(())])


@pytest.mark.parametrize(
    "algos", (("lora", "lora", "lora"), ("lora", "ia3", "full"), ("loha", None, "dora"))
)
def test_fused_attention_gets_each_part_in_its_rows(algos: tuple[str | None, ...]) -> None:
    model = SmallModel()
    original = model.attention.in_proj_weight.detach().clone()
    exact = original.double().clone()
    adapters = {}
    for index, (part, algo) in enumerate(zip(("q_proj", "k_proj", "v_proj"), algos, strict=True)):
        if algo is None:
            continue
        parts = parts_of(algo, (24, 24), torch.Generator().manual_seed(index))
        rows = slice(24 * index, 24 * index + 24)
        exact[rows] += 0.7 * reference_delta(algo, parts, original[rows])
        adapters[name(part, "te1")] = decode(parts, Hints()).adapter
    report = Session(targets_of(model)).apply([Wanted(network_of("n", adapters), te=0.7)])
    assert str(report) == f"n: applied {len(adapters)} of {len(adapters)} te1 layers"
    torch.testing.assert_close(
        model.attention.in_proj_weight.detach().double(), exact, atol=1e-6, rtol=1e-6
    )
    untouched = [index for index, algo in enumerate(algos) if algo is None]
    for index in untouched:
        rows = slice(24 * index, 24 * index + 24)
        assert torch.equal(model.attention.in_proj_weight[rows], original[rows])


def test_fused_bias_gets_each_part_in_its_rows() -> None:
    model = SmallModel()
    before = model.attention.in_proj_bias.detach().clone()
    parts = parts_of("full", (24, 24), torch.Generator().manual_seed(0))
    network = network_of("n", {name("k_proj", "te1"): decode(parts, Hints()).adapter})
    Session(targets_of(model)).apply([Wanted(network, te=2.0)])
    expected = before.clone()
    expected[24:48] += 2 * parts["diff_b"]
    torch.testing.assert_close(model.attention.in_proj_bias.detach(), expected)


@pytest.mark.parametrize("algo", ("lora", "dora", "oft"))
def test_one_adapter_for_parts_kept_apart_is_split_by_rows(algo: str) -> None:
    linears = [nn.Linear(24, 8) for _ in range(3)]
    fused = torch.cat([linear.weight.detach() for linear in linears])
    adapter = adapter_of(algo, (24, 24))
    places = tuple(
        Target(LAYER, linear, delta_rows=(8 * index, 8 * index + 8)) for index, linear in enumerate(linears)
    )
    Session({LAYER: places}).apply([Wanted(network_of("n", {LAYER: adapter}))])
    merged = torch.cat([linear.weight.detach() for linear in linears])
    torch.testing.assert_close(merged, fused + adapter.delta(fused), atol=1e-6, rtol=1e-6)
    assert not torch.allclose(merged[8:16], fused[8:16], atol=1e-3)


@pytest.mark.parametrize(("channels", "trained_on"), ((4, 4), (8, 4), (9, 4), (9, 9), (8, 8)))
@pytest.mark.parametrize("algo", ("lora", "full", "dora"))
def test_network_of_fewer_channels_fills_the_first_ones(channels: int, trained_on: int, algo: str) -> None:
    conv = nn.Conv2d(channels, 16, 3, padding=1)
    original = conv.weight.detach().clone()
    layer = name("conv_in")
    parts = parts_of(algo, (16, trained_on, 3, 3), torch.Generator().manual_seed(0))
    network = network_of("n", {layer: decode(parts, Hints()).adapter})
    Session({layer: (Target(layer, conv),)}).apply([Wanted(network)])
    expected = original.double().clone()
    expected[:, :trained_on] += reference_delta(algo, parts, original[:, :trained_on])
    torch.testing.assert_close(conv.weight.detach().double(), expected, atol=1e-6, rtol=1e-6)
    assert torch.equal(conv.weight[:, trained_on:], original[:, trained_on:])


@pytest.mark.parametrize("algo", ("lora", "dora", "ia3", "full"))
def test_weight_stored_transposed_gets_the_delta_transposed(algo: str) -> None:
    holder = nn.Module()
    holder.register_parameter("text_projection", nn.Parameter(torch.randn(24, 16)))
    original = holder.get_parameter("text_projection").detach().clone()
    parts = parts_of(algo, (16, 24), torch.Generator().manual_seed(0))
    parts.pop("diff_b", None)
    target = Target(LAYER, holder, "text_projection", "none", transposed=True)
    network = network_of("n", {LAYER: decode(parts, Hints()).adapter})
    session = Session({LAYER: (target,)})
    assert session.apply([Wanted(network)], "bypass").problems == ()
    exact = original.double() + reference_delta(algo, parts, original.T).T
    merged = holder.get_parameter("text_projection").detach()
    torch.testing.assert_close(merged.double(), exact, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("algo", ("lora", "dora", "ia3", "full"))
def test_weight_with_swapped_halves_gets_the_delta_swapped(algo: str) -> None:
    linear = nn.Linear(24, 16)
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    parts = parts_of(algo, (16, 24), torch.Generator().manual_seed(0))
    network = network_of("n", {LAYER: decode(parts, Hints()).adapter})
    Session(one_layer(linear, swapped_halves=True)).apply([Wanted(network)])
    straight = torch.cat([weight[8:], weight[:8]])
    exact = straight.double() + reference_delta(algo, parts, straight)
    exact = torch.cat([exact[8:], exact[:8]])
    torch.testing.assert_close(linear.weight.detach().double(), exact, atol=1e-6, rtol=1e-6)
    diff_b = parts.get("diff_b", torch.zeros(16))
    torch.testing.assert_close(linear.bias.detach(), bias + torch.cat([diff_b[8:], diff_b[:8]]))


def test_memory_format_is_kept() -> None:
    plain = nn.Conv2d(8, 16, 3)
    last = nn.Conv2d(8, 16, 3).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    last.load_state_dict(plain.state_dict())
    network = network_of("n", {LAYER: adapter_of("lora", (16, 8, 3, 3))})
    for conv in (plain, last):
        Session(one_layer(conv)).apply([Wanted(network)])
    assert last.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last.weight, plain.weight)


def test_float8_weight_is_merged_in_float32_without_overflow() -> None:
    float8 = getattr(torch, "float8_e4m3fn", None)
    if float8 is None:
        pytest.skip("this torch has no float8")
    linear = nn.Linear(8, 4, bias=False)
    linear.weight.data = (linear.weight.detach() * 4).to(float8)
    wide = linear.weight.detach().to(torch.float64)
    scale = torch.tensor([1e4, -0.5, 0.3, 2.0])  # of an IA3, which cannot be bypassed
    parts = {"weight": scale, "on_input": torch.tensor(0.0)}
    network = network_of("n", {LAYER: decode(parts, Hints()).adapter})
    session = Session(one_layer(linear))
    session.apply([Wanted(network)])
    merged = linear.weight.detach().to(torch.float64)
    exact = (wide + wide * scale.double()[:, None]).clamp(-448, 448)
    assert merged.abs().max() == 448
    assert bool(((merged - exact).abs() <= exact.abs() * 2**-4 + 2**-10).all())
    session.restore()
    assert torch.equal(linear.weight.detach().to(torch.float64), wide)


def test_adapter_of_the_bias_alone_leaves_the_weight_where_it_is() -> None:
    linear = nn.Linear(8, 4)
    storage, bias = linear.weight.data_ptr(), linear.bias.detach().clone()
    added = torch.randn(4)
    network = network_of("n", {LAYER: decode({"diff_b": added}, Hints()).adapter})
    with Session(one_layer(linear)) as session:
        report = session.apply([Wanted(network, unet=0.5)])
        assert linear.weight.data_ptr() == storage and report.touched == 1
        torch.testing.assert_close(linear.bias.detach(), bias + 0.5 * added)
    assert torch.equal(linear.bias, bias)


def test_bias_is_created_where_there_is_none_and_removed_again() -> None:
    model = SmallModel()
    before = model.bare.weight.detach().clone()
    parts = parts_of("full", (16, 24), torch.Generator().manual_seed(0))
    session = Session(targets_of(model))
    session.apply([Wanted(network_of("n", {name("bare"): decode(parts, Hints()).adapter}), unet=0.5)])
    x = torch.randn(3, 24)
    expected = nn.functional.linear(x, before + 0.5 * parts["diff"], 0.5 * parts["diff_b"])
    torch.testing.assert_close(model.bare(x), expected)
    session.restore()
    assert model.bare.bias is None
    assert list(model.bare.state_dict()) == ["weight"]


def test_tied_parameter_gets_every_delta_once() -> None:
    first, second = nn.Linear(24, 16), nn.Linear(24, 16)
    second.weight = first.weight
    original = first.weight.detach().clone()
    layers = (name("first"), name("second"))
    targets = {
        layer: (Target(layer, module),) for layer, module in zip(layers, (first, second), strict=True)
    }
    adapters = [adapter_of("lora", (16, 24), seed) for seed in (0, 1)]
    both = network_of("both", dict(zip(layers, adapters, strict=True)))
    alone = network_of("alone", {layers[1]: adapters[1]})
    session = Session(targets)
    for wanted, deltas in (
        ([both], adapters),
        ([alone], adapters[1:]),
        ([both], adapters),
        ([alone, both], [*adapters, adapters[1]]),
    ):
        session.apply([Wanted(network) for network in wanted])
        expected = original + sum(adapter.delta(original) for adapter in deltas)
        torch.testing.assert_close(first.weight.detach(), expected, atol=1e-6, rtol=1e-6)
        assert second.weight is first.weight
    session.restore()
    assert torch.equal(second.weight, original)


@pytest.mark.parametrize("algo", ("lora", "loha16", "dora"))
def test_autocast_and_inference_mode_do_not_reach_a_merge(algo: str) -> None:
    plain, inside = SmallModel(), SmallModel()
    wanted = [Wanted(network_of("n", {name("linear"): adapter_of(algo, (16, 24))}))]
    Session(targets_of(plain)).apply(wanted)
    session = Session(targets_of(inside))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        session.apply(wanted)
    assert torch.equal(inside.linear.weight, plain.linear.weight)
    inside.linear(torch.randn(2, 24)).sum().backward()  # not possible with an inference tensor
    assert inside.linear.weight.grad is not None


def test_weights_made_in_inference_mode_are_merged_and_restored() -> None:
    with torch.inference_mode():
        model = SmallModel()
    before = model.linear.weight.clone()
    session = Session(targets_of(model), budget_bytes=10**6)
    wanted = [Wanted(network_of("n", {name("linear"): adapter_of("lora", (16, 24))}))]
    for _ in range(2):
        session.apply(wanted)
        assert not torch.equal(model.linear.weight, before)
        session.restore()
        assert torch.equal(model.linear.weight, before)
        assert model.linear.weight.is_inference()


def test_merge_equals_pefts() -> None:
    peft = pytest.importorskip("peft", reason="PEFT is not among the host's packages")
    model = SmallModel()
    original = model.linear.weight.detach().clone()
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["linear"], init_lora_weights=False)
    theirs = peft.get_peft_model(SmallModel(), config)
    tensors = [value for key, value in theirs.state_dict().items() if "lora_" in key]
    assert len(tensors) == 2
    down, up = sorted(tensors, key=lambda tensor: tensor.shape[0])
    merged = theirs.merge_and_unload().linear.weight
    parts = {"lora_up.weight": up.clone(), "lora_down.weight": down.clone(), "alpha": torch.tensor(6.0)}
    Session(targets_of(model)).apply(
        [Wanted(network_of("n", {name("linear"): decode(parts, Hints()).adapter}))]
    )
    assert not torch.allclose(original, merged)
    torch.testing.assert_close(model.linear.weight, merged, atol=1e-6, rtol=1e-6)
