"""The base model recognised from headers of real kinds of files."""

from __future__ import annotations

import pytest

from lib_lyco.naming.detect import FAMILIES, TITLES, detect_family
from lib_lyco.naming.foreign import foreign_by_names
from lib_lyco.naming.resolve import flatten
from lib_lyco.naming.table import layer_table
from tests.dialects.files import (
    CLIP,
    KOHYA_V1,
    KOHYA_V2,
    RANK,
    SAMPLES,
    UNET_ATTENTION,
    Sample,
    lora,
    written,
)
from tests.dialects.spelling import DIALECTS, kohya


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_base_model_of_the_sample_is_found(sample: Sample) -> None:
    detection = detect_family(sample.shapes, sample.metadata)
    assert (detection.family, detection.other) == (sample.family, sample.other), detection.evidence
    assert detection.evidence.endswith(".")


def test_samples_cover_every_family_and_hold_keys() -> None:
    assert {sample.family for sample in SAMPLES} == {*FAMILIES, None}
    assert all(sample.shapes for sample in SAMPLES if sample.name != "empty")


def test_evidence_names_the_metadata_it_overrules() -> None:
    shapes = written("sd2", kohya, UNET_ATTENTION, lora)
    evidence = detect_family(shapes, KOHYA_V1).evidence
    assert TITLES["sd2"] in evidence
    assert "ss_base_model_version = sd_v1, which that contradicts" in evidence


def test_shapes_of_a_narrow_model_leave_it_to_the_names_and_the_metadata() -> None:
    real = written("sd1", kohya, f"{UNET_ATTENTION}|{CLIP}", lora)
    narrow = {key: tuple(size // 8 or size for size in shape) for key, shape in real.items()}
    assert detect_family(narrow, {}).family == "sd1"
    assert "Nothing tells it from Stable Diffusion 2" in detect_family(narrow, {}).evidence
    assert detect_family(narrow, KOHYA_V2).family == "sd2"


def test_one_layer_of_full_width_does_not_decide_for_a_narrow_model() -> None:
    real = written("sd1", kohya, UNET_ATTENTION, lora)
    narrow = {key: tuple(size // 8 or size for size in shape) for key, shape in real.items()}
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k."
    wide = {key: shape for key, shape in real.items() if key.startswith(stem)}
    assert wide
    assert detect_family(narrow | wide, KOHYA_V2).family == "sd2"


def test_one_layer_of_the_refiners_width_does_not_make_a_refiner() -> None:
    shapes = written("sdxl", kohya, UNET_ATTENTION, lora)
    odd = "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k.lora_down.weight"
    assert shapes[odd] == (RANK, 2048)
    detection = detect_family(shapes | {odd: (RANK, 1280)}, {})
    assert (detection.family, detection.other) == ("sdxl", None)


@pytest.mark.parametrize("value", ["True", "true"])
def test_v2_flag_alone_is_a_claim(value: str) -> None:
    shapes = {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (4, 1)}
    assert detect_family(shapes, {"ss_v2": value}).family == "sd2"
    assert detect_family(shapes, {"ss_v2": "None"}).family == "sd1"


def test_no_spelling_of_ours_looks_foreign() -> None:
    for dialect in DIALECTS:
        for family in dialect.families:
            stems = [dialect.spell(layer, family) for layer in layer_table(family)]
            assert foreign_by_names(flatten(stem) for stem in stems if stem is not None) is None
