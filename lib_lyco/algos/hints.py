"""What a file's metadata says about how its tensors must be read.

Most formats explain themselves. A few do not: a DyLoRA file has LoRA's keys, kohya's and LyCORIS'
OFT differ only in what a constraint of 0 means, and some formulas changed without a new key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

LYCORIS_3 = 1_714_521_600.0
"""2024-05-01 UTC, the month LyCORIS 3.0 changed GLoRA's layout and what IA3 does to the bias."""


@dataclass(frozen=True)
class Hints:
    """The metadata facts that change decoding; the defaults are right for a file without metadata."""

    network_module: str = ""
    """`ss_network_module`: `networks.lora`, `networks.dylora`, `networks.oft`, `lycoris.kohya`, ..."""
    algo: str = ""
    """`algo` of `ss_network_args` in lower case: `lora`, `dylora`, `diag-oft`, ..."""
    unit: int = 1
    """kohya's DyLoRA: the step between trained sub-ranks."""
    block_size: int = 4
    """LyCORIS' DyLoRA: ranks per block."""
    folded_block_size: int | None = None
    """DyLoRA of this project: LyCORIS' block size, its scale already folded into alpha."""
    rs_lora: bool = False
    """Trained with alpha / sqrt(rank)."""
    alpha: float | None = None
    """Alpha of layers that store none (PEFT keeps it in its configuration)."""
    alphas: Mapping[str, float] = field(default_factory=dict[str, float])
    """Alphas of single layers by the end of their path, or by ^ and all of it (PEFT's `alpha_pattern`)."""
    bypass_mode: bool = False
    """LyCORIS was told to scale outputs instead of weights, so IA3 scaled the bias too."""
    cayley_neumann: bool = True
    """PEFT's OFT: the truncated series (its default) rather than the exact Cayley transform."""
    neumann_terms: int = 5
    """PEFT's OFT: terms of that series."""
    one_trainer: bool = False
    """OneTrainer wrote the file; its OFT turns convolutions the other way than PEFT's."""
    trained_at: float | None = None
    """`ss_training_started_at` in seconds since 1970, UTC."""

    @property
    def is_kohya_dylora(self) -> bool:
        """Whether sd-scripts' DyLoRA wrote the file."""
        return self.network_module.endswith("networks.dylora")

    @property
    def is_lycoris_dylora(self) -> bool:
        """Whether LyCORIS' DyLoRA wrote the file."""
        return self.algo == "dylora"

    @property
    def is_kohya_oft(self) -> bool:
        """Whether sd-scripts' OFT wrote the file; there a constraint of 0 clamps to the identity."""
        return "networks.oft" in self.network_module

    @property
    def before_lycoris_3(self) -> bool:
        """Whether the file is known to be older than LyCORIS 3.0."""
        return self.trained_at is not None and self.trained_at < LYCORIS_3

    def at(self, path: str) -> Hints:
        """The hints for one layer: where PEFT gave it an alpha of its own, that one counts.

        PEFT takes the first pattern that matches the path's end, whole segments only. It reads them
        as regular expressions; here they are names, which is all that tools write: an expression in
        an untrusted file could keep a reader busy for ever.

        Args:
            path: The layer's dotted path.
        """
        if not self.alphas:
            return self
        segments = path.split(".")
        ends = {".".join(segments[start:]) for start in range(len(segments))}
        found = (ends | {f"^{path}"}) & self.alphas.keys()
        if not found:
            return self
        return replace(self, alpha=next(alpha for end, alpha in self.alphas.items() if end in found))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], component: str = "") -> Hints:
        """Reads kohya's `ss_*` keys and diffusers' `lora_adapter_metadata`.

        A value that cannot be read counts as absent: metadata is written by hand and by other
        tools, and none of it may keep a network from loading.

        Args:
            metadata: The safetensors header's `__metadata__`.
            component: diffusers' prefix of the component (`unet`, `text_encoder`,
                `text_encoder_2`), whose PEFT configuration counts; any of them if empty.
        """
        args = _json_object(metadata.get("ss_network_args", ""))
        peft = _peft_config(_json_object(metadata.get("lora_adapter_metadata", "")), component)
        return cls(
            network_module=metadata.get("ss_network_module", ""),
            algo=str(args.get("algo", "")).lower(),
            unit=_positive(args.get("unit"), 1),
            block_size=_positive(args.get("block_size"), 4),
            folded_block_size=_positive(args.get("dylora_block_size"), 0) or None,
            rs_lora=_truth(args.get("rs_lora")) or _truth(peft.get("use_rslora")),
            alpha=_number(peft.get("lora_alpha")),
            alphas=_alphas(peft.get("alpha_pattern")),
            bypass_mode=_truth(args.get("bypass_mode")),
            cayley_neumann=_truth(peft.get("use_cayley_neumann", True)),
            neumann_terms=_positive(peft.get("num_cayley_neumann_terms"), 5),
            one_trainer="ot_branch" in metadata or "ot_revision" in metadata,
            trained_at=_number(metadata.get("ss_training_started_at")),
        )


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _peft_config(packed: Mapping[str, Any], component: str) -> dict[str, Any]:
    """diffusers packs every component's configuration into one object, as `unet.lora_alpha`."""
    config: dict[str, Any] = {}
    for key, value in packed.items():
        prefix, _, name = key.rpartition(".")
        if not component or prefix == component:
            config.setdefault(name, value)
    return config


def _alphas(pattern: object) -> dict[str, float]:
    """PEFT's `alpha_pattern`: name, or ^ and the whole path, -> alpha."""
    if not isinstance(pattern, dict):
        return {}
    named = {name: _number(value) for name, value in cast("dict[str, Any]", pattern).items()}
    return {name: alpha for name, alpha in named.items() if alpha is not None}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _positive(value: object, default: int) -> int:
    number = _number(value)
    return int(number) if number is not None and 1 <= number < 1e9 else default


def _truth(value: object) -> bool:
    return str(value).strip().lower() in {"true", "1", "yes", "on"}
