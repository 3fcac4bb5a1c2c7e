"""What happens where a step cannot be made."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option

_CHOICES = ("recover", "stop")


@dataclass(frozen=True)
class FailureOptions:
    """What happens where a step cannot be made."""

    on_nan: str = option(
        "recover",
        "failures",
        "Loss or gradient not finite: go back to the last good weights and compute in bf16, then in fp32 "
        "(told, and noted in the files); or stop.",
        choices=_CHOICES,
        free=True,
    )
    on_out_of_memory: str = option(
        "recover",
        "failures",
        "Too little memory for a step: gradient checkpointing, then latents and conds kept in memory, then "
        "fewer samples in one pass, with equal steps; for encoding: the rest of the base model off the "
        "device, then fewer images at a time (told, and noted in the files); or stop.",
        choices=_CHOICES,
        free=True,
    )
