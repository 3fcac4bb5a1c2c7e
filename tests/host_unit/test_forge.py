"""Forge and reForge: networks as patches, against hand-computed weights, on minimal patchers."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from lib_lyco.apply.prompt_networks import PromptNetworks
from lib_lyco.apply.wanted import Wanted
from lib_lyco.demo.madeup import Known, network_metadata, network_tensors, small_plan, write_checkpoint
from lib_lyco.errors import LycoError, ModelError
from lib_lyco.host.forge import LIMITS, PatcherSession, find_kind, is_beyond_us, is_patched, limits
from lib_lyco.host.forge_model import Roots, read_layers
from lib_lyco.network.decode import decode_network
from lib_lyco.network.network import Network
from lib_lyco.prompt.tags import parse_prompt
from tests.host_unit.patchers import Model, Patcher, install
from tests.host_unit.trees import meta_tree, tree

TO_Q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
TO_Q_KEY = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q"
FC1 = "lora_te_text_model_encoder_layers_0_mlp_fc1"
FC1_KEY = "clip_l.transformer.text_model.encoder.layers.0.mlp.fc1"
CLIPS: dict[Known, tuple[str, ...]] = {"sd1": ("clip_l",), "sd2": ("clip_h",), "sdxl": ("clip_l", "clip_g")}


def text_encoder(width: int, num_layers: int) -> nn.Module:
    """transformers' own: both hosts build theirs with its names, whatever the checkpoint had."""
    config = CLIPTextConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        projection_dim=width,
    )
    holder = nn.Module()
    holder.transformer = CLIPTextModelWithProjection(config).half()
    return holder


