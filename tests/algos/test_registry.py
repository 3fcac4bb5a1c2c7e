"""Decoding a layer: which algorithm, what is left over, and the way back to the stored parts."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import RECIPES, decode
from lib_lyco.errors import AdapterError
from tests.algos.samples import ALL
from tests.oracles.layers import noise

WORDS = {
    **dict.fromkeys(("lora", "tucker", "residual", "sparse_residual"), "lora"),
    **dict.fromkeys(("loha", "loha_tucker"), "loha"),
    **dict.fromkeys(("lokr_whole", "lokr_split", "lokr_tucker"), "lokr"),
    **dict.fromkeys(("oft", "oft_diag"), "diag-oft"),
    **{"full": "full", "glora": "glora", "ia3": "ia3", "boft": "boft", "input_oft": "oft"},
    **{"dora": "lora+dora", "dora_columns": "loha+dora", "set_weight": "set"},
}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Equal names, dtypes, shapes and numbers."""
    return left.keys() == right.keys() and all(
        left[part].dtype == right[part].dtype and torch.equal(left[part], right[part]) for part in left
    )


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_parts_survive_decoding(name: str, dtype: torch.dtype) -> None:
    parts = {part: tensor.to(dtype) for part, tensor in ALL[name]((24, 12, 3, 3), 2, 0).items()}
    decoded = decode(parts, Hints())
    assert not decoded.leftover
    assert decoded.adapter.algo == WORDS[name]
    assert same(decoded.adapter.tensors(), parts)
    again = decode(decoded.adapter.tensors(), Hints()).adapter
    weight = noise(24, 12, 3, 3)
    assert torch.equal(again.delta(weight), decoded.adapter.delta(weight))


def test_parts_nobody_holds_are_left_over_with_a_reason() -> None:
    parts = {**ALL["lora"]((24, 12), 2, 0), "surprise": torch.zeros(1), "w_norm": torch.zeros(24)}
    decoded = decode(parts, Hints())
    assert decoded.leftover.keys() == {"surprise", "w_norm"}
    assert all("lora" in reason for reason in decoded.leftover.values())


@pytest.mark.parametrize("name", sorted(ALL))
def test_decoding_reads_no_values(name: str) -> None:
    parts = ALL[name]((24, 12, 3, 3), 2, 0)
    headers = {part: tensor.to("meta") for part, tensor in parts.items()}
    decoded = decode(headers, Hints())
    assert decoded.adapter.rank == decode(parts, Hints()).adapter.rank
    assert decoded.adapter.tensors().keys() == parts.keys()


def test_unknown_parts_are_refused_by_name() -> None:
    with pytest.raises(AdapterError, match="surprise"):
        decode({"surprise": torch.zeros(1)}, Hints())
    with pytest.raises(AdapterError, match="nothing"):
        decode({}, Hints())


def test_alpha_alone_is_no_adapter() -> None:
    with pytest.raises(AdapterError):
        decode({"alpha": torch.tensor(1.0)}, Hints())


def test_magnitude_beside_what_dora_cannot_hold_is_left_over() -> None:
    decoded = decode({**ALL["oft"]((24, 12), 2, 0), "dora_scale": torch.ones(24, 1)}, Hints())
    assert decoded.leftover.keys() == {"dora_scale"}


@pytest.mark.parametrize("name", sorted(set(ALL) - {"full", "set_weight"}))
def test_every_missing_factor_is_an_error_or_another_adapter_but_never_a_crash(name: str) -> None:
    parts = ALL[name]((24, 12, 3, 3), 2, 0)
    for part in parts:
        rest = {other: tensor for other, tensor in parts.items() if other != part}
        try:
            decoded = decode(rest, Hints())
        except AdapterError as error:
            assert error.got or error.where
            continue
        assert decoded.adapter.tensors().keys() | decoded.leftover.keys() == rest.keys()


def test_marks_belong_to_one_recipe_each_but_where_dims_decide() -> None:
    seen: set[str] = set()
    for recipe in RECIPES:
        shared = seen & recipe.marks
        assert shared <= {"oft_blocks"}
        seen |= recipe.marks


def test_hints_of_an_empty_header_are_the_defaults() -> None:
    assert Hints.from_metadata({}) == Hints()


def test_hints_read_the_metadata_of_kohya() -> None:
    args = {"algo": "DyLoRA", "block_size": "8", "unit": "4", "rs_lora": "True", "bypass_mode": "False"}
    hints = Hints.from_metadata(
        {
            "ss_network_module": "lycoris.kohya",
            "ss_network_args": json.dumps(args),
            "ss_training_started_at": "1714000000.5",
        }
    )
    assert (hints.algo, hints.block_size, hints.unit) == ("dylora", 8, 4)
    assert hints.rs_lora and not hints.bypass_mode and hints.before_lycoris_3
    assert hints.is_lycoris_dylora and not hints.is_kohya_dylora and not hints.is_kohya_oft


def test_hints_read_the_peft_configuration_of_one_component() -> None:
    packed = {"unet.lora_alpha": 8, "unet.use_rslora": True, "text_encoder.lora_alpha": 4}
    metadata = {"lora_adapter_metadata": json.dumps(packed)}
    assert Hints.from_metadata(metadata, "unet").alpha == 8
    assert Hints.from_metadata(metadata, "unet").rs_lora
    assert Hints.from_metadata(metadata, "text_encoder").alpha == 4
    assert not Hints.from_metadata(metadata, "text_encoder").rs_lora


@pytest.mark.parametrize(
    "text", ["", "None", "[1, 2]", "{", '{"block_size": "many", "unit": -3, "algo": null}', '"text"']
)
def test_hints_of_broken_metadata_fall_back_to_the_defaults(text: str) -> None:
    metadata = {"ss_network_args": text, "lora_adapter_metadata": text, "ss_training_started_at": text}
    hints = Hints.from_metadata(metadata)
    assert (hints.unit, hints.block_size, hints.alpha, hints.trained_at) == (1, 4, None, None)


def test_hints_give_a_layer_the_alpha_that_pefts_own_rule_finds() -> None:
    peft = pytest.importorskip("peft.utils.other", reason="PEFT finds the pattern")
    pattern = {"attn1.to_q": 16, "mid_block": 3, "^conv_in": 5, "to_k": 7, "out.0": None}
    packed = json.dumps({"unet.lora_alpha": 2, "unet.alpha_pattern": pattern})
    hints = Hints.from_metadata({"lora_adapter_metadata": packed}, "unet")
    for path in (
        "b.attn1.to_q",
        "b.xattn1.to_q",
        "mid_block.conv",
        "conv_in",
        "to_k",
        "b.attn2.to_k",
        "to_out.0",
    ):
        key = peft.get_pattern_key(list(pattern), path)
        assert hints.at(path).alpha == pattern.get(key, 2), path
    assert (
        Hints.from_metadata({"lora_adapter_metadata": '{"unet.alpha_pattern": [1]}'}).at("x").alpha is None
    )
