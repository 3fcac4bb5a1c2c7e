"""Compute dtypes: what a model is run in while it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from lib_lyco.errors import ConfigError

DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = tuple(DTYPES)
AUTO = "auto"
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Precision:
    """The compute dtype on a device. The loss is float32 in all of them."""

    dtype: torch.dtype
    device_type: str

    @property
    def scales_loss(self) -> bool:
        """Whether small gradients would vanish: fp16 has five exponent bits."""
        return self.dtype == torch.float16

    def context(self) -> AbstractContextManager[object]:
        """Within it, the model computes in the compute dtype."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)


def choose_precision(name: str, device: torch.device, loaded: torch.dtype = torch.float32) -> str:
    """The precision that a name stands for; for auto the best one for a device.

    A model that was loaded in half precision keeps its dtype: another one would cast all of its weights
    in every step.

    Args:
        name: Of `PRECISIONS`, or auto.
        device: Where the model is.
        loaded: The dtype it is loaded in; float32 also for one that is not loaded yet.
    """
    if name != AUTO:
        return name
    if loaded == torch.float16 and device.type == "cpu" and not _cpu_computes_fp16():
        return "bf16"
    if loaded != torch.float32:
        return _NAMES.get(loaded, "fp32")
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def make_precision(name: str, device: torch.device, model_dtype: torch.dtype) -> Precision:
    """The compute dtype by name.

    Raises:
        ConfigError: The model was loaded in half precision and fp32 is asked for, or this torch
            cannot compute fp16 on the CPU.
    """
    dtype = DTYPES[name]
    if dtype == torch.float32 and model_dtype != torch.float32:
        raise ConfigError(
            "The base model is loaded in half precision.",
            where="precision",
            got=f"fp32, and a model in {model_dtype}",
            expected="bf16 or fp16, or a model loaded in fp32",
        )
    if dtype == torch.float16 and device.type == "cpu" and not _cpu_computes_fp16():
        raise ConfigError(
            "This torch cannot train in fp16 on the CPU.",
            where="precision",
            got=f"fp16, torch {torch.__version__}",
            expected="bf16 or fp32",
        )
    return Precision(dtype, device.type)


def _cpu_computes_fp16() -> bool:
    """torch 2.1 has no fp16 product on the CPU, and its autocast does not offer the dtype."""
    major, minor = (int(number) for number in torch.__version__.split(".")[:2])
    return (major, minor) >= (2, 4)
