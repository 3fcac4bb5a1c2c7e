"""A key of a network file, split into what it is about and which tensor of it this is.

Every tool writes `<stem>.<part>`; they differ in how they spell the part and in what they wrap
around the stem. Both are undone here, so that a stem names a layer and a part is spelled as in
kohya's and LyCORIS' files. Nothing here knows a base model: `resolve` does.

Sources of the spellings: kohya sd-scripts and LyCORIS (the canonical ones), diffusers'
`utils/state_dict_utils.py`, PEFT's tuners, OneTrainer's `load_lora_util.py`, ai-toolkit.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_KOHYA_PARTS = (
    *("alpha", "dora_scale", "scale", "lora_down.weight", "lora_up.weight", "lora_mid.weight"),
    *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t1", "lokr_t2"),
    *("a1.weight", "a2.weight", "b1.weight", "b2.weight", "bm.weight"),
    *("oft_blocks", "oft_diag", "rescale"),
    *("weight", "on_input", "diff", "diff_b", "w_norm", "b_norm"),
    *("q_layer.weight", "p_layer.weight", "lambda_layer"),
    *("bias", "bias_indices", "bias_values", "bias_size", "set_weight", "reshape_weight"),
)

PARTS: dict[str, str] = {
    **{part: part for part in _KOHYA_PARTS},
    "lora.down.weight": "lora_down.weight",
    "lora.up.weight": "lora_up.weight",
    "lora.mid.weight": "lora_mid.weight",
    "lora.alpha": "alpha",
    "lora_linear_layer.down.weight": "lora_down.weight",
    "lora_linear_layer.up.weight": "lora_up.weight",
    "lora_linear_layer.alpha": "alpha",
    "magnitude": "lora_magnitude_vector",
}
"""Spelling at the end of a key -> canonical part."""

_MAX_PART_SEGMENTS = 3

_PEFT_NAMES = {
    "lora_A": "lora_down",
    "lora_B": "lora_up",
    "lora_embedding_A": "lora_embedding_A",
    "lora_embedding_B": "lora_embedding_B",
    "lora_magnitude_vector": "lora_magnitude_vector",
    "oft_R": "oft_R",
    "oft_r": "oft_r",
    "boft_R": "boft_R",
    "boft_s": "boft_s",
    "ia3_l": "ia3_l",
    "vera_lambda_b": "vera_lambda_b",
    "vera_lambda_d": "vera_lambda_d",
    **{part: part for part in _KOHYA_PARTS if part.startswith(("hada_", "lokr_"))},
}
_WITHOUT_LEAF = {"lora_magnitude_vector"}
"""A module with one `weight` in newer PEFT, a bare parameter in older: one part for both."""

_PEFT = re.compile(
    rf"(?P<stem>.+)\.(?P<name>{'|'.join(sorted(_PEFT_NAMES, key=len, reverse=True))})"
    r"(?:\.(?!(?:weight|bias|scaled_oft)$)[^.]+)?"  # the adapter's name inside PEFT, `default` mostly
    r"(?:\.(?P<leaf>weight|bias|scaled_oft))?"
)
_PROCESSOR = re.compile(r"(?P<stem>.+\.(?:to_(?:q|k|v|out)|add_[qkv]_proj))_lora\.(?P<leaf>.+)")
_PROCESSOR_LEAVES = {
    "down.weight": "lora_down.weight",
    "up.weight": "lora_up.weight",
    "alpha": "alpha",
}

_NUM_REMEMBERED = 1 << 15
"""Keys: a dozen kinds of file have no more different ones, and a collection has thousands of files."""

_WRAPPERS = ("base_model.model.",)
_EMBEDDING = "bundle_emb."
_BOOKKEEPING = "_aux."


class SplitKey(NamedTuple):
    """One key of a network file, understood as far as that goes without a base model."""

    stem: str
    """What `resolve` takes: `lora_unet_mid_block_resnets_0_conv1`, `unet.mid_block.resnets.0.conv1`."""
    part: str
    """Canonical part: `lora_up.weight`, `hada_w1_a`, `alpha`, ... PEFT's own tensors keep PEFT's
    names: `lora_magnitude_vector` (also for ai-toolkit's `magnitude`; (o,) or (1, o, 1, 1)),
    `oft_R.weight`, `ia3_l`, `lora_embedding_A`, `boft_R`."""


class EmbeddingKey(NamedTuple):
    """The key of a bundled textual-inversion embedding: `bundle_emb.<name>.<tensor>`."""

    name: str
    tensor: str


@lru_cache(_NUM_REMEMBERED)
def split_key(key: str) -> SplitKey | None:
    """The stem and canonical part of a key, or None if it is not an adapter's tensor."""
    if key.startswith((_EMBEDDING, _BOOKKEEPING)):
        return None
    stem, _, rest = key.partition(".")
    if stem and rest in PARTS:
        return SplitKey(stem, PARTS[rest])  # kohya's and LyCORIS' keys: nothing is wrapped around
    processor = _PROCESSOR.fullmatch(key)
    if processor is not None and processor["leaf"] in _PROCESSOR_LEAVES:
        return SplitKey(_unwrap(processor["stem"]), _PROCESSOR_LEAVES[processor["leaf"]])
    peft = _PEFT.fullmatch(key)
    if peft is not None:
        name = _PEFT_NAMES[peft["name"]]
        leaf = None if name in _WITHOUT_LEAF else peft["leaf"]
        return SplitKey(_unwrap(peft["stem"]), f"{name}.{leaf}" if leaf else name)
    segments = key.split(".")
    for size in range(min(_MAX_PART_SEGMENTS, len(segments) - 1), 0, -1):
        part = PARTS.get(".".join(segments[-size:]))
        if part is not None:
            stem = _unwrap(".".join(segments[:-size]))
            return SplitKey(stem, part) if stem else None
    return None


def split_embedding_key(key: str) -> EmbeddingKey | None:
    """The embedding's name and the tensor's, or None if the key is not a bundled embedding's.

    The name may hold dots; the tensor's name does not, except for `string_to_param.*`.
    """
    if not key.startswith(_EMBEDDING):
        return None
    rest = key.removeprefix(_EMBEDDING)
    name, found, tensor = rest.rpartition(".string_to_param.")
    if found:
        return EmbeddingKey(name, f"string_to_param.{tensor}") if name and tensor else None
    name, _, tensor = rest.rpartition(".")
    return EmbeddingKey(name, tensor) if name and tensor else None


def why_unknown(key: str) -> str:
    """Why `split_key` found nothing: one sentence for the list of unknown keys."""
    if key.startswith(_BOOKKEEPING):
        return "a bookkeeping tensor of the tool that wrote the file; it changes nothing"
    if key.startswith(_EMBEDDING):
        return "a bundled embedding without a name or a tensor name"
    return "its ending is none that a known algorithm uses"


def _unwrap(stem: str) -> str:
    stem = stem.replace(".processor.", ".")
    for wrapper in _WRAPPERS:
        while wrapper in stem:
            stem = stem.replace(wrapper, "")
    return stem
