"""Every kind of network in the real WebUI: as the builtin where that is right, and as the formula always.

One process holds both, and the option that says whose `<lora:>` is changes hands at each comparison.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lib_lyco.demo import embedded
from lib_lyco.demo.madeup import Known
from lib_lyco.naming.layer import LayerName
from tests.dialects.spelling import kohya
from tests.end_to_end.tiny import scatter
from tests.host import dialects
from tests.host.algorithms import CHAIN, KERNEL, RIGHT, WRONG, Row
from tests.host.dialects import FAMILIES
from tests.host.driver import Host, HostError, Picture
from tests.host.places import place
from tests.host.small_models import write_small
from tests.oracles.layers import noise

PROMPT = "a red circle on a blue ground"
EPS = torch.finfo(torch.float32).eps
ATTENTION = "text_model.encoder.layers.3.self_attn"
NEAR, FAR = 1.5, 1000
"""Roundings: ours is nearer to the formula than the first; what is further than the second is wrong."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Model:
    """A base model in the WebUI, and what it is without networks."""

    host: Host
    family: Known
    file: Path
    weights: Weights
    clean: Picture

    def draw(self, tags: str, *, ours: bool, steps: int = 4) -> tuple[Picture, Weights]:
        """The picture, and the weights that are not the base's after it."""
        self.host.set_options(lyco_own_lora=ours)
        picture = self.host.txt2img(f"{PROMPT} {tags}", steps=steps)
        # a file for each of both: what is loaded is the file's own memory
        path = self.file.with_name("ours.safetensors" if ours else "theirs.safetensors")
        self.host.ask("weights", file=str(path), base=str(self.file))
        return picture, load_file(path)

    def weight(self, layer: LayerName, changed: Weights) -> Tensor:
        """A layer's weight, (o, i, ...), after a picture."""
        there = place(layer, self.family)
        return there.of(changed if there.weight in changed else self.weights)


class Models:
    """The base models; a checkpoint is changed only for the next family."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._known: dict[Known, Model] = {}
        self._used: Known | None = None

    def use(self, family: Known) -> Model:
        """The embedded model for SD1, a made-up one for any other family."""
        host = self._host
        if family not in self._known:
            name = "lyco-embedded" if family == "sd1" else write_small(host.checkpoints, family)
            host.use(name)
            clean, file = host.txt2img(PROMPT), self._folder / family / "base.safetensors"
            file.parent.mkdir()
            host.ask("weights", file=str(file))
            self._known[family] = Model(host, family, file, load_file(file), clean)
        elif family != self._used:
            host.use("lyco-embedded" if family == "sd1" else f"small-{family}")
        self._used = family
        return self._known[family]


@pytest.fixture(scope="module")
def models(kind: str, shared_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Generator[Models]:
    """Of the WebUI: the stand-in has no builtin Lora extension that applies anything."""
    if kind == "stand-in":
        pytest.skip("only the WebUI has the builtin Lora extension")
    yield Models(shared_host, tmp_path_factory.mktemp("pictures"))
    shared_host.set_options(lyco_own_lora=True)
    shared_host.use("lyco-embedded")


def roundings(found: Tensor, exact: Tensor, weight: Tensor) -> float:
    """The largest difference, in units in the last place of float32 numbers as large as what is summed."""
    exact, weight = exact.double(), weight.double()
    size = float(weight.abs().max() + (exact - weight).abs().max())
    return float((found.double() - exact).abs().max()) / (EPS * size)


def alike(first: Picture, second: Picture) -> bool:
    """Whether pictures differ by no more than one step of a colour, in no more than a few places."""
    differing = int((first.pixels != second.pixels).sum())
    return first.distance(second) <= 1 and differing <= first.pixels.size // 1000


@dataclass(frozen=True)
class Case:
    """A row of the table of algorithms as a file."""

    model: Model
    row: Row
    tag: str
    parts: Mapping[LayerName, Mapping[str, Tensor]]

    def exact(self, layer: LayerName) -> Tensor:
        """The layer's weight in float64 at the row's strength."""
        weight = self.model.weight(layer, {}).double()
        own = {part: value.double() for part, value in self.parts[layer].items()}
        return weight + self._strength(layer) * (self.row.exact(own, weight) - weight)

    def exact_biases(self) -> dict[str, Tensor]:
        """Every bias that changes."""
        biases: dict[str, Tensor] = {}
        for layer, own in self.parts.items():
            change = own.get("diff_b", own.get("b_norm"))
            if change is not None:
                key = place(layer, "sd1").bias
                before = self.model.weights.get(key, torch.zeros(()))
                biases[key] = before.double() + self._strength(layer) * change.double()
        return biases

    def worst(self, changed: Weights) -> float:
        """How far the weights and biases are from the exact ones, in roundings."""
        found = [
            roundings(self.model.weight(layer, changed), self.exact(layer), self.model.weight(layer, {}))
            for layer in self.parts
        ]
        for key, exact in self.exact_biases().items():
            before = self.model.weights.get(key, torch.zeros_like(exact))
            found.append(roundings(changed.get(key, before), exact, before))
        return max(found)

    def apart(self, one: Weights, other: Weights) -> float:
        """How far two sets of weights are from each other, in roundings."""
        return max(
            roundings(value, other[key], self.model.weights.get(key, torch.zeros_like(value)))
            for key, value in one.items()
        )

    def _strength(self, layer: LayerName) -> float:
        return self.row.te if layer.component == "te1" else self.row.unet


@pytest.fixture
def case(models: Models, request: pytest.FixtureRequest) -> Case:
    """Writes the row's file."""
    row: Row = request.param
    model = models.use("sd1")
    parts: dict[LayerName, Mapping[str, Tensor]] = {}
    for seed, layer in enumerate(row.layers):
        there = place(layer, "sd1")
        parts[layer] = row.make(module(there.of(model.weights), model.weights.get(there.bias)), seed)
    name = "algorithm-" + re.sub(r"\W+", "-", row.name)
    tensors = {
        f"{kohya(layer, 'sd1')}.{part}": value
        for layer, own in parts.items()
        for part, value in own.items()
    }
    model.host.write(name, tensors, row.metadata)
    return Case(model, row, f"<lora:{name}{row.options}>", parts)


