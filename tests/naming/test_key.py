"""Keys split into stem and part, one by one, with what wraps them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lyco.naming.detect import FAMILIES, detect_family
from lib_lyco.naming.key import PARTS, EmbeddingKey, SplitKey, split_embedding_key, split_key, why_unknown
from lib_lyco.naming.resolve import resolve


@pytest.mark.parametrize(
    ("key", "stem", "part"),
    [
        (
            "lora_unet_mid_block_resnets_0_conv1.lora_mid.weight",
            "lora_unet_mid_block_resnets_0_conv1",
            "lora_mid.weight",
        ),
        ("lycoris_conv_in.lokr_w1", "lycoris_conv_in", "lokr_w1"),
        ("unet.conv_in.lora_A.weight", "unet.conv_in", "lora_down.weight"),
        ("unet.mid.attn1.processor.to_out_lora.up.weight", "unet.mid.attn1.to_out", "lora_up.weight"),
        ("unet.mid.attn1.to_q_lora.down.weight", "unet.mid.attn1.to_q", "lora_down.weight"),
        (
            "unet.mid.attn1.processor.to_q.lora_magnitude_vector.weight",
            "unet.mid.attn1.to_q",
            "lora_magnitude_vector",
        ),
        ("base_model.model.a.b.lora_B.default.weight", "a.b", "lora_up.weight"),
        ("base_model.model.base_model.model.a.b.lora_B.weight", "a.b", "lora_up.weight"),
        ("unet.base_model.model.a.b.lora_B.weight", "unet.a.b", "lora_up.weight"),
        (
            "text_encoder.text_projection.lora_linear_layer.up.weight",
            "text_encoder.text_projection",
            "lora_up.weight",
        ),
        ("a.b.oft_R.scaled_oft", "a.b", "oft_R.scaled_oft"),
        ("a.b.weight", "a.b", "weight"),
        # a layer may be called like a part
        ("a.alpha.lora_A.weight", "a.alpha", "lora_down.weight"),
        ("a.weight.alpha", "a.weight", "alpha"),
    ],
)
def test_key_is_split(key: str, stem: str, part: str) -> None:
    assert split_key(key) == SplitKey(stem, part)


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "alpha",
        ".alpha",
        "lora_unet_x",
        "lora_unet_x.",
        "x.unheard_of",
        "_aux.3f2a.alpha",
        "bundle_emb.a.weight",
    ],
)
def test_key_without_stem_or_part_is_refused(key: str) -> None:
    assert split_key(key) is None


@pytest.mark.parametrize(
    ("key", "name", "tensor"),
    [
        ("bundle_emb.tok.string_to_param.*", "tok", "string_to_param.*"),
        ("bundle_emb.my.dotted.tok.clip_l", "my.dotted.tok", "clip_l"),
        ("bundle_emb.tok.clip_l_out", "tok", "clip_l_out"),
        ("bundle_emb.tok.emb_params", "tok", "emb_params"),
    ],
)
def test_bundled_embedding_is_split(key: str, name: str, tensor: str) -> None:
    assert split_embedding_key(key) == EmbeddingKey(name, tensor)


@pytest.mark.parametrize(
    "key", ["", "bundle_emb.", "bundle_emb.x", "bundle_emb..x", "lora_unet_x.alpha", "bundle_emb.x."]
)
def test_what_is_no_bundled_embedding_is_refused(key: str) -> None:
    assert split_embedding_key(key) is None


@pytest.mark.parametrize(
    ("key", "word"), [("_aux.3f2a", "bookkeeping"), ("bundle_emb.x", "embedding"), ("x.y", "ending")]
)
def test_unknown_key_gets_a_reason(key: str, word: str) -> None:
    assert word in why_unknown(key)


PIECES = [
    *PARTS,
    "",
    "lora_unet",
    "base_model.model",
    "processor",
    "lora_A",
    "default",
    "to_q_lora",
    "te1",
    "bundle_emb",
    "_aux",
]
KEYS = st.one_of(
    st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=6).map(".".join)
)


# the tables are built inside the first example: no deadline
@settings(deadline=None)
@given(KEYS)
def test_any_string_is_split_and_resolved_without_raising(key: str) -> None:
    split_embedding_key(key)
    assert why_unknown(key)
    split = split_key(key)
    stem = key if split is None else split.stem
    assert stem or split is None
    for family in FAMILIES:
        resolve(stem, family)


@settings(deadline=None)
@given(
    st.dictionaries(KEYS, st.lists(st.integers(0, 2**40), max_size=5).map(tuple), max_size=6),
    st.dictionaries(
        st.sampled_from(["ss_base_model_version", "ss_v2", "modelspec.architecture"]), st.text()
    ),
)
def test_any_header_is_detected_without_raising(
    shapes: dict[str, tuple[int, ...]], metadata: dict[str, str]
) -> None:
    assert detect_family(shapes, metadata).evidence


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["lora_unet_conv_in", "lora_te_text_model_final_layer_norm", "x"]).flatmap(
            lambda stem: st.sampled_from(list(PARTS)).map(lambda part: f"{stem}.{part}")
        ),
        st.lists(st.integers(0, 2**40), max_size=5).map(tuple),
    )
)
def test_any_shapes_of_known_parts_are_detected_without_raising(shapes: dict[str, tuple[int, ...]]) -> None:
    assert detect_family(shapes, {}).evidence
