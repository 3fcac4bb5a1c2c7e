"""Tags on a model: what acts at which step, and what a person is told about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.apply.outcome import Outcome
from lib_lyco.apply.prompt_networks import PromptNetworks
from lib_lyco.apply.session import Session
from lib_lyco.errors import FileError, LycoError, NetworkNotFoundError
from lib_lyco.files.save import save_tensors
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.network.load import load_network
from lib_lyco.network.network import Network, UnknownKey
from lib_lyco.prompt.block_weights import read_block_weights
from lib_lyco.prompt.schedule import counted
from lib_lyco.prompt.tags import parse_prompt
from tests.apply.small import adapter_of, network_of
from tests.network.samples import TEXT, Q, lora

UNET = LayerName("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
OTHER = LayerName("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_k")
TE = LayerName("te1", "text_model.encoder.layers.0.self_attn.q_proj")
LAYERS = (UNET, OTHER, TE)
CAT = network_of("cat", {layer: adapter_of("lora", (16, 24), seed) for seed, layer in enumerate(LAYERS)})
X = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))


class Ground:
    """Three layers of SD1, and the files that tags can name."""

    def __init__(self, networks: dict[str, Network], family: Family | None = "sd1") -> None:
        self.modules = {layer: nn.Linear(24, 16) for layer in LAYERS}
        self.weights = {layer: module.weight.detach().clone() for layer, module in self.modules.items()}
        self.session = Session(self.targets)
        self.networks = PromptNetworks(self.session, family, self.load)
        self._files = networks

    @property
    def targets(self) -> Targets:
        return {layer: (Target(layer, module),) for layer, module in self.modules.items()}

    def load(self, name: str) -> Network:
        if name == "broken":
            raise FileError("It is cut short", where="broken.safetensors", remedy="Get it again.")
        if name not in self._files:
            raise NetworkNotFoundError(
                f"There is no network called {name!r}", where="a folder", remedy="Did you mean cat?"
            )
        return self._files[name]

    def begin(self, prompt: str, *, hires: bool = False, num_steps: int = 1) -> Outcome:
        parsed = parse_prompt(prompt)
        return self.networks.begin(
            parsed.requests, hires=hires, num_steps=num_steps, errors=parsed.problems
        )

    def strength(self, layer: LayerName) -> float:
        """How strongly CAT acts on a layer, from what the layer returns: least squares of one number."""
        module, weight = self.modules[layer], self.weights[layer]
        full = X @ CAT.adapters[layer].delta(weight).T
        with torch.no_grad():
            change: Tensor = module(X) - nn.functional.linear(X, weight, module.bias)
        return round(float((change * full).sum() / full.square().sum()), 4)


def test_schedule_gives_each_step_its_strength() -> None:
    ground = Ground({"cat": CAT})
    outcome = ground.begin("<lora:cat:te=0.5@0,0@1:unet=1@0,0@1>", num_steps=6)
    assert outcome.problems() == []
    assert torch.equal(ground.modules[UNET].weight, ground.weights[UNET]), "bypassed, so no step merges"
    found: list[float] = []
    for index in range(6):
        ground.networks.step(counted(index), 6)
        found.append(ground.strength(UNET))
        assert ground.strength(TE) == 0.5
    # the WebUI counts 0 0 1 2 3 4, and loractl takes num_steps - 2 for the end
    assert found == [1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    ground.networks.restore()
    assert ground.strength(UNET) == 0.0
    ground.networks.step(0, 6)
    assert ground.strength(UNET) == 0.0, "what was taken off stays off"


def test_window_of_steps_starts_and_stops() -> None:
    ground = Ground({"cat": CAT})
    ground.begin("<lora:cat:1:start=2:stop=4>", num_steps=6)
    found: list[float] = []
    for index in range(6):
        ground.networks.step(counted(index), 6)
        found.append(ground.strength(UNET))
    assert found == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_constant_strengths_cost_a_step_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground({"cat": CAT})
    ground.begin("<lora:cat:0.5>", num_steps=3)
    for method in ("apply", "vary"):
        monkeypatch.delattr(Session, method)
    for step in range(3):
        ground.networks.step(step, 3)
    assert ground.strength(UNET) == 0.5


def test_passes_have_their_own_strengths() -> None:
    ground = Ground({"cat": CAT})
    tag = "<lora:cat:0.5:0.25:hrte=0.1:hrunet=0.75>"
    for hires, expected in ((False, (0.25, 0.5)), (True, (0.75, 0.1)), (False, (0.25, 0.5))):
        ground.begin(tag, hires=hires)
        assert (ground.strength(UNET), ground.strength(TE)) == expected


def test_the_same_network_twice_adds_up_with_and_without_blocks() -> None:
    ground = Ground({"cat": CAT})
    outcome = ground.begin("<lora:cat:0.5><lora:cat:1:lbw=MID>")
    assert (ground.strength(UNET), ground.strength(TE)) == (1.5, 0.5)
    assert outcome.lines() == ["cat: applied 3 of 3"]


def test_one_bad_tag_disables_no_other_and_is_quoted() -> None:
    ground = Ground({"cat": CAT})
    outcome = ground.begin("<lora:ct:1><lora:cat:0.5><lora:broken><lora:cat:much>")
    assert ground.strength(UNET) == 0.5
    assert outcome.lines()[0] == "cat: applied 3 of 3"
    unreadable, missing, broken = outcome.problems()
    assert unreadable.startswith("<lora:cat:much>: ")
    assert missing == "<lora:ct:1>: There is no network called 'ct'. Did you mean cat?"
    assert broken == "<lora:broken>, broken.safetensors: It is cut short. Get it again."
    assert [type(error) for error in outcome.errors[1:]] == [NetworkNotFoundError, FileError]


def test_network_of_another_family_is_told_in_one_sentence() -> None:
    far = {
        LayerName("te2", f"text_model.encoder.layers.{n}.mlp.fc1"): adapter_of("lora", (16, 24))
        for n in range(9)
    }
    network = replace(CAT, adapters={UNET: CAT.adapters[UNET], **far}, family="sdxl")
    ground = Ground({"cat": network})
    told = "cat: applied 1 of 10: made for Stable Diffusion XL, this is Stable Diffusion 1"
    assert ground.begin("<lora:cat>").problems() == [told]


def test_reasons_are_grouped_and_counted() -> None:
    adapters = {
        UNET: CAT.adapters[UNET],
        OTHER: adapter_of("lora", (16, 32)),
        TE: adapter_of("lora", (16, 32)),
        **{LayerName("unet", f"absent.{n}"): adapter_of("lora", (16, 24)) for n in range(4)},
    }
    unknown = tuple(UnknownKey(f"key{n}", "nobody knows it") for n in range(2))
    ground = Ground({"cat": replace(CAT, adapters=adapters, unknown=unknown)})
    (problem,) = ground.begin("<lora:cat>").problems()
    assert problem == (
        "cat: applied 1 of 7: 4 layers, such as unet:absent.0: the model has no such layer; "
        f"2 layers, such as {OTHER}: the factors make 16x32, the weight is 16x24; "
        "2 keys, such as key0: nobody knows it"
    )


def test_layer_with_nan_is_told_and_the_others_act(tmp_path: Path) -> None:
    parts = {**lora(Q, 320, 320), **lora(TEXT, 3072, 768)}
    parts[f"{Q}.lora_up.weight"][3, 1] = float("nan")
    save_tensors(tmp_path / "cat.safetensors", parts, {})
    network = load_network(tmp_path / "cat.safetensors")
    layer = LayerName("te1", "text_model.encoder.layers.3.mlp.fc1")
    linear = nn.Linear(768, 3072)
    networks = PromptNetworks(Session({layer: (Target(layer, linear),)}), "sd1", lambda name: network)
    before = linear.weight.detach().clone()
    (problem,) = networks.begin(parse_prompt("<lora:cat>").requests).problems()
    assert problem.startswith(f"cat: applied 1 of 2: {Q}: 1 of 640 values")
    assert "NaN" in problem
    assert not torch.equal(linear.weight, before)


def test_key_too_many_costs_its_layer_nothing(tmp_path: Path) -> None:
    twice = {
        **lora(Q, 320, 320),
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.alpha": torch.tensor(1.0),
    }
    save_tensors(tmp_path / "cat.safetensors", twice, {})
    network = load_network(tmp_path / "cat.safetensors")
    (layer,) = network.adapters
    networks = PromptNetworks(
        Session({layer: (Target(layer, nn.Linear(320, 320)),)}), "sd1", lambda _: network
    )
    (problem,) = networks.begin(parse_prompt("<lora:cat>").requests).problems()
    assert problem.startswith(
        f"cat: applied 1 of 1: {network.unknown[0].key}: the file has this tensor already"
    )


def test_equal_names_are_told_apart_as_the_tags_do() -> None:
    other = replace(CAT, content_id="other")
    ground = Ground({"a/cat": CAT, "b/cat": other})
    lines = ground.begin("<lora:a/cat><lora:b/cat>").lines()
    assert lines == ["a/cat: applied 3 of 3", "b/cat: applied 3 of 3"]


def test_file_of_embeddings_is_no_problem() -> None:
    embeddings = {"cat-style": {"emb": torch.zeros(1, 768)}}
    ground = Ground({"cat": replace(CAT, adapters={}, embeddings=embeddings)})
    outcome = ground.begin("<lora:cat>")
    assert (outcome.lines(), outcome.problems()) == (["cat: holds embeddings only"], [])


def test_block_weights_on_an_unknown_model_are_an_error_of_that_tag() -> None:
    ground = Ground({"cat": CAT}, family=None)
    requests = parse_prompt("<lora:cat:0.5><lora:cat:1:x>").requests[:1]
    blocks = replace(requests[0], blocks=read_block_weights("MID"), tag="<lora:cat:lbw=MID>")
    outcome = ground.networks.begin([*requests, blocks])
    assert ground.strength(UNET) == 0.5
    assert outcome.problems()[0].startswith("<lora:cat:lbw=MID>: Block weights need")


def test_failure_takes_everything_off_and_steps_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground({"cat": CAT})
    ground.begin("<lora:cat:1@0,0@1>", num_steps=3)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lib_lyco.apply.session.make_plan", fail)
        with pytest.raises(KeyboardInterrupt):
            ground.begin("<lora:cat:0.5@0,0@1>", num_steps=3)
    ground.networks.step(2, 3)
    assert [ground.strength(layer) for layer in LAYERS] == [0.0, 0.0, 0.0]
    assert isinstance(ground.begin("<lora:cat>").errors, tuple)
    assert ground.strength(UNET) == 1.0


def test_error_of_ours_is_one_line() -> None:
    outcome = Ground({}).networks.begin(
        [], errors=[LycoError("What", got="a\nb", expected="c", remedy="Do.")]
    )
    assert outcome.lines() == ["What (got a b; expected c). Do."]
