"""How each tool spells the key of a layer's tensor: rules from the tools' sources.

kohya sd-scripts `networks/lora.py`, `lora_sd3.py`, `oft.py`; LyCORIS `kohya.py`, `wrapper.py`;
diffusers `utils/state_dict_utils.py` and `loaders`; PEFT `save_and_load.py`; OneTrainer
`ModelFormat`, `load_lora_util.py`, `convert_sdxl_lora.py`; ai-toolkit `lora_special.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lib_lyco.naming.layer import Component, Family, LayerName
from tests.dialects.sgm import sgm_path

Spell = Callable[[LayerName, Family], str | None]
"""A layer's stem in the dialect's files, or None if the tool never writes this layer."""

UNETS: tuple[Family, ...] = ("sd1", "sd2", "sdxl")

LORA = {"lora_up.weight": "lora_up.weight", "lora_down.weight": "lora_down.weight", "alpha": "alpha"}
LORA_AB = {"lora_B.weight": "lora_up.weight", "lora_A.weight": "lora_down.weight"}
LORA_NESTED = {"lora.up.weight": "lora_up.weight", "lora.down.weight": "lora_down.weight"}
LYCORIS = {
    part: part
    for part in (
        *("lora_mid.weight", "dora_scale", "hada_w1_a", "hada_w2_b", "hada_t1", "lokr_w1", "lokr_w2_a"),
        *("lokr_t2", "a1.weight", "b2.weight", "oft_blocks", "oft_diag", "rescale", "weight", "on_input"),
        *("diff", "diff_b", "w_norm", "b_norm", "q_layer.weight", "p_layer.weight", "lambda_layer"),
    )
}
PEFT = {
    "lora_A.default.weight": "lora_down.weight",
    "lora_B.default.weight": "lora_up.weight",
    "lora_A.my-adapter_2.weight": "lora_down.weight",
    "lora_embedding_A.default": "lora_embedding_A",
    "lora_embedding_B": "lora_embedding_B",
    "lora_magnitude_vector.default.weight": "lora_magnitude_vector",
    "lora_magnitude_vector.weight": "lora_magnitude_vector",
    "lora_magnitude_vector": "lora_magnitude_vector",
    "oft_R.weight": "oft_R.weight",
    "oft_R.default.weight": "oft_R.weight",
    "hada_w1_a.default": "hada_w1_a",
    "hada_t2": "hada_t2",
    "lokr_w2.default": "lokr_w2",
    "lokr_w1_b": "lokr_w1_b",
    "ia3_l.default": "ia3_l",
    "ia3_l": "ia3_l",
    "boft_R": "boft_R",
    "boft_s.default": "boft_s",
    "vera_lambda_b": "vera_lambda_b",
    "lora_B.default.bias": "lora_up.bias",
}
ONE_TRAINER = {**LORA, "dora_scale": "dora_scale", "oft_R.weight": "oft_R.weight", "hada_w2_a": "hada_w2_a"}


@dataclass(frozen=True)
class Dialect:
    """One way to spell keys."""

    name: str
    families: tuple[Family, ...]
    spell: Spell
    parts: dict[str, str]
    """Part as the tool spells it -> canonical part."""


def flat(path: str) -> str:
    return path.replace(".", "_")


def dotted(prefixes: dict[Component, str], *, sgm: bool = False) -> Spell:
    """`<prefix><path>`; components without a prefix are not written."""

    def spell(layer: LayerName, family: Family) -> str | None:
        if layer.component not in prefixes:
            return None
        renamed = sgm and layer.component == "unet"
        return prefixes[layer.component] + (sgm_path(layer.path, family) if renamed else layer.path)

    return spell


def underscored(prefixes: dict[Component, str], *, sgm: bool = False) -> Spell:
    """`<prefix><path with underscores>`."""
    spell_dotted = dotted(prefixes, sgm=sgm)

    def spell(layer: LayerName, family: Family) -> str | None:
        stem = spell_dotted(layer, family)
        return None if stem is None else flat(stem)

    return spell


def kohya(layer: LayerName, family: Family) -> str | None:
    """sd-scripts: sgm names for SDXL's UNet only, numbered encoders from two encoders on."""
    numbered: dict[Component, str] = {"unet": "lora_unet_", "te1": "lora_te1_", "te2": "lora_te2_"}
    single: dict[Component, str] = {"unet": "lora_unet_", "te1": "lora_te_"}
    sdxl = family == "sdxl"
    return underscored(numbered if sdxl else single, sgm=sdxl)(layer, family)


def kohya_oft(layer: LayerName, family: Family) -> str | None:
    return underscored({"unet": "oft_unet_"}, sgm=family == "sdxl")(layer, family)