def module(weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A torch module with the layer's weights, for whoever makes a network for it."""
    out, *rest = weight.shape
    made: nn.Module = nn.LayerNorm(out)
    if len(rest) == 1:
        made = nn.Linear(rest[0], out, bias=bias is not None)
    elif rest:
        made = nn.Conv2d(rest[0], out, (rest[1], rest[2]), padding=rest[1] // 2, bias=bias is not None)
    made.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return made.requires_grad_(False)


@pytest.mark.parametrize("case", RIGHT, ids=str, indirect=True)
def test_where_the_builtin_is_right_ours_is_the_same(case: Case) -> None:
    theirs_drawn, theirs = case.model.draw(case.tag, ours=False)
    ours_drawn, ours = case.model.draw(case.tag, ours=True)
    assert ours and ours.keys() == theirs.keys()
    assert case.worst(ours) <= NEAR
    assert case.apart(ours, theirs) <= case.row.roundings
    assert alike(ours_drawn, theirs_drawn)
    assert not alike(ours_drawn, case.model.clean), "the network does nothing: the test could not fail"


@pytest.mark.parametrize("case", WRONG, ids=str, indirect=True)
def test_where_the_builtin_is_wrong_ours_is_the_formula(case: Case) -> None:
    try:
        theirs = case.model.draw(case.tag, ours=False)[1]
    except HostError:
        theirs = {}
    picture, ours = case.model.draw(case.tag, ours=True)
    assert case.worst(ours) <= NEAR
    assert case.worst(theirs) > FAR, "the builtin is right"
    assert picture.comments == ""


def of_dialect(row: dialects.Row, model: Model) -> tuple[dict[str, Tensor], dict[LayerName, Tensor]]:
    """A file that names every layer of the model, and what half of it makes of the weights, in float64."""
    tensors: dict[str, Tensor] = {}
    exact: dict[LayerName, Tensor] = {}
    for seed, (layer, stem) in enumerate(row.stems().items()):
        if place(layer, row.family).weight not in model.weights:
            continue  # the embedded model is as wide everywhere, and needs fewer shortcuts
        weight = model.weight(layer, {})
        parts = row.parts(weight, seed)
        wide = {part: value.double() for part, value in parts.items()}
        exact[layer] = weight + 0.5 * (row.exact(wide, weight.double()) - weight)
        tensors |= {f"{stem}.{row.spelled(part)}": value for part, value in parts.items()}
    return tensors, exact


@pytest.mark.parametrize("row", dialects.ROWS, ids=str)
def test_every_dialect(models: Models, row: dialects.Row) -> None:
    """Ours knows all layers; the builtin those that the table says, and then does the same."""
    model = models.use(row.family)
    tensors, exact = of_dialect(row, model)
    name = "dialect-" + re.sub(r"\W+", "-", str(row))
    model.host.write(name, tensors)
    theirs_drawn, theirs = model.draw(f"<lora:{name}:0.5>", ours=False, steps=2)
    ours_drawn, ours = model.draw(f"<lora:{name}:0.5>", ours=True, steps=2)
    known = {layer for layer in exact if not re.match(row.left_out, str(layer))}
    assert set(ours) == {place(layer, row.family).weight for layer in exact}
    assert set(theirs) == {place(layer, row.family).weight for layer in known}
    for layer, value in exact.items():
        before, found = model.weight(layer, {}), model.weight(layer, ours)
        assert roundings(found, value, before) <= NEAR, layer
        if layer in known:
            assert roundings(found, model.weight(layer, theirs), before) <= row.roundings, layer
    assert ours_drawn.comments == ""
    assert alike(ours_drawn, theirs_drawn) == (len(known) == len(exact))


def test_a_constraint_of_zero_forbids_turning_in_sd_scripts(models: Models) -> None:
    """The builtin takes it for no constraint, which is LyCORIS' rule."""
    model = models.use("sdxl")
    layer = LayerName("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
    parts = {"oft_blocks": noise(4, 32, 32, seed=1, scale=0.1), "alpha": torch.tensor(0.0)}
    stem = "oft_unet_middle_block_1_transformer_blocks_0_attn1_to_q"
    tensors = {f"{stem}.{part}": value for part, value in parts.items()}
    model.host.write("forbidden", tensors, {"ss_network_module": "networks.oft"})
    assert set(model.draw("<lora:forbidden>", ours=False)[1]) == {place(layer, "sdxl").weight}
    assert model.draw("<lora:forbidden>", ours=True)[1] == {}
    model.host.write("unlimited", tensors)
    assert set(model.draw("<lora:unlimited>", ours=True)[1]) == {place(layer, "sdxl").weight}


def test_some_of_an_attentions_projections(models: Models) -> None:
    """OpenCLIP keeps q, k and v as one weight: the builtin changes it for all four or not at all."""
    model = models.use("sd2")
    layers = [LayerName("te1", f"{ATTENTION}.{leaf}") for leaf in ("q_proj", "v_proj")]
    exact = write_kinds(model, "some", {layer: "lora" for layer in layers})
    assert model.draw("<lora:some>", ours=False)[1] == {}
    _, ours = model.draw("<lora:some>", ours=True)
    assert set(ours) == {place(layers[0], "sd2").weight}
    for layer, value in exact.items():
        assert roundings(model.weight(layer, ours), value, model.weight(layer, {})) <= NEAR
    key = LayerName("te1", f"{ATTENTION}.k_proj")
    assert torch.equal(model.weight(key, ours), model.weight(key, {}))


def test_each_projection_of_an_attention_by_another_algorithm(models: Models) -> None:
    model = models.use("sd2")
    kinds = {"q_proj": "lora", "k_proj": "ia3 on outputs", "v_proj": "full", "out_proj": "lokr, both split"}
    exact = write_kinds(
        model, "each", {LayerName("te1", f"{ATTENTION}.{leaf}"): kind for leaf, kind in kinds.items()}
    )
    drawn = [model.draw("<lora:each>", ours=own) for own in (False, True)]
    for layer, value in exact.items():
        for _, changed in drawn:
            assert roundings(model.weight(layer, changed), value, model.weight(layer, {})) <= NEAR
    assert alike(drawn[0][0], drawn[1][0])


def write_kinds(model: Model, name: str, kinds: Mapping[LayerName, str]) -> dict[LayerName, Tensor]:
    """Writes a file of algorithms by layer; what they make of the weights, in float64."""
    rows = {row.name: row for row in RIGHT}
    tensors: dict[str, Tensor] = {}
    exact: dict[LayerName, Tensor] = {}
    for seed, (layer, kind) in enumerate(kinds.items()):
        weight = model.weight(layer, {})
        parts = rows[kind].make(module(weight, None), seed)
        tensors |= {f"{kohya(layer, model.family)}.{part}": value for part, value in parts.items()}
        wide = {part: value.double() for part, value in parts.items()}
        exact[layer] = rows[kind].exact(wide, weight.double())
    model.host.write(name, tensors)
    return exact


def test_one_unknown_layer_costs_no_other(models: Models) -> None:
    """The builtin drops the network that has it."""
    model = models.use("sd1")
    first, second, *_ = RIGHT[0].layers
    parts = RIGHT[0].make(module(model.weight(first, {}), None), 1)
    tensors = {f"{kohya(first, 'sd1')}.{part}": value for part, value in parts.items()}
    tensors[f"{kohya(second, 'sd1')}.of_tomorrow.weight"] = torch.ones(4, 4)
    model.host.write("half-known", tensors)
    assert model.draw("<lora:half-known>", ours=False)[1] == {}
    picture, ours = model.draw("<lora:half-known>", ours=True)
    assert set(ours) == {place(first, "sd1").weight}
    assert "applied 1 of 2" in picture.comments and "of_tomorrow" in picture.comments


@pytest.mark.parametrize("tags", ["<lora:added><lora:turned>", "<lora:turned><lora:added>"])
def test_every_network_acts_on_the_original_weight(models: Models, tags: str) -> None:
    """A LoRA beside a rotation. The builtin computes each from what the one before has left."""
    model = models.use("sd1")
    added = write_kinds(model, "added", dict.fromkeys(KERNEL, "lora"))
    turned = write_kinds(model, "turned", dict.fromkeys(KERNEL, "diag-oft"))
    theirs, ours = (model.draw(tags, ours=own)[1] for own in (False, True))
    for layer in KERNEL:
        before = model.weight(layer, {})
        exact = added[layer] + turned[layer] - before
        assert roundings(model.weight(layer, ours), exact, before) <= NEAR
        is_wrong = roundings(model.weight(layer, theirs), exact, before) > FAR
        assert is_wrong == tags.startswith("<lora:added>")


def test_embeddings_in_a_network(models: Models) -> None:
    model = models.use("sd1")
    words = {"bundle_emb.moonword.string_to_param.*": noise(2, 32, seed=1, scale=0.4)}
    model.host.write("with-a-word", words | {"lora_te_text_model_final_layer_norm.w_norm": torch.zeros(32)})
    drawn = [model.draw("moonword <lora:with-a-word>", ours=own)[0] for own in (False, True)]
    assert alike(*drawn)
    assert not alike(drawn[1], model.draw("moonword", ours=True)[0])


PEFT: Mapping[str, tuple[str, dict[str, Any], float]] = {
    # alpha is in PEFT's own configuration, beside the file: equal to r here, which is scale 1
    "lora": ("LoraConfig", {"r": 4, "lora_alpha": 4}, 0.05),
    "dora": ("LoraConfig", {"r": 4, "lora_alpha": 4, "use_dora": True}, 0.05),
    "loha": ("LoHaConfig", {"r": 4, "alpha": 4}, 0.1),
    "lokr": ("LoKrConfig", {"r": 4, "alpha": 4, "decompose_both": True}, 0.1),
    "ia3": ("IA3Config", {"feedforward_modules": ["ff.net.0.proj"]}, 0.1),
    "oft": ("OFTConfig", {"oft_block_size": 4}, 0.05),
}


@pytest.mark.parametrize("kind_of_network", PEFT)
def test_files_of_peft(models: Models, kind_of_network: str) -> None:
    """PEFT wraps the embedded model's UNet, saves, and merges: as our weights. The builtin does nothing."""
    peft = pytest.importorskip("peft", reason="PEFT is not among the host's packages")
    load_model = pytest.importorskip("lib_lyco.models.load").load_model
    model = models.use("sd1")
    name, options, scale = PEFT[kind_of_network]
    config = getattr(peft, name)(target_modules=["to_q", "to_v", "to_out.0", "ff.net.0.proj"], **options)
    wrapped = peft.get_peft_model(load_model(embedded.checkpoint()).component("unet"), config)
    scatter(wrapped, scale)
    model.host.write(f"peft-{kind_of_network}", peft.get_peft_model_state_dict(wrapped))
    merged = {
        layer: part.weight.detach()
        for path, part in wrapped.merge_and_unload().named_modules()
        if path.endswith(tuple(config.target_modules))
        for layer in [LayerName("unet", path)]
    }
    tag = f"<lora:peft-{kind_of_network}>"
    assert model.draw(tag, ours=False)[1] == {}
    _, ours = model.draw(tag, ours=True)
    assert {key for key in ours if key.endswith(".weight")} == {
        place(layer, "sd1").weight for layer in merged
    }
    for layer, value in merged.items():
        assert roundings(model.weight(layer, ours), value, model.weight(layer, {})) <= CHAIN, layer


def test_nothing_is_left_of_either(models: Models) -> None:
    for family in FAMILIES:
        model = models.use(family)
        for ours in (False, True):
            picture, changed = model.draw("", ours=ours)
            assert changed == {}
            assert picture.distance(model.clean) == 0
