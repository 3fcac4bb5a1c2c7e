"""What a run changes by itself when a step cannot be made, in which order, and how that is told.

Every change is an event, stands in the metadata of each file saved after it and in the states, so that
a resumed run goes on in the same way.

Memory while images or captions are encoded: what is not needed for it leaves the device meanwhile, which
changes no bit; then fewer images at a time, which changes no more than the rounding.

Losses or gradients that are not finite: fp16's loss scale is lowered first (see `optim.LossScaler`); then
bf16 instead of fp16; then fp32, if the model is loaded in it. Memory: gradient checkpointing, which changes
no result; then latents and conds made once before the steps, and fewer samples in one pass, whose gradients
add up, which both change no more than the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from lib_lyco.models.base import BaseModel
from lib_lyco.train.data.latent import LatentSource
from lib_lyco.train.precision import DTYPES
from lib_lyco.train.step import Learning

Trouble = Literal["not finite", "memory", "encoding"]
ALONE = "encode_alone"
OUT_OF_MEMORY = (torch.cuda.OutOfMemoryError, MemoryError)


@dataclass(frozen=True)
class Change:
    """One thing that a run does otherwise than its config says."""

    option: Literal[
        "precision", "gradient_checkpointing", "caches", "pass_size", "encode_alone", "encode_size"
    ]
    value: str | int
    step: int = 0
    """From which step on."""

    def __str__(self) -> str:
        return {
            "precision": f"computes in {self.value}",
            "gradient_checkpointing": "gradient checkpointing",
            "caches": "latents and conds kept in memory",
            "pass_size": f"at most {self.value} samples in one pass",
            "encode_alone": "only what encodes is on the device while images and captions are encoded",
            "encode_size": f"at most {self.value} images encoded at a time",
        }[self.option]


@dataclass(frozen=True)
class Recovery:
    """Which troubles a run may get over by changing something; the others end it."""

    not_finite: bool = True
    memory: bool = True

    def change(self, trouble: Trouble, learning: Learning, largest: int) -> Change | None:
        """The next thing to try; None if there is nothing left.

        Args:
            trouble: What happened.
            learning: As it is now.
            largest: Samples of the largest micro-batch.
        """
        if trouble == "not finite":
            return _wider(learning) if self.not_finite else None
        if not self.memory:
            return None
        if trouble == "encoding":
            return _fewer_images(learning.latents, largest) or _kept(learning)
        return _less_memory(learning, largest)

    def easier(self, learning: Learning, images: LatentSource | None, is_alone: bool) -> Change | None:
        """The next thing to try where there is no memory for encoding before the steps; None if there is
        nothing left.

        Args:
            learning: As it is now.
            images: Those that are encoded; None for captions.
            is_alone: Whether the rest of the base model is off the device meanwhile already.
        """
        if not self.memory:
            return None
        if not is_alone and not learning.presence.lent and learning.model.device.type != "cpu":
            return Change(ALONE, 1)
        return _fewer_images(images, 1) if images else None


def _fewer_images(latents: LatentSource, largest: int) -> Change | None:
    size = latents.at_most or largest
    return Change("encode_size", -(-size // 2)) if size > 1 else None


def _kept(learning: Learning) -> Change | None:
    return Change("caches", 1) if learning.latents.kept() or learning.texts.kept() else None


def _less_memory(learning: Learning, largest: int) -> Change | None:
    if not learning.gradient_checkpointing:
        return Change("gradient_checkpointing", 1)
    if kept := _kept(learning):
        return kept
    size = learning.pass_size or largest
    return Change("pass_size", -(-size // 2)) if size > 1 else None


def _wider(learning: Learning) -> Change | None:
    dtype = learning.precision.dtype
    if dtype == torch.float16 and _computes_bf16(learning.model):
        return Change("precision", "bf16")
    if dtype != torch.float32 and learning.model.dtype == torch.float32:
        return Change("precision", "fp32")
    return None


def _computes_bf16(model: BaseModel) -> bool:
    return model.device.type == "cpu" or torch.cuda.is_bf16_supported()


def ease(latents: LatentSource, change: Change) -> None:
    """Lets fewer images be encoded at a time, where the change says so."""
    if change.option == "encode_size":
        size = int(change.value)
        latents.at_most = min(latents.at_most or size, size)


def changed(learning: Learning, changes: Sequence[Change]) -> Learning:
    """The same with changes made to it, and to its model."""
    for change in changes:
        if change.option == "precision":
            precision = replace(learning.precision, dtype=DTYPES[str(change.value)])
            learning = replace(learning, precision=precision)
        elif change.option == "gradient_checkpointing":
            learning.model.set_gradient_checkpointing(True)
            learning = replace(learning, gradient_checkpointing=True)
        elif change.option == "caches":
            latents, texts = learning.latents.kept(), learning.texts.kept()
            learning = replace(learning, latents=latents or learning.latents, texts=texts or learning.texts)
        elif change.option == "encode_size":
            ease(learning.latents, change)
        elif change.option == "pass_size":
            learning = replace(learning, pass_size=int(change.value))
    return learning
