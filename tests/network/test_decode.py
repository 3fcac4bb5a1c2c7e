"""No key is lost, and no fault of one layer is another's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.naming.layer import LayerName
from lib_lyco.network.check import num_not_finite
from lib_lyco.network.decode import decode_network
from lib_lyco.network.network import Network
from tests.algos.samples import ALL
from tests.network.samples import CONV, TEXT, Q, lora, small_network

Q_LAYER = LayerName("unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q")
CONV_LAYER = LayerName("unet", "mid_block.resnets.0.conv1")
TEXT_LAYER = LayerName("te1", "text_model.encoder.layers.3.mlp.fc1")


def decoded(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Network:
    network = decode_network(tensors, metadata or {}, "made", "id")
    assert num_keys(network) == len(tensors)
    return network


def num_keys(network: Network) -> int:
    """Keys in all three groups together."""
    return (
        sum(len(adapter.tensors()) for adapter in network.adapters.values())
        + sum(len(parts) for parts in network.embeddings.values())
        + len(network.unknown)
    )


def reasons(network: Network) -> dict[str, str]:
    return {unknown.key: unknown.reason for unknown in network.unknown}


def test_layers_get_their_own_tensors_untouched() -> None:
    tensors = small_network()
    network = decoded(tensors)
    assert network.family == "sd1"
    assert set(network.adapters) == {Q_LAYER, CONV_LAYER, TEXT_LAYER}
    held = network.adapters[TEXT_LAYER].tensors()
    assert held["lora_up.weight"] is tensors[f"{TEXT}.lora_up.weight"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["lora_up.weight", "alpha"])
def test_layer_with_nan_or_infinity_is_left_out_and_the_others_stay(value: float, part: str) -> None:
    tensors = small_network()
    tensors[f"{CONV}.{part}"].view(-1)[-1] = value
    network = decoded(tensors)
    assert set(network.adapters) == {Q_LAYER, TEXT_LAYER}
    assert set(reasons(network)) == {key for key in tensors if key.startswith(CONV)}
    assert all("NaN or infinite" in reason and part in reason for reason in reasons(network).values())


def test_layer_without_one_factor_is_left_out_with_the_reason() -> None:
    tensors = small_network()
    del tensors[f"{CONV}.lora_down.weight"]
    network = decoded(tensors)
    assert set(network.adapters) == {Q_LAYER, TEXT_LAYER}
    assert "lora_down.weight" in reasons(network)[f"{CONV}.lora_up.weight"]
    assert f"{CONV}.alpha" in reasons(network)


def test_unknown_keys_say_why() -> None:
    tensors = {
        **small_network(),
        f"{Q}.mystery": torch.zeros(1),
        f"{Q}.lora_upp.weight": torch.zeros(2, 2),
        "lora_unet_no_such_layer.lora_up.weight": torch.zeros(2, 2),
        "_aux.step": torch.zeros(1),
    }
    assert reasons(decoded(tensors)) == {
        f"{Q}.mystery": "no algorithm that we know has a part 'mystery'",
        f"{Q}.lora_upp.weight": (
            "no algorithm that we know has a part 'lora_upp.weight' "
            "(Did you mean lora_up.weight or lora.up.weight?)"
        ),
        "lora_unet_no_such_layer.lora_up.weight": "Stable Diffusion 1 has no layer of this name",
        "_aux.step": "a bookkeeping tensor of the tool that wrote the file; it changes nothing",
    }


def test_same_layer_in_two_spellings_takes_each_tensor_once() -> None:
    kohya = lora(Q, 320, 320)
    dotted = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {
        **small_network(),
        f"{dotted}.lora_A.weight": kohya[f"{Q}.lora_down.weight"],
        f"{dotted}.dora_scale": torch.ones(320, 1),
    }
    network = decoded(tensors)
    assert f"as {Q}.lora_down.weight" in reasons(network)[f"{dotted}.lora_A.weight"]
    assert len(network.unknown) == 1
    assert "dora_scale" in network.adapters[Q_LAYER].tensors()


def test_bundled_embeddings_are_kept_by_name() -> None:
    vector = torch.ones(2, 768)
    tensors = {
        **small_network(),
        "bundle_emb.my.style.string_to_param.*": vector,
        "bundle_emb.two.clip_l": vector,
        "bundle_emb.two.clip_g": torch.ones(2, 1280),
    }
    network = decoded(tensors)
    assert {name: set(parts) for name, parts in network.embeddings.items()} == {
        "my.style": {"string_to_param.*"},
        "two": {"clip_l", "clip_g"},
    }
    assert network.embeddings["my.style"]["string_to_param.*"] is vector


def test_network_for_another_model_is_named_in_every_reason() -> None:
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    network = decoded(lora(stem, 9, 9))
    assert network.family is None and not network.adapters
    assert all("Flux" in reason for reason in reasons(network).values())


def test_meta_tensors_decode_without_values() -> None:
    tensors = {key: tensor.to("meta") for key, tensor in small_network().items() if "alpha" not in key}
    network = decoded(tensors)
    assert network.adapters[Q_LAYER].rank == 2


@pytest.mark.parametrize("algo", sorted(ALL))
def test_layer_may_be_decoded_before_its_values_are_there(algo: str) -> None:
    parts = ALL[algo]((16, 16), 4, 0)
    hints = Hints()
    early = decode({part: tensor.to("meta") for part, tensor in parts.items()}, hints)
    late = decode(parts, hints)
    assert type(early.adapter) is type(late.adapter) and early.leftover == late.leftover
    held = late.adapter.tensors()
    assert early.adapter.tensors().keys() == held.keys()
    # what is a copy would keep the values of the moment
    assert all(tensor.untyped_storage().data_ptr() in _pointers(parts) for tensor in held.values())


def _pointers(parts: Mapping[str, Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in parts.values()}


def test_network_of_two_claims_is_told_apart() -> None:
    tensors = lora(CONV, 1280, 11520)  # the same layer in both
    claims = ("sd_v1", "sd_v2", "sd_v1")
    families = [decoded(tensors, {"ss_base_model_version": claim}).family for claim in claims]
    assert families == ["sd1", "sd2", "sd1"]


PIECES = st.sampled_from(
    ["lora_unet_", "lora_te_", "mid_block_resnets_0_conv1", "mid_block.resnets.0.conv1", "unet.", ".alpha"]
    + [
        ".lora_up.weight",
        ".lora_A.weight",
        ".hada_w1_a",
        ".lokr_w1",
        ".oft_blocks",
        ".diff",
        ".weight",
        ".",
    ]
    + [
        ".dora_scale",
        ".w_norm",
        ".default",
        "bundle_emb.",
        "base_model.model.",
        "x",
        ".a1.weight",
        ".on_input",
    ]
)
SHAPES = st.lists(st.integers(0, 4), max_size=5)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.lists(PIECES, min_size=1, max_size=6).map("".join), SHAPES, max_size=12))
def test_any_keys_and_shapes_are_accounted_for(shapes: dict[str, list[int]]) -> None:
    decoded({key: torch.zeros(shape) for key, shape in shapes.items()})


def test_finite_values_whose_sum_overflows_are_not_called_infinite() -> None:
    assert num_not_finite(torch.full((4,), 3e38)) == 0
    assert num_not_finite(torch.tensor([1.0, float("nan"), float("inf")]).half()) == 2
    assert num_not_finite(torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn)) == 1
    assert num_not_finite(torch.tensor([1, 2])) == 0
    assert num_not_finite(torch.tensor([])) == 0
    assert num_not_finite(torch.full((4,), 1e300, dtype=torch.float64)) == 0
