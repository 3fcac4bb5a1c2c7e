"""The base model, and how it computes while it is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option
from lib_lyco.train.precision import PRECISIONS


@dataclass(frozen=True)
class ModelOptions:
    """The base model, and how it computes while it is trained on."""

    base_model: str = option("", "model", "Checkpoint file of the base model.", free=True)
    precision: str = option(
        "fp32", "model", "Compute dtype of the base model and the adapters.", choices=PRECISIONS
    )
    gradient_checkpointing: bool = option(
        False, "model", "Less memory for more time; the result is the same.", free=True
    )
