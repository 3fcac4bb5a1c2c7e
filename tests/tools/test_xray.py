"""The x-ray against norms and cosines of deltas that are written out, and against worked cases."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.naming.layer import LayerName
from lib_lyco.network.network import Network, UnknownKey
from lib_lyco.tools.xray import Subject, block_ranges, xray
from lib_lyco.tools.xray_drawing import draw_xray

Q_IN01 = LayerName("unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q")
K_IN01 = LayerName("unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k")
CONV_IN01 = LayerName("unet", "down_blocks.0.resnets.0.conv1")
TEXT = LayerName("te1", "text_model.encoder.layers.0.self_attn.q_proj")
WIDTH = 320
Maker = Callable[[int], Adapter]


def lora(seed: int, rank: int = 4, shape: tuple[int, ...] = (WIDTH, WIDTH)) -> Adapter:
    noise = torch.Generator().manual_seed(seed)
    up_kernel = (1,) * len(shape[2:])
    parts = {
        "lora_up.weight": torch.randn(shape[0], rank, *up_kernel, generator=noise),
        "lora_down.weight": torch.randn(rank, *shape[1:], generator=noise),
        "alpha": torch.tensor(rank / 2),
    }
    return decode(parts, Hints()).adapter


def loha(seed: int) -> Adapter:
    noise = torch.Generator().manual_seed(seed)
    shapes = {"hada_w1_a": (WIDTH, 40), "hada_w1_b": (40, WIDTH)}
    shapes |= {"hada_w2_a": (WIDTH, 40), "hada_w2_b": (40, WIDTH)}
    parts = {part: torch.randn(shape, generator=noise) for part, shape in shapes.items()}
    return decode(parts, Hints()).adapter


def network(name: str, adapters: dict[LayerName, Adapter], *unknown: UnknownKey) -> Network:
    return Network(name, name, "sd1", adapters, unknown=unknown)


def written_out(adapter: Adapter, shape: tuple[int, ...]) -> Tensor:
    return adapter.delta(torch.zeros(shape, dtype=torch.float64)).flatten()


@pytest.mark.parametrize("make", [lora, loha])
def test_strength_is_the_norm_of_the_delta_over_that_of_the_weight(make: Maker) -> None:
    adapters = {Q_IN01: make(1), K_IN01: make(2)}
    weights = {layer: torch.randn(WIDTH, WIDTH) for layer in adapters}
    found = xray([Subject(network("a", adapters), unet=-0.5)], "sd1", weights.get)
    change = torch.cat([written_out(adapter, (WIDTH, WIDTH)) for adapter in adapters.values()])
    weight = torch.cat([weight.double().flatten() for weight in weights.values()])
    (block,) = found.networks[0].blocks
    assert block.block == "IN01"
    assert block.norm == pytest.approx(0.5 * change.norm().item(), rel=1e-5)
    assert block.relative == pytest.approx(0.5 * (change.norm() / weight.norm()).item(), rel=1e-5)
    assert found.together == found.networks[0].blocks


@pytest.mark.parametrize("others", [(lora, lora), (lora, loha), (loha, lora), (loha, loha)])
def test_overlap_is_the_cosine_of_the_deltas(others: tuple[Maker, Maker]) -> None:
    first, second = {Q_IN01: others[0](1)}, {Q_IN01: others[1](2), K_IN01: others[1](3)}
    found = xray([Subject(network("a", first)), Subject(network("b", second), unet=2.0)], "sd1")
    a, b = written_out(first[Q_IN01], (WIDTH, WIDTH)), written_out(second[Q_IN01], (WIDTH, WIDTH))
    rest = written_out(second[K_IN01], (WIDTH, WIDTH))
    length = math.sqrt(b.square().sum() + rest.square().sum())
    (overlap,) = found.overlaps
    assert (overlap.first, overlap.second, overlap.block) == ("a", "b", "IN01")
    assert overlap.cosine == pytest.approx((a @ b).item() / (a.norm().item() * length), abs=1e-6)
    total = torch.cat([a + 2 * b, 2 * rest])
    assert found.together[0].norm == pytest.approx(total.norm().item(), rel=1e-5)


def test_convs_and_text_encoders_have_their_blocks_and_strengths() -> None:
    shape = (WIDTH, WIDTH, 3, 3)
    adapters = {CONV_IN01: lora(1, shape=shape), TEXT: lora(2, shape=(768, 768))}
    found = xray([Subject(network("a", adapters), te=0.5, unet=2.0)], "sd1")
    norms = {block.block: block.norm for block in found.networks[0].blocks}
    assert norms["IN01"] == pytest.approx(
        2 * written_out(adapters[CONV_IN01], shape).norm().item(), rel=1e-5
    )
    assert norms["BASE"] == pytest.approx(
        0.5 * written_out(adapters[TEXT], (768, 768)).norm().item(), rel=1e-5
    )


def test_networks_that_undo_each_other_fight() -> None:
    same = {Q_IN01: lora(1)}
    found = xray(
        [Subject(network("cat", same), unet=1.0), Subject(network("anticat", same), unet=-1.0)], "sd1"
    )
    assert found.findings == ("cat and anticat fight in IN01 (cosine down to -1.00).",)
    assert found.together[0].norm == pytest.approx(0.0, abs=1e-2)


def test_networks_that_repeat_each_other_are_named() -> None:
    found = xray([Subject(network(name, {Q_IN01: lora(1)})) for name in ("a", "b")], "sd1")
    assert found.findings == ("a and b do the same thing in IN01: lower one of them.",)


def test_strangers_leave_each_other_alone() -> None:
    found = xray([Subject(network(str(seed), {Q_IN01: lora(seed)})) for seed in (1, 2)], "sd1")
    assert found.findings == ()


def test_an_overtrained_network_is_named() -> None:
    weight = torch.randn(WIDTH, WIDTH)
    found = xray([Subject(network("hot", {Q_IN01: lora(1)}))], "sd1", {Q_IN01: weight}.get)
    assert found.findings[0].startswith("hot moves IN01 by up to")


def test_what_acts_nowhere_is_listed() -> None:
    adapters = {Q_IN01: lora(1), K_IN01: lora(2, shape=(8, 8)), CONV_IN01: lora(3)}
    strange = UnknownKey("lora_unet_nothing.alpha", "no such layer")
    weights = {Q_IN01: torch.randn(WIDTH, WIDTH), K_IN01: torch.randn(WIDTH, WIDTH)}
    (seen,) = xray([Subject(network("a", adapters, strange))], "sd1", weights.get).networks
    assert [one.what for one in seen.homeless] == [strange.key, str(K_IN01), str(CONV_IN01)]
    assert "8x8" in seen.homeless[1].reason


def test_not_finite_layers_are_named_and_count_nowhere() -> None:
    broken = lora(1)
    broken.tensors()["lora_up.weight"][0, 0] = math.nan
    found = xray([Subject(network("a", {Q_IN01: broken, K_IN01: lora(2)}))], "sd1")
    assert found.networks[0].not_finite == (str(Q_IN01),)
    assert found.findings == ("a: NaN or infinity in layers: 1.",)
    assert math.isfinite(found.networks[0].blocks[0].norm)


def test_what_depends_on_the_weight_is_counted_without_one() -> None:
    ia3 = decode({"weight": torch.full((WIDTH,), 0.1), "on_input": torch.tensor(False)}, Hints()).adapter
    assert xray([Subject(network("a", {K_IN01: ia3}))], "sd1").networks[0].unmeasured == 1
    weight = torch.randn(WIDTH, WIDTH)
    (seen,) = xray([Subject(network("a", {K_IN01: ia3}))], "sd1", {K_IN01: weight}.get).networks
    assert seen.unmeasured == 0
    assert seen.blocks[0].relative == pytest.approx(0.1, rel=1e-5)


def test_block_ranges_join_neighbours_of_one_side() -> None:
    blocks = ["OUT05", "IN11", "OUT03", "MID", "OUT04", "IN02", "IN10", "BASE"]
    assert block_ranges(blocks, "sd1") == "BASE, IN02, IN10-IN11, MID, OUT03-OUT05"


def test_the_drawing_has_a_cell_for_every_figure_and_survives_any_name() -> None:
    first, second = {Q_IN01: lora(1)}, {Q_IN01: lora(2), TEXT: lora(3, shape=(768, 768))}
    found = xray([Subject(network('<"猫&>', first)), Subject(network("b" * 60, second))], "sd1")
    drawing = ElementTree.fromstring(draw_xray(found))
    titles = [title.text or "" for title in drawing.iter("{http://www.w3.org/2000/svg}title")]
    cells = [title for title in titles if " IN01:" in title or " BASE:" in title]
    # two networks and their sum in two blocks, and the one block in which both act
    assert len(cells) == 7
    assert sum("cosine" in cell for cell in cells) == 1
    assert any(cell.startswith('<"猫&>') for cell in cells)


def test_json_holds_every_figure() -> None:
    found = json.loads(xray([Subject(network("a", {Q_IN01: lora(1)}))], "sd1").to_json())
    assert found["family"] == "sd1"
    assert found["networks"][0]["blocks"][0]["relative"] is None
