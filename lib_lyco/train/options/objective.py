"""How the loss is made: noise, timesteps, cost and weights."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.errors import ConfigError
from lib_lyco.train.loss import HUBER_SCHEDULES, LOSSES
from lib_lyco.train.noise import SAMPLINGS
from lib_lyco.train.option import option, wrong

_MODE_SCALES = (-1.0, 1.75)
"""Between which the density of mode sampling is one (arXiv 2403.03206, section 3.1: 2 / (pi - 2))."""

_PURE_NOISE = "Remove one of them: pure noise leaves nothing for earlier timesteps."


@dataclass(frozen=True)
class ObjectiveOptions:
    """How the loss is made: noise, timesteps, cost and weights."""

    noise_offset: float = option(
        0.0,
        "objective",
        "Strength of noise common to a whole channel, for bright and dark pictures; 0.1 is much, 0 is off.",
        low=0,
        high=1,
    )
    noise_offset_random_strength: bool = option(
        False, "objective", "Draw each sample's noise_offset between 0 and its value."
    )
    adaptive_noise_scale: float = option(
        0.0,
        "objective",
        "Adds this times the absolute mean of each channel of the latents to noise_offset.",
        low=-1,
        high=1,
    )
    noise_offset_by_timestep: bool = option(
        False,
        "objective",
        "Let noise_offset count fully where there is most noise and less and less before "
        "(arXiv 2412.03134); it may be larger then, like 0.5.",
    )
    multires_noise_iterations: int = option(
        0, "objective", "Layers of coarser noise added; 6 to 10 are usual, 0 is off.", low=0, high=64
    )
    multires_noise_discount: float = option(
        0.3,
        "objective",
        "By how much each coarser layer is weaker; 0.8 for many images, 0.3 for few.",
        low=0,
        high=1,
    )
    ip_noise_gamma: float = option(
        0.0, "objective", "Strength of input perturbation (arXiv 2301.11706); 0.1 is usual.", low=0, high=1
    )
    ip_noise_gamma_random_strength: bool = option(
        False, "objective", "Draw each sample's ip_noise_gamma between 0 and its value."
    )
    min_timestep: int = option(0, "objective", "The first timestep trained, from 0.", low=0, high=999)
    max_timestep: int = option(1000, "objective", "One past the last timestep trained.", low=1, high=1000)
    timestep_sampling: str = option(
        "uniform",
        "objective",
        "How timesteps are drawn: all alike, or as in arXiv 2403.03206, section 3.1.",
        choices=SAMPLINGS,
    )
    timestep_mean: float = option(
        0.0,
        "objective",
        "logit_normal: above 0 prefers much noise, below 0 little.",
        low=-10,
        high=10,
    )
    timestep_scale: float = option(
        1.0,
        "objective",
        "logit_normal: standard deviation; mode: above 0 prefers the middle, below 0 the ends.",
        low=-1,
        high=10,
    )
    zero_terminal_snr: bool = option(
        False,
        "objective",
        "Let the last timestep be pure noise (arXiv 2305.08891); for models that predict v.",
    )
    zero_terminal_snr_weights: str = option(
        "exact",
        "objective",
        "Weights by SNR take that of the changed schedule, or as sd-scripts of the unchanged one.",
        choices=("exact", "kohya"),
    )
    loss_type: str = option(
        "l2", "objective", "What a difference costs: squared, absolute, or both by size.", choices=LOSSES
    )
    huber_schedule: str = option(
        "snr",
        "objective",
        "How the threshold of huber and smooth_l1 goes over the timesteps.",
        choices=HUBER_SCHEDULES,
    )
    huber_c: float = option(
        0.1, "objective", "Threshold of huber and smooth_l1 where there is most noise.", low=1e-6, high=10
    )
    huber_scale: float = option(
        1.0, "objective", "Multiplies the threshold; not with huber_schedule snr.", low=1e-6, high=1000
    )
    min_snr_gamma: float = option(
        0.0,
        "objective",
        "Damp low-noise timesteps (arXiv 2303.09556); 5 is usual, 0 is off.",
        low=0,
        high=20,
    )
    debiased_estimation_loss: bool = option(
        False, "objective", "Weigh timesteps by 1 / sqrt(SNR) (arXiv 2310.08442)."
    )
    scale_v_pred_loss_like_noise_pred: bool = option(
        False, "objective", "For models that predict v: weigh timesteps as if they predicted noise."
    )
    v_pred_like_loss: float = option(
        0.0,
        "objective",
        "For models that predict noise: how much of the loss that v would have is added.",
        low=0,
    )
    p2_gamma: float = option(
        0.0, "objective", "Weigh timesteps by 1 / (1 + SNR)^this (arXiv 2204.00227); 0 is off.", low=0
    )
    prior_prediction_weight: float = option(
        0.0,
        "objective",
        "How much the base model's answers to prior_caption are kept, without any images; 0 is off.",
        low=0,
    )
    prior_caption: str = option(
        "", "objective", "What shall stay as it is, like the class word; empty is the empty caption."
    )

    masked_prior_weight: float = option(
        0.0,
        "objective",
        "How much the base model's own answer is kept where a mask hides the image; 1 is as much as the "
        "image counts elsewhere, 0 is off.",
        low=0,
    )

    def check_objective(self, has_masks: bool) -> None:
        """Refuses values that contradict each other or have no effect.

        Args:
            has_masks: Whether images may have masks.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.min_timestep >= self.max_timestep:
            raise wrong("min_timestep", self.min_timestep, f"less than max_timestep, {self.max_timestep}")
        low, high = _MODE_SCALES
        if self.timestep_sampling == "mode" and not low <= self.timestep_scale <= high:
            raise wrong("timestep_scale", self.timestep_scale, f"from {low} to {high} for mode")
        if self.timestep_sampling == "logit_normal" and self.timestep_scale <= 0:
            raise wrong("timestep_scale", self.timestep_scale, "more than 0 for logit_normal")
        if self.noise_offset_by_timestep and self.zero_terminal_snr:
            raise wrong("noise_offset_by_timestep", True, "false with zero_terminal_snr", _PURE_NOISE)
        threshold = self.loss_type in ("huber", "smooth_l1")
        needs: tuple[tuple[str, bool, str], ...] = (
            ("noise_offset_random_strength", self.noise_offset > 0, "noise_offset"),
            ("adaptive_noise_scale", self.noise_offset > 0, "noise_offset"),
            ("noise_offset_by_timestep", self.noise_offset > 0, "noise_offset"),
            ("multires_noise_discount", self.multires_noise_iterations > 0, "multires_noise_iterations"),
            ("ip_noise_gamma_random_strength", self.ip_noise_gamma > 0, "ip_noise_gamma"),
            ("timestep_mean", self.timestep_sampling == "logit_normal", "timestep_sampling logit_normal"),
            ("timestep_scale", self.timestep_sampling != "uniform", "another timestep_sampling"),
            ("zero_terminal_snr_weights", self.zero_terminal_snr, "zero_terminal_snr"),
            ("huber_schedule", threshold, "loss_type huber or smooth_l1"),
            ("huber_c", threshold, "loss_type huber or smooth_l1"),
            ("huber_scale", threshold and self.huber_schedule != "snr", "another huber_schedule than snr"),
            ("prior_caption", self.prior_prediction_weight > 0, "prior_prediction_weight"),
            ("masked_prior_weight", has_masks, "mask_folder or alpha_mask"),
        )
        defaults = ObjectiveOptions.__dataclass_fields__
        for name, has_effect, companion in needs:
            if getattr(self, name) != defaults[name].default and not has_effect:
                raise ConfigError(
                    f"The option {name} has no effect without {companion}.",
                    where=name,
                    got=repr(getattr(self, name)),
                    remedy=f"Set {companion}, or remove {name}.",
                )