def processor(layer: LayerName, family: Family) -> str | None:
    """diffusers before PEFT: attention processors own the LoRA layers."""
    del family
    head, _, leaf = layer.path.rpartition(".attn")
    if layer.component == "unet" and head:
        number, _, projection = leaf.partition(".")
        return f"unet.{head}.attn{number}.processor.{projection.removesuffix('.0')}_lora"
    head, found, projection = layer.path.rpartition(".self_attn.")
    if layer.component == "te1" and found:
        old = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}[projection]
        return f"text_encoder.{head}.self_attn.{old}_lora"
    return None


DIFFUSERS: dict[Component, str] = {"unet": "unet.", "te1": "text_encoder.", "te2": "text_encoder_2."}
DIFFUSERS_SD3: dict[Component, str] = {
    "unet": "transformer.",
    "te1": "text_encoder.",
    "te2": "text_encoder_2.",
    "te3": "text_encoder_3.",
}
ORIGINAL: dict[Component, str] = {"unet": "", "te1": "text_encoder.", "te2": "text_encoder_2."}
OMI: dict[Component, str] = {"unet": "unet.", "te1": "clip_l.", "te2": "clip_g."}
COMFY: dict[Component, str] = {
    "unet": "diffusion_model.",
    "te1": "text_encoders.clip_l.transformer.",
    "te2": "text_encoders.clip_g.transformer.",
}
LEGACY: dict[Component, str] = {"unet": "lora_unet_", "te1": "lora_te1_", "te2": "lora_te2_"}
SD3_KOHYA_TE: dict[Component, str] = {"te1": "lora_te1_", "te2": "lora_te2_", "te3": "lora_te3_"}
SD3_LEGACY: dict[Component, str] = {"unet": "lora_transformer_", **SD3_KOHYA_TE}

DIALECTS = (
    Dialect("kohya", UNETS, kohya, LORA),
    Dialect("LyCORIS in kohya", UNETS, kohya, LYCORIS),
    Dialect("LyCORIS wrapper", UNETS, underscored({"unet": "lycoris_"}), LYCORIS),
    Dialect("LyCORIS wrapper, text encoder", ("sd1", "sd2"), underscored({"te1": "lycoris_"}), LYCORIS),
    Dialect("kohya OFT", UNETS, kohya_oft, {"oft_blocks": "oft_blocks", "alpha": "alpha"}),
    Dialect(
        "diffusers processors",
        UNETS,
        processor,
        {"up.weight": "lora_up.weight", "down.weight": "lora_down.weight"},
    ),
    Dialect("diffusers", UNETS, dotted(DIFFUSERS), LORA_NESTED | LORA_AB),
    Dialect(
        "diffusers, old text encoder",
        UNETS,
        dotted({"te1": "text_encoder.", "te2": "text_encoder_2."}),
        {
            "lora_linear_layer.up.weight": "lora_up.weight",
            "lora_linear_layer.down.weight": "lora_down.weight",
        },
    ),
    Dialect("diffusers SD3", ("sd3",), dotted(DIFFUSERS_SD3), LORA_AB),
    Dialect("PEFT on the UNet", UNETS, dotted({"unet": "base_model.model."}), PEFT),
    Dialect("PEFT on the text encoder", UNETS, dotted({"te1": "base_model.model."}), PEFT),
    Dialect(
        "PEFT inside a pipeline",
        UNETS,
        dotted({c: p + "base_model.model." for c, p in DIFFUSERS.items()}),
        PEFT,
    ),
    Dialect("OneTrainer DIFFUSERS", UNETS, dotted(DIFFUSERS), ONE_TRAINER | LORA_AB),
    Dialect("OneTrainer KOHYA", UNETS, kohya, ONE_TRAINER),
    Dialect("OneTrainer LEGACY", UNETS, underscored(LEGACY), ONE_TRAINER),
    Dialect("OneTrainer LEGACY SD3", ("sd3",), underscored(SD3_LEGACY), ONE_TRAINER),
    Dialect("OneTrainer ORIGINAL", ("sdxl",), dotted(ORIGINAL, sgm=True), ONE_TRAINER),
    Dialect("OneTrainer ORIGINAL, older", ("sdxl",), dotted(OMI, sgm=True), ONE_TRAINER),
    Dialect("OneTrainer COMFY", ("sd1", "sdxl"), dotted(COMFY, sgm=True), ONE_TRAINER),
    Dialect("ComfyUI SD2", ("sd2",), dotted({"te1": "text_encoders.clip_h.transformer."}), LORA),
    Dialect(
        "ai-toolkit",
        UNETS,
        underscored(LEGACY),
        {**LORA, "magnitude": "lora_magnitude_vector", "diff": "diff"},
    ),
    Dialect("ai-toolkit SD3", ("sd3",), dotted({"unet": "transformer."}), LORA_AB),
    Dialect("kohya SD3, text encoders", ("sd3",), underscored(SD3_KOHYA_TE), LORA),
    Dialect("trainers on SD1 that number its encoder", ("sd1",), underscored({"te1": "lora_te1_"}), LORA),
)
