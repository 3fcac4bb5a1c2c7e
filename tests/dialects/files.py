"""Key -> shape lists of real kinds of files, made up from published rules; no weights.

Shapes per algorithm: LyCORIS' module classes, kohya's `oft.py`, PEFT's tuners. Which layers a tool
trains: sd-scripts' and diffusers' target modules, given here as patterns of canonical names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lib_lyco.naming.layer import Family
from lib_lyco.naming.table import layer_table
from tests.dialects.spelling import DIALECTS, Spell, kohya

Shape = tuple[int, ...]
Parts = dict[str, Shape]
Algo = Callable[[Shape], Parts]
"""Weight shape -> the shapes of the tensors that adapt it."""

UNET_ATTENTION = r"unet:.*(attentions\..*(to_[qkv]|to_out\.0|proj|net\.2|proj_(in|out)))$"
UNET_ALL = r"unet:.*(conv|to_|proj|linear|net)"
CLIP = r"te.:.*(self_attn|mlp)"
RANK = 4


@dataclass(frozen=True)
class Sample:
    """One file's header, and what it was made for."""

    name: str
    shapes: Mapping[str, Shape]
    family: Family | None = None
    other: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


def lora(shape: Shape) -> Parts:
    kernel = shape[2:]
    up = (shape[0], RANK) + (1,) * len(kernel)
    return {"lora_up.weight": up, "lora_down.weight": (RANK, *shape[1:]), "alpha": ()}


def lora_peft(shape: Shape) -> Parts:
    parts = lora(shape)
    return {"lora_B.weight": parts["lora_up.weight"], "lora_A.weight": parts["lora_down.weight"]}


def flattened(shape: Shape) -> tuple[int, int]:
    columns = 1
    for size in shape[1:]:
        columns *= size
    return shape[0], columns


def loha(shape: Shape) -> Parts:
    rows, columns = flattened(shape)
    factors = {"a": (rows, RANK), "b": (RANK, columns)}
    return {f"hada_w{n}_{side}": size for n in (1, 2) for side, size in factors.items()} | {"alpha": ()}


