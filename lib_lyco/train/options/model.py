"""The base model, and how it computes while it is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong
from lib_lyco.train.precision import AUTO, PRECISIONS


@dataclass(frozen=True)
class ModelOptions:
    """The base model, and how it computes while it is trained on."""

    base_model: str = option(
        "", "model", "Checkpoint file of the base model, or its folder in diffusers' layout.", free=True
    )
    base_family: str = option(
        "auto",
        "model",
        "Which kind of base model is expected; another one is an error. auto takes what the file is.",
        choices=("auto", "sd1", "sd2", "sdxl"),
        free=True,
    )
    prediction: str = option(
        "auto",
        "model",
        "What the base model predicts: noise (epsilon) or v; auto takes what the file says.",
        choices=("auto", "epsilon", "v"),
        free=True,  # what is used is compared with the base model
    )
    precision: str = option(
        "auto",
        "model",
        "Compute dtype of base model and adapters; auto: bf16 or else fp16 on a GPU, fp32 on the CPU.",
        choices=(AUTO, *PRECISIONS),
    )
    full_half: bool = option(
        False,
        "model",
        "Keep trained weights, gradients and optimiser in bf16 or fp16 too: less memory, less exact.",
    )
    fp8_base: bool = option(
        False,
        "model",
        "Keep the base model's weights in 8 bits (e4m3) while training: less memory, less exact.",
    )
    gradient_checkpointing: bool = option(
        False, "model", "Less memory for more time; the result is the same.", free=True
    )

    def check_model(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        for name in ("full_half", "fp8_base"):
            if getattr(self, name) and self.precision == "fp32":
                raise wrong(name, True, "false with precision fp32", "Set precision to bf16 or fp16.")
