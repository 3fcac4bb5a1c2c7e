"""How long, how fast and by which rule the network learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.train.optimisers import find_recipe, parse_arguments
from lib_lyco.train.option import option, wrong
from lib_lyco.train.schedules import ADAFACTOR, SCHEDULERS, WITHOUT_END, WITHOUT_WARMUP

_LORA_PLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
UP_FACTORS = ("lora", "locon", "dylora", "loha")
"""Algorithms in which one factor is clearly the upper one."""
SHRINKABLE = ("lora", "locon", "loha", "lokr", "dylora", "full")
"""Algorithms whose change is a product of factors (see `norm_limit`)."""


@dataclass(frozen=True)
class OptimisationOptions:
    """How long, how fast and by which rule the network learns."""

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
    te_learning_rate: tuple[float, ...] = option(
        (),
        "optimisation",
        "Learning rate of the text encoders, or of each of SDXL's two; 0 leaves one out.",
        low=0,
    )
    loraplus_lr_ratio: float | None = option(
        None,
        "optimisation",
        "LoRA+ (arXiv 2402.12354): the upper factor learns this much faster; 16 is usual.",
        low=0,
    )
    loraplus_unet_lr_ratio: float | None = option(
        None, "optimisation", "loraplus_lr_ratio of the UNet.", low=0
    )
    loraplus_text_encoder_lr_ratio: float | None = option(
        None, "optimisation", "loraplus_lr_ratio of the text encoders.", low=0
    )
    unet_stop_share: float = option(
        0.0, "optimisation", "Share of the steps after which the UNet is frozen; 0 is never.", low=0, high=1
    )
    te_stop_share: float = option(
        0.0,
        "optimisation",
        "Share of the steps after which the text encoders are frozen; 0 is never.",
        low=0,
        high=1,
    )
    unet_stop_epochs: int = option(
        0, "optimisation", "Epochs after which the UNet is frozen; 0 is never.", low=0
    )
    te_stop_epochs: int = option(
        0, "optimisation", "Epochs after which the text encoders are frozen; 0 is never.", low=0
    )
    unet_stop_steps: int = option(
        0, "optimisation", "Steps after which the UNet is frozen; 0 is never.", low=0
    )
    te_stop_steps: int = option(
        0, "optimisation", "Steps after which the text encoders are frozen; 0 is never.", low=0
    )
    scheduler: str = option(
        "cosine",
        "optimisation",
        "How the learning rate changes over the steps; adafactor leaves it to that optimiser.",
        choices=SCHEDULERS,
    )
    warmup_steps: int = option(0, "optimisation", "Steps in which the learning rate rises from 0.", low=0)
    warmup_share: float = option(
        0.0, "optimisation", "The same as a share of all steps: 0.1 is 10 %.", low=0, high=1
    )
    decay_steps: int = option(
        0, "optimisation", "warmup_stable_decay: steps in which the learning rate falls.", low=0
    )
    decay_share: float = option(
        0.0, "optimisation", "The same as a share of all steps: 0.1 is 10 %.", low=0, high=1
    )
    scheduler_cycles: int = option(
        1,
        "optimisation",
        "cosine_with_restarts: how often the learning rate falls; cosine_with_min_lr and "
        "warmup_stable_decay: half waves.",
        low=1,
    )
    scheduler_power: float = option(
        1.0, "optimisation", "polynomial: the exponent; 1 is a straight line.", low=1e-3, high=100
    )
    scheduler_timescale: int = option(
        0, "optimisation", "inverse_sqrt: its steps; 0 takes the warmup, or 10000.", low=0
    )
    scheduler_min_ratio: float = option(
        0.0,
        "optimisation",
        "cosine_with_min_lr and warmup_stable_decay: the lowest learning rate as a share of the highest.",
        low=0,
        high=1,
    )
    scheduler_rules: str = option(
        "",
        "optimisation",
        "piecewise_constant: factor:step up to each step and a last factor, like 1:100,0.5:200,0.1.",
    )
    optimizer_type: str = option(
        "AdamW",
        "optimisation",
        "AdamW, AdamW8bit, PagedAdamW8bit, Lion, SGDNesterov, AdaFactor, DAdaptAdam, Prodigy, "
        "AdamWScheduleFree, CAME, one of torch.optim, or any class by its dotted name.",
    )
    optimizer_args: tuple[str, ...] = option(
        (), "optimisation", "Arguments of the optimiser as name=value, like betas=(0.9, 0.99)."
    )
    weight_decay: float | None = option(
        None, "optimisation", "Weight decay; unset is the optimiser's own, 0.01 for AdamW.", low=0
    )
    max_grad_norm: float = option(
        1.0, "optimisation", "Gradients longer than this are shortened to it; 0 is off.", low=0
    )
    scale_weight_norms: float = option(
        0.0,
        "optimisation",
        "A layer's change longer than this is shortened to it after each step; 1 is usual, 0 is off.",
        low=0,
    )
    accumulation: int = option(1, "optimisation", "Micro-batches per step.", low=1)
    seed: int = option(
        0, "optimisation", "Decides initial weights, order, noise and timesteps.", low=0, high=2**63 - 1
    )

    def check_optimisation(self, algo: str) -> None:
        """Refuses values that contradict each other or have no effect.

        Raises:
            ConfigError: `where` names the option.
        """
        if not any((self.unet_rate, *self.te_rates)):
            raise wrong("learning_rate", 0.0, "more than 0 for the UNet or the text encoders")
        self._check_schedule()
        self._check_optimiser()
        self._check_stops()
        for name in _LORA_PLUS:
            if getattr(self, name) and algo not in UP_FACTORS:
                raise wrong(name, getattr(self, name), "nothing: LoRA+ is for " + ", ".join(UP_FACTORS))
        if self.scale_weight_norms and algo not in SHRINKABLE:
            raise wrong("scale_weight_norms", self.scale_weight_norms, "0 with " + algo)

    @property
    def unet_rate(self) -> float:
        """The UNet's learning rate."""
        return self.learning_rate if self.unet_learning_rate is None else self.unet_learning_rate

    @property
    def te_rates(self) -> tuple[float, ...]:
        """The text encoders' learning rates: one for all, or one for each."""
        return self.te_learning_rate or (self.learning_rate,)

    @property
    def depends_on_length(self) -> bool:
        """Whether what is trained in a step depends on how many there will be."""
        shares = (self.warmup_share, self.decay_share, self.unet_stop_share, self.te_stop_share)
        return self.scheduler not in WITHOUT_END or any(shares)

    @property
    def optimiser_arguments(self) -> dict[str, Any]:
        """What the optimiser is given beside learning rates.

        Raises:
            ConfigError: They cannot be read, or contradict another option.
        """
        arguments = parse_arguments(self.optimizer_args)
        if self.weight_decay is not None:
            if "weight_decay" in arguments:
                raise wrong("weight_decay", self.weight_decay, "nothing, for it stands in optimizer_args")
            arguments["weight_decay"] = self.weight_decay
        if self.optimizer_type.lower() == "adafactor":
            relative = self.scheduler == ADAFACTOR
            if arguments.setdefault("relative_step", relative) != relative:
                raise wrong(
                    "scheduler",
                    self.scheduler,
                    "adafactor with relative_step=True, another one with relative_step=False",
                )
        return arguments

    def _check_schedule(self) -> None:
        warmup = "warmup_steps" if self.warmup_steps else "warmup_share"
        if self.scheduler in WITHOUT_WARMUP and getattr(self, warmup):
            raise wrong(warmup, getattr(self, warmup), f"0 with {self.scheduler}", _remedy(self.scheduler))
        for name in ("warmup", "decay"):
            if getattr(self, f"{name}_steps") and getattr(self, f"{name}_share"):
                raise wrong(f"{name}_share", getattr(self, f"{name}_share"), f"0 beside {name}_steps")
        if self.warmup_share + self.decay_share > 1:
            raise wrong("decay_share", self.decay_share, f"at most {1 - self.warmup_share}")
        waves = ("cosine_with_min_lr", "warmup_stable_decay")
        used: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
            ("decay_steps", 0, ("warmup_stable_decay",)),
            ("decay_share", 0, ("warmup_stable_decay",)),
            ("scheduler_cycles", 1, ("cosine_with_restarts", *waves)),
            ("scheduler_power", 1, ("polynomial",)),
            ("scheduler_timescale", 0, ("inverse_sqrt",)),
            ("scheduler_min_ratio", 0, waves),
            ("scheduler_rules", "", ("piecewise_constant",)),
        )
        for name, default, schedulers in used:
            if getattr(self, name) != default and self.scheduler not in schedulers:
                raise ConfigError(
                    f"The option {name} has no effect on {self.scheduler}.",
                    where=name,
                    expected="scheduler " + " or ".join(schedulers),
                    remedy=f"Remove {name} or change scheduler.",
                )
        if self.scheduler == "piecewise_constant" and not self.scheduler_rules:
            raise wrong("scheduler_rules", "", "rules for piecewise_constant")
        if self.scheduler == "warmup_stable_decay" and not (self.decay_steps or self.decay_share):
            raise wrong("decay_steps", 0, "more than 0 for warmup_stable_decay")

    def _check_optimiser(self) -> None:
        recipe = find_recipe(self.optimizer_type)
        self.optimiser_arguments  # noqa: B018  raises what is wrong in them
        if self.scheduler == ADAFACTOR and self.optimizer_type.lower() != "adafactor":
            raise wrong("scheduler", self.scheduler, "another one, unless optimizer_type is AdaFactor")
        if recipe.schedule_free and self.scheduler not in ("constant", "constant_with_warmup"):
            raise wrong(
                "scheduler",
                self.scheduler,
                f"constant or constant_with_warmup with {self.optimizer_type}, which needs no schedule",
            )

    def _check_stops(self) -> None:
        for part, rates in (("unet", (self.unet_rate,)), ("te", self.te_rates)):
            given = [name for name in _stops(part) if getattr(self, name)]
            if given and not any(rates):
                raise wrong(given[0], getattr(self, given[0]), "0, for it is not trained at all")
            if len(given) > 1:
                raise wrong(
                    given[1], getattr(self, given[1]), f"0 beside {given[0]}", "Remove one of them."
                )
        last = (self.unet_stop_share or 1.0) if self.unet_rate else 0.0
        last = max(last, (self.te_stop_share or 1.0) if any(self.te_rates) else 0.0)
        if last < 1:
            name = "unet_stop_share" if self.unet_stop_share else "te_stop_share"
            raise wrong(name, getattr(self, name), "0 for the UNet or the text encoders: one must go on")


def _stops(part: str) -> tuple[str, ...]:
    """The options that freeze the UNet (`unet`) or the text encoders (`te`)."""
    return tuple(f"{part}_stop_{unit}" for unit in ("share", "epochs", "steps"))


def _remedy(scheduler: str) -> str:
    return "Use constant_with_warmup." if scheduler == "constant" else "Remove it."