Checkpoints = Callable[[Known], Mapping[str, Tensor]]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Made-up denoisers, each made once; nothing writes to their tensors."""
    folder = tmp_path_factory.mktemp("checkpoints")

    @cache
    def load(family: Known) -> Mapping[str, Tensor]:
        prefix = "model.diffusion_model."
        tensors = load_file(write_checkpoint(folder / f"{family}.safetensors", family))
        found = {key: value for key, value in tensors.items() if key.startswith(prefix)}
        return {key.removeprefix("model."): value for key, value in found.items()}

    return load


def make_roots(checkpoints: Checkpoints, family: Known, *, whole: bool = False) -> Roots:
    """The modules of a model; text encoders have one layer where they need not be whole."""
    unet = tree(checkpoints(family))
    texts = nn.Module()
    for name, plan in zip(CLIPS[family], small_plan(family).texts.values(), strict=True):
        texts.add_module(name, text_encoder(plan.width, plan.num_layers if whole else 1))
    return Roots(unet, texts)


@dataclass
class Host:
    """A loaded SD1 model and the session on it."""

    patcher: type[Patcher]
    model: Model
    session: PatcherSession

    def after(self) -> tuple[object, object]:
        objects = self.model.forge_objects_after_applying_lora
        return objects.unet, objects.clip


@pytest.fixture(params=["forge", "reforge"])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints) -> Host:
    patcher = install(monkeypatch, request.param)
    roots = make_roots(checkpoints, "sd1")
    model = Model(patcher(roots.unet), patcher(roots.texts))
    return Host(patcher, model, PatcherSession(model, find_kind()))


def decode(tensors: Mapping[str, Tensor], name: str = "x") -> Network:
    return decode_network(tensors, {}, name, name)


def lora(stem: str, shape: tuple[int, ...], seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{stem}.lora_up.weight": torch.randn(shape[0], 2, generator=generator),
        f"{stem}.lora_down.weight": torch.randn(2, *shape[1:], generator=generator) / 4,
        f"{stem}.alpha": torch.tensor(1.0),
    }


def product(tensors: Mapping[str, Tensor], stem: str) -> Tensor:
    """alpha / rank * up @ down, in float64."""
    up, down = (tensors[f"{stem}.lora_{part}.weight"].double() for part in ("up", "down"))
    return 0.5 * up @ down


def assert_rounded(got: Tensor, exact: Tensor) -> None:
    """One rounding to half away from the exact value, and a little for the float32 sum before it."""
    assert got.dtype == torch.float16
    error = (got.double() - exact).abs()
    assert (error <= exact.abs() * 2**-11 + 1e-6).all()


def shape_of(host: Host, key: str) -> tuple[int, ...]:
    side = "unet" if key.startswith("diffusion_model") else "clip"
    objects = host.model.forge_objects
    patcher: Patcher = objects.unet if side == "unet" else objects.clip.patcher
    return tuple(patcher.originals[f"{key}.weight"].shape)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_network_for_the_family_matches_whole(
    family: Known, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    patcher = install(monkeypatch, "forge")
    roots = make_roots(checkpoints, family, whole=True)
    model = Model(patcher(roots.unet), patcher(roots.texts))
    session = PatcherSession(model, find_kind())
    assert session.layers.family == family
    plan = small_plan(family)
    network = decode_network(network_tensors(plan, "locon"), network_metadata(plan, "locon"), "x", "x")
    report = session.apply([Wanted(network)])
    assert report.problems == ()
    assert {count.component for count in report.counts} == {"unet", *plan.texts}
    assert sum(count.applied for count in report.counts) == len(network.adapters)
    objects = model.forge_objects_after_applying_lora
    assert len(objects.unet.patches) + len(objects.clip.patcher.patches) == len(network.adapters)


def test_two_networks_are_one_sum_rounded_once(host: Host) -> None:
    unet, text = shape_of(host, TO_Q_KEY), shape_of(host, FC1_KEY)
    first, second = lora(TO_Q, unet, 1), {**lora(TO_Q, unet, 2), **lora(FC1, text, 3)}
    before = {key: value.detach().clone() for key, value in host.model.run().items()}
    report = host.session.apply(
        [Wanted(decode(first, "a"), 1.0, 0.75), Wanted(decode(second, "b"), te=-0.5, unet=0.3)]
    )
    assert [str(count) for count in report.counts] == [
        "a: applied 1 of 1 unet layers",
        "b: applied 1 of 1 te1 layers",
        "b: applied 1 of 1 unet layers",
    ]
    merged = host.model.run()
    weight, bias = f"{TO_Q_KEY}.weight", f"{FC1_KEY}.weight"
    delta = 0.75 * product(first, TO_Q) + 0.3 * product(second, TO_Q)
    assert_rounded(merged[weight], before[weight].double() + delta)
    assert_rounded(merged[bias], before[bias].double() - 0.5 * product(second, FC1))
    same = {key for key, value in merged.items() if torch.equal(value, before[key])}
    assert set(before) - same == {weight, bias}


def test_what_depends_on_the_weight_sees_the_original(host: Host) -> None:
    rows = shape_of(host, TO_Q_KEY)[0]
    scale = torch.linspace(-0.5, 0.5, rows)
    ia3 = decode({f"{TO_Q}.weight": scale, f"{TO_Q}.on_input": torch.tensor(0.0)}, "ia3")
    dense = decode({f"{TO_Q}.diff": torch.full(shape_of(host, TO_Q_KEY), 0.125)}, "dense")
    weight = host.model.run()[f"{TO_Q_KEY}.weight"].double().clone()
    host.session.apply([Wanted(dense), Wanted(ia3, unet=0.5)])
    merged = host.model.run()[f"{TO_Q_KEY}.weight"]
    assert_rounded(merged, weight + 0.125 + 0.5 * scale.double()[:, None] * weight)


def test_the_same_network_twice_adds_up(host: Host) -> None:
    tensors = lora(TO_Q, shape_of(host, TO_Q_KEY))
    weight = host.model.run()[f"{TO_Q_KEY}.weight"].double().clone()
    host.session.apply([Wanted(decode(tensors), unet=0.5), Wanted(decode(tensors), unet=0.25)])
    merged = host.model.run()[f"{TO_Q_KEY}.weight"]
    assert_rounded(merged, weight + 0.75 * product(tensors, TO_Q))


def test_off_is_the_very_patchers_that_were_there(host: Host) -> None:
    before, original = host.after(), {k: v.detach().clone() for k, v in host.model.run().items()}
    host.session.apply([Wanted(decode(lora(TO_Q, shape_of(host, TO_Q_KEY))))])
    assert host.after()[0] is not before[0]
    assert host.after()[1] is before[1]
    host.session.restore()
    assert all(ours is theirs for ours, theirs in zip(host.after(), before, strict=True))
    assert all(torch.equal(value, original[key]) for key, value in host.model.run().items())


def test_nothing_wanted_touches_nothing(host: Host) -> None:
    theirs = host.model.forge_objects.unet.clone()
    host.model.forge_objects.unet = theirs  # ControlNet's, say
    after = host.model.forge_objects_after_applying_lora
    host.session.restore()
    assert host.model.forge_objects.unet is theirs
    assert host.model.forge_objects_after_applying_lora is after


def test_an_equal_set_is_the_same_clone_and_another_is_not(host: Host) -> None:
    one = decode(lora(TO_Q, shape_of(host, TO_Q_KEY)))
    host.session.apply([Wanted(one)])
    first = host.after()
    host.model.begin_pass()
    host.session.apply([Wanted(one)])
    assert host.after()[0] is first[0]
    host.session.apply([Wanted(one, unet=0.5)])
    assert host.after()[0] is not first[0]
    assert len(host.model.forge_objects_after_applying_lora.unet.patches) == 1


def test_it_acts_at_once_and_again_after_the_builtin_has_rebuilt_its_own(host: Host) -> None:
    tensors = lora(TO_Q, shape_of(host, TO_Q_KEY))
    weight = host.model.run()[f"{TO_Q_KEY}.weight"].double().clone()
    host.session.apply([Wanted(decode(tensors))])
    assert host.model.forge_objects.unet is host.after()[0], "text may be encoded before the next pass"
    theirs = ("builtin's",)
    host.model.rebuild(lambda patcher: patcher.patches.append(("elsewhere", 1.0, theirs, False)))
    host.session.apply([Wanted(decode(tensors))])
    patches = host.model.forge_objects_after_applying_lora.unet.patches
    assert [value for _, _, value, _ in patches if value is theirs] == [theirs]
    assert_rounded(host.model.run()[f"{TO_Q_KEY}.weight"], weight + product(tensors, TO_Q))
    host.session.restore()
    assert [value for _, _, value, _ in host.model.forge_objects_after_applying_lora.unet.patches] == [
        theirs
    ]


def test_a_patch_obeys_the_strength_that_the_host_gives_it(host: Host) -> None:
    tensors = lora(TO_Q, shape_of(host, TO_Q_KEY))
    weight = host.model.run()[f"{TO_Q_KEY}.weight"].double().clone()
    host.session.apply([Wanted(decode(tensors))])
    patcher: Patcher = host.model.forge_objects_after_applying_lora.unet
    patcher.patches = [(key, 0.25, value, online) for key, _, value, online in patcher.patches]
    assert_rounded(host.model.run()[f"{TO_Q_KEY}.weight"], weight + 0.25 * product(tensors, TO_Q))


def test_exchanged_text_encoders_are_found(host: Host) -> None:
    small, large = lora(FC1, shape_of(host, FC1_KEY)), lora(FC1, (384, 96))
    both = [Wanted(decode(small, "small")), Wanted(decode(large, "large"))]
    assert {problem.network for problem in host.session.apply(both).problems} == {"large"}
    texts = nn.Module()
    texts.add_module("clip_l", text_encoder(96, 1))
    other = host.patcher(texts)
    objects = host.model.forge_objects_after_applying_lora
    objects.clip = type(objects.clip)(other)
    assert {problem.network for problem in host.session.apply(both).problems} == {"small"}
    weight = other.originals[f"{FC1_KEY}.weight"].double()
    assert_rounded(host.model.run()[f"{FC1_KEY}.weight"], weight + product(large, FC1))


def test_a_bias_is_patched_where_the_layer_has_one(host: Host) -> None:
    bias = torch.full((shape_of(host, FC1_KEY)[0],), 0.25)
    diff = torch.zeros(shape_of(host, FC1_KEY))
    old = host.model.run()[f"{FC1_KEY}.bias"].double().clone()
    host.session.apply([Wanted(decode({f"{FC1}.diff": diff, f"{FC1}.diff_b": bias}), te=0.5)])
    assert_rounded(host.model.run()[f"{FC1_KEY}.bias"], old + 0.125)


def test_a_bias_that_the_layer_lacks_is_reported(host: Host) -> None:
    shape = shape_of(host, TO_Q_KEY)
    tensors = {f"{TO_Q}.diff": torch.zeros(shape), f"{TO_Q}.diff_b": torch.ones(shape[0])}
    report = host.session.apply([Wanted(decode(tensors))])
    assert [problem.reason for problem in report.problems] == [
        "the layer has no bias, and patches cannot give it one"
    ]
    assert [(count.applied, count.total) for count in report.counts] == [(0, 1)]


def test_tags_with_block_weights_and_schedules(host: Host) -> None:
    tensors = {**lora(TO_Q, shape_of(host, TO_Q_KEY)), **lora(FC1, shape_of(host, FC1_KEY), 1)}
    networks = PromptNetworks(host.session, host.session.layers.family, lambda name: decode(tensors, name))
    before = {key: value.detach().double() for key, value in host.model.run().items()}
    tag = "<lora:x:te=1:unet=0.25@0,1@1:lbw=1,0.5" + ",0" * 15 + ">"
    parsed = parse_prompt(tag)
    assert parsed.problems == ()
    # of 17 weights the first is the text encoder's, the second IN01's, where to_q is
    outcome = networks.begin(parsed.requests, num_steps=8)
    assert outcome.lines() == ["x: applied 2 of 2"]
    merged = host.model.run()
    weight, text = f"{TO_Q_KEY}.weight", f"{FC1_KEY}.weight"
    assert_rounded(merged[weight], before[weight] + 0.25 * 0.5 * product(tensors, TO_Q))
    assert_rounded(merged[text], before[text] + product(tensors, FC1))
    patchers = host.after()
    networks.step(4, 8)
    assert host.after() == patchers, "the host merges once for a pass"
    networks.restore()
    assert torch.equal(host.model.run()[weight].double(), before[weight])


def test_what_cannot_work_is_told_where_it_is_asked_for(host: Host) -> None:
    steady, varying, second = (
        parse_prompt(f"<lora:x:{options}>").requests
        for options in ("0.5", "unet=0@0,1@1", "unet=1:hrunet=1@0,0@1")
    )
    assert limits(host.model, steady, False, "merge") == []
    assert limits(host.model, varying, False, "merge") == [LIMITS]
    assert limits(host.model, second, False, "merge") == []
    assert limits(host.model, second, True, "merge") == [LIMITS]
    assert limits(host.model, steady, False, "bypass") == [LIMITS]
    assert limits(host.model, (), False, "bypass") == []
    assert limits(nn.Linear(1, 1), varying, False, "bypass") == [], "A1111 can do both"


def test_strengths_by_image_are_refused(host: Host) -> None:
    one = decode(lora(TO_Q, shape_of(host, TO_Q_KEY)))
    with pytest.raises(LycoError, match="one strength"):
        host.session.apply([Wanted(one, unet=torch.ones(2))])


def test_inference_mode_of_the_host_does_not_matter(host: Host) -> None:
    with torch.inference_mode():
        tensors = lora(TO_Q, shape_of(host, TO_Q_KEY))
        host.session.apply([Wanted(decode(tensors))])
        merged = host.model.run()[f"{TO_Q_KEY}.weight"]
    original = host.model.forge_objects.unet.originals[f"{TO_Q_KEY}.weight"].double()
    assert_rounded(merged, original + product(tensors, TO_Q))


def test_sd3_is_known_by_its_blocks() -> None:
    prefix = "diffusion_model.joint_blocks.3.x_block"
    unet = meta_tree(
        {f"{prefix}.attn.qkv.weight": (4608, 1536), f"{prefix}.attn.proj.weight": (1536, 1536)}
    )
    texts = meta_tree({"t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096)})
    layers = read_layers(Roots(unet, texts))
    assert layers.family == "sd3"
    rows = {layer.path.rpartition(".")[2]: targets[0].rows for layer, targets in layers.targets.items()}
    assert rows == {
        "to_q": (0, 1536),
        "to_k": (1536, 3072),
        "to_v": (3072, 4608),
        "to_qkv": None,
        "0": None,
        "q": None,
    }


@pytest.mark.parametrize(
    ("unet", "text"),
    [("double_blocks.0.img_attn.qkv", "clip_l"), ("input_blocks.0.0", "clip_g")],
    ids=["flux", "refiner"],
)
def test_other_models_have_no_layers_of_ours(unet: str, text: str) -> None:
    roots = Roots(
        meta_tree({f"diffusion_model.{unet}.weight": (384, 4)}),
        meta_tree({f"{text}.transformer.x.weight": (2, 2)}),
    )
    layers = read_layers(roots)
    assert (layers.family, layers.targets) == (None, {})
    assert is_beyond_us(Model(Patcher(roots.unet), Patcher(roots.texts)))


def test_models_of_ours_and_of_other_hosts_are_not_left_to_the_builtin(host: Host) -> None:
    assert not is_beyond_us(host.model)
    assert not is_beyond_us(nn.Linear(1, 1))
    assert not is_beyond_us(None)


def test_coarse_weights_are_merged_when_used_if_the_user_wants_that(
    monkeypatch: pytest.MonkeyPatch, checkpoints: Checkpoints
) -> None:
    patcher = install(monkeypatch, "forge")
    roots = make_roots(checkpoints, "sd1")
    model = Model(patcher(roots.unet), patcher(roots.texts))
    session = PatcherSession(model, find_kind())
    one = decode(lora(TO_Q, tuple(roots.unet.get_parameter(f"{TO_Q_KEY}.weight").shape)))
    sys.modules["backend.args"].dynamic_args["online_lora"] = True
    online: list[bool] = []
    for strength, storage in enumerate((torch.float16, torch.float8_e4m3fn, "nf4")):
        vars(roots.unet)["storage_dtype"] = storage
        session.apply([Wanted(one, unet=1.0 + strength)])
        online += [found for *_, found in model.forge_objects_after_applying_lora.unet.patches]
    assert online == [False, True, True]


def test_a_host_without_such_patches_is_named() -> None:
    assert not is_patched(nn.Linear(1, 1))
    with pytest.raises(ModelError, match="take no patches of ours"):
        find_kind()


def test_a_model_is_not_kept_alive(host: Host) -> None:
    host.session.apply([Wanted(decode(lora(TO_Q, shape_of(host, TO_Q_KEY))))])
    model, session = weakref.ref(host.model), host.session
    del host.model
    gc.collect()
    assert model() is None
    assert session.restore().counts == ()
