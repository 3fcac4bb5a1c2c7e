"""How long and how fast the network learns."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong

SCHEDULERS = ("constant", "constant_with_warmup", "cosine")


@dataclass(frozen=True)
class OptimisationOptions:
    """How long and how fast the network learns."""

    epochs: int = option(10, "optimisation", "How often the whole data is seen.", low=1, free=True)
    max_steps: int | None = option(
        None, "optimisation", "Number of steps; overrides epochs.", low=1, free=True
    )
    learning_rate: float = option(
        1e-4, "optimisation", "Learning rate of every component without its own.", low=0
    )
    unet_learning_rate: float | None = option(
        None, "optimisation", "Learning rate of the UNet; 0 leaves it out.", low=0
    )
    te_learning_rate: float | None = option(
        None, "optimisation", "Learning rate of the text encoders; 0 leaves them out.", low=0
    )
    scheduler: str = option(
        "cosine", "optimisation", "How the learning rate changes over the steps.", choices=SCHEDULERS
    )
    warmup_steps: int = option(0, "optimisation", "Steps in which the learning rate rises from 0.", low=0)
    weight_decay: float = option(0.01, "optimisation", "AdamW's weight decay.", low=0)
    max_grad_norm: float = option(
        1.0, "optimisation", "Gradients longer than this are shortened to it; 0 is off.", low=0
    )
    accumulation: int = option(1, "optimisation", "Micro-batches per step.", low=1)
    seed: int = option(
        0, "optimisation", "Decides initial weights, order, noise and timesteps.", low=0, high=2**63 - 1
    )

    def check_optimisation(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        rates = (self.unet_learning_rate, self.te_learning_rate)
        if all((self.learning_rate if rate is None else rate) == 0 for rate in rates):
            raise wrong("learning_rate", 0.0, "more than 0 for the UNet or the text encoders")
        if self.scheduler == "constant" and self.warmup_steps:
            raise wrong(
                "warmup_steps", self.warmup_steps, "0 with scheduler constant", "Use constant_with_warmup."
            )