def lokr(shape: Shape) -> Parts:
    """factor 4: w1 (4, 4) whole, w2 split; conv_in and conv_out have dims that 4 divides too."""
    rows, columns = flattened((shape[0] // 4, shape[1] // 4, *shape[2:]))
    return {"lokr_w1": (4, 4), "lokr_w2_a": (rows, RANK), "lokr_w2_b": (RANK, columns), "alpha": ()}


def full(shape: Shape) -> Parts:
    return {"diff": shape, "diff_b": shape[:1]}


def ia3(shape: Shape) -> Parts:
    return {"weight": shape[:1], "on_input": ()}


def diag_oft(shape: Shape) -> Parts:
    return {"oft_blocks": (shape[0] // 4, 4, 4), "alpha": ()}


def boft(shape: Shape) -> Parts:
    return {"oft_blocks": (2, shape[0] // 4, 4, 4), "alpha": ()}


def oft_v2(shape: Shape) -> Parts:
    return {"oft_R.weight": (flattened(shape)[1] // 32, 32 * 31 // 2)}


def glora_old(shape: Shape) -> Parts:
    rows, columns = flattened(shape)
    return {
        "a1.weight": (RANK, columns),
        "a2.weight": (columns, RANK),
        "b1.weight": (RANK, columns),
        "b2.weight": (rows, RANK),
    }


def glora_new(shape: Shape) -> Parts:
    rows, columns = flattened(shape)
    return {
        "a1.weight": (columns, RANK),
        "a2.weight": (RANK, columns),
        "b1.weight": (rows, RANK),
        "b2.weight": (RANK, columns),
        "alpha": (),
    }


def written(family: Family, spell: Spell, layers: str, algo: Algo) -> dict[str, Shape]:
    """The header of a network on the family's layers that match the pattern."""
    table = layer_table(family)
    pattern = re.compile(layers)
    keys: dict[str, Shape] = {}
    for layer in table:
        stem = spell(layer, family) if pattern.match(str(layer)) else None
        if stem is not None and "embedding" not in layer.path and len(table.shape(layer)) > 1:
            keys |= {f"{stem}.{part}": size for part, size in algo(table.shape(layer)).items()}
    return keys


def listed(template: str, numbers: int, leaves: Mapping[str, Shape], algo: Algo = lora) -> dict[str, Shape]:
    """The header of a network on a foreign model, layer by layer."""
    return {
        f"{template.format(n)}{leaf}.{part}": size
        for n in range(numbers)
        for leaf, shape in leaves.items()
        for part, size in algo(shape).items()
    }


def spelled(name: str) -> Spell:
    return next(dialect.spell for dialect in DIALECTS if dialect.name == name)


def refiner() -> dict[str, Shape]:
    """SDXL's refiner: width 384 doubling, text of width 1280, four transformer blocks deep."""
    leaves = {"attn1_to_q": (768, 768), "attn2_to_k": (768, 1280), "attn2_to_v": (768, 1280)}
    return listed("lora_unet_input_blocks_4_1_transformer_blocks_{}_", 4, leaves)


def sd3_kohya() -> dict[str, Shape]:
    leaves = {"attn_qkv": (4608, 1536), "attn_proj": (1536, 1536), "mlp_fc1": (6144, 1536)}
    return listed("lora_unet_joint_blocks_{}_x_block_", 24, leaves)


KOHYA_V1 = {"ss_base_model_version": "sd_v1", "ss_v2": "False"}
KOHYA_V2 = {"ss_base_model_version": "sd_v2_v", "ss_v2": "True"}
KOHYA_XL = {"ss_base_model_version": "sdxl_base_v1-0", "ss_v2": "False"}
FLUX_LEAVES = {"img_attn_qkv": (9216, 3072), "img_mlp_0": (12288, 3072), "txt_attn_proj": (3072, 3072)}

SAMPLES = (
    Sample("kohya LoRA", written("sd1", kohya, f"{UNET_ATTENTION}|{CLIP}", lora), "sd1", metadata=KOHYA_V1),
    Sample("kohya LoCon without metadata", written("sd1", kohya, f"{UNET_ALL}|{CLIP}", lora), "sd1"),
    Sample(
        "kohya LoRA for SD2",
        written("sd2", kohya, f"{UNET_ATTENTION}|{CLIP}", lora),
        "sd2",
        metadata=KOHYA_V2,
    ),
    Sample("SD2, UNet only, no metadata", written("sd2", kohya, UNET_ATTENTION, lora), "sd2"),
    Sample(
        "SD2 with SD1's metadata", written("sd2", kohya, UNET_ATTENTION, lora), "sd2", metadata=KOHYA_V1
    ),
    Sample(
        "SDXL with SD1's metadata", written("sdxl", kohya, UNET_ATTENTION, lora), "sdxl", metadata=KOHYA_V1
    ),
    Sample(
        "SD1 with SDXL's metadata", written("sd1", kohya, UNET_ATTENTION, lora), "sd1", metadata=KOHYA_XL
    ),
    Sample(
        "SD1 with Flux's metadata",
        written("sd1", kohya, CLIP, lora),
        "sd1",
        metadata={"ss_base_model_version": "flux1"},
    ),
    Sample(
        "kohya LoRA for SDXL",
        written("sdxl", kohya, f"{UNET_ATTENTION}|{CLIP}", lora),
        "sdxl",
        metadata=KOHYA_XL,
    ),
    Sample("SDXL, second encoder missing", written("sdxl", kohya, f"{UNET_ATTENTION}|te1", lora), "sdxl"),
    Sample("text encoder only, SD1", written("sd1", kohya, CLIP, lora), "sd1"),
    Sample("text encoder only, SD2", written("sd2", kohya, CLIP, lora), "sd2"),
    Sample("text encoders only, SDXL", written("sdxl", kohya, CLIP, lora), "sdxl"),
    Sample(
        "text encoders only, SD3 by its metadata",
        written("sdxl", kohya, CLIP, lora),
        "sd3",
        metadata={"modelspec.architecture": "stable-diffusion-3-medium/lora"},
    ),
    Sample("LoHa", written("sd1", kohya, UNET_ALL, loha), "sd1"),
    Sample("LoHa for SD2", written("sd2", kohya, UNET_ALL, loha), "sd2"),
    Sample("LoKr", written("sd1", kohya, UNET_ALL, lokr), "sd1"),
    Sample("LoKr for SD2", written("sd2", kohya, UNET_ALL, lokr), "sd2"),
    Sample("LoKr for SDXL", written("sdxl", kohya, f"{UNET_ALL}|{CLIP}", lokr), "sdxl"),
    Sample("full", written("sd1", kohya, UNET_ALL, full), "sd1"),
    Sample("IA3 on keys and values", written("sdxl", kohya, r"unet:.*to_[kv]$", ia3), "sdxl"),
    Sample(
        "IA3, SD1 or SD2: the prefix tells", written("sd1", kohya, rf"unet:.*to_[kv]$|{CLIP}", ia3), "sd1"
    ),
    Sample("Diag-OFT", written("sdxl", kohya, UNET_ALL, diag_oft), "sdxl"),
    Sample("Diag-OFT on both, SD2", written("sd2", kohya, f"{UNET_ATTENTION}|{CLIP}", diag_oft), "sd2"),
    Sample("BOFT", written("sdxl", kohya, UNET_ATTENTION, boft), "sdxl"),
    Sample("kohya OFT", written("sdxl", spelled("kohya OFT"), UNET_ATTENTION, diag_oft), "sdxl"),
    Sample("GLoRA, old layout", written("sd2", kohya, UNET_ATTENTION, glora_old), "sd2"),
    Sample("GLoRA, new layout", written("sd2", kohya, UNET_ATTENTION, glora_new), "sd2"),
    Sample(
        "OneTrainer OFT",
        written("sdxl", spelled("OneTrainer LEGACY"), UNET_ATTENTION, oft_v2),
        "sdxl",
        metadata={"ss_base_model_version": "sdxl_"},
    ),
    Sample(
        "OneTrainer OFT for SD2",
        written("sd2", spelled("OneTrainer LEGACY"), UNET_ATTENTION, oft_v2),
        "sd2",
    ),
    Sample(
        "OneTrainer COMFY, SD1", written("sd1", spelled("OneTrainer COMFY"), UNET_ATTENTION, lora), "sd1"
    ),
    Sample("diffusers SDXL", written("sdxl", spelled("diffusers"), UNET_ATTENTION, lora_peft), "sdxl"),
    Sample(
        "diffusers SD1", written("sd1", spelled("diffusers"), rf"unet:.*to_[qkv]$|{CLIP}", lora_peft), "sd1"
    ),
    Sample(
        "PEFT SD2", written("sd2", spelled("PEFT on the UNet"), r"unet:.*attn2.to_[kv]$", lora_peft), "sd2"
    ),
    Sample("LyCORIS wrapper", written("sdxl", spelled("LyCORIS wrapper"), UNET_ATTENTION, lokr), "sdxl"),
    Sample(
        "ai-toolkit",
        written("sdxl", spelled("ai-toolkit"), UNET_ATTENTION, lora),
        "sdxl",
        metadata={"ss_base_model_version": "sdxl_1.0"},
    ),
    Sample("SD3 kohya", sd3_kohya(), "sd3"),
    Sample("SD3 diffusers", written("sd3", spelled("diffusers SD3"), r"unet:.*attn", lora_peft), "sd3"),
    Sample(
        "SD3 OneTrainer", written("sd3", spelled("OneTrainer LEGACY SD3"), r"unet:.*attn|te", lora), "sd3"
    ),
    Sample(
        "Flux kohya",
        listed("lora_unet_double_blocks_{}_", 19, FLUX_LEAVES),
        other="Flux",
        metadata={"ss_base_model_version": "flux1"},
    ),
    Sample(
        "Flux that says SD1",
        listed("lora_unet_single_blocks_{}_", 38, {"linear1": (21504, 3072)}),
        other="Flux",
        metadata=KOHYA_V1,
    ),
    Sample(
        "Flux diffusers",
        listed("transformer.single_transformer_blocks.{}.attn.", 38, {"to_q": (3072, 3072)}, lora_peft),
        other="Flux",
    ),
    Sample(
        "Flux OneTrainer, T5",
        listed("lora_te2_encoder_block_{}_layer_0_SelfAttention_", 24, {"q": (4096, 4096)}),
        other="Flux",
    ),
    Sample("SDXL refiner", refiner(), other="the SDXL refiner"),
    Sample(
        "SD3.5 Large",
        listed("lora_unet_joint_blocks_{}_x_block_", 38, {"attn_qkv": (7296, 2432)}),
        other="Stable Diffusion 3.5 Large",
    ),
    Sample(
        "Wan",
        listed("diffusion_model.blocks.{}.", 30, {"self_attn.q": (1536, 1536)}, lora_peft),
        other="Wan",
    ),
    Sample(
        "Qwen-Image",
        listed("transformer.transformer_blocks.{}.", 60, {"attn.to_q": (3072, 3072)}, lora_peft),
        other="Qwen-Image",
    ),
    Sample(
        "Lumina 2",
        listed("lora_unet_context_refiner_{}_", 2, {"attention_qkv": (3840, 2304)}),
        other="Lumina 2 or Z-Image",
    ),
    Sample(
        "a model nobody heard of", listed("lora_unet_stages_{}_", 8, {"mix": (96, 96)}), metadata=KOHYA_V1
    ),
    Sample(
        "a known name only in the metadata",
        listed("lora_unet_stages_{}_", 8, {"mix": (96, 96)}),
        other="Lumina 2",
        metadata={"ss_base_model_version": "lumina2"},
    ),
    Sample("embeddings only", {"bundle_emb.tok.string_to_param.*": (4, 768)}, "sd1", metadata=KOHYA_V1),
    Sample("empty", {}),
)
