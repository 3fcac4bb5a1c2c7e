"""From noise to latents: diffusers' schedulers under the names of the WebUI's samplers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_dpmsolver_singlestep import DPMSolverSinglestepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_k_dpm_2_ancestral_discrete import KDPM2AncestralDiscreteScheduler
from diffusers.schedulers.scheduling_k_dpm_2_discrete import KDPM2DiscreteScheduler
from diffusers.schedulers.scheduling_lms_discrete import LMSDiscreteScheduler
from diffusers.schedulers.scheduling_pndm import PNDMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.models.base import NoiseSchedule

Predict = Callable[[Tensor, Tensor], Tensor]
"""(latents (b, 4, h, w), timestep ()) -> the denoiser's output for them, guidance included."""

OnStep = Callable[[int, int], None]
"""(step from 0, number of steps), called before each call of the denoiser."""

_LINSPACE = {"timestep_spacing": "linspace"}
_KARRAS = {"use_karras_sigmas": True}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_DDIM = {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}
_PLMS = {"timestep_spacing": "leading", "steps_offset": 1, "skip_prk_steps": True}

SAMPLERS: Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]] = MappingProxyType(
    {
        "Euler": (EulerDiscreteScheduler, _LINSPACE),
        "Euler a": (EulerAncestralDiscreteScheduler, _LINSPACE),
        "Heun": (HeunDiscreteScheduler, _LINSPACE),
        "DPM2": (KDPM2DiscreteScheduler, _LINSPACE),
        "DPM2 a": (KDPM2AncestralDiscreteScheduler, _LINSPACE),
        "DPM++ 2M": (DPMSolverMultistepScheduler, _LINSPACE),
        "DPM++ 2M Karras": (DPMSolverMultistepScheduler, _LINSPACE | _KARRAS),
        "DPM++ 2M SDE": (DPMSolverMultistepScheduler, _LINSPACE | _SDE),
        "DPM++ 2M SDE Karras": (DPMSolverMultistepScheduler, _LINSPACE | _SDE | _KARRAS),
        "DPM++ 2S": (DPMSolverSinglestepScheduler, {}),
        "LMS": (LMSDiscreteScheduler, _LINSPACE),
        "PLMS": (PNDMScheduler, _PLMS),
        "UniPC": (UniPCMultistepScheduler, _LINSPACE),
        "DDIM": (DDIMScheduler, _DDIM),
    }
)
"""Name to diffusers' class and what is to be said to it."""

_LEAST_ALPHA = 2.0**-24
"""Zero terminal SNR means an infinite sigma; diffusers and Forge stop here too."""


def demand_sampler(name: str) -> None:
    """Raises ModelError unless there is a sampler of this name."""
    if name not in SAMPLERS:
        raise ModelError(
            "There is no such sampler",
            got=name,
            expected=f"one of {', '.join(SAMPLERS)}",
            remedy="Choose one of these.",
        )


def sample(
    schedule: NoiseSchedule,
    sampler: tuple[str, int],
    noise: Tensor,
    predict: Predict,
    generators: Sequence[torch.Generator],
    on_step: OnStep | None = None,
) -> Iterator[Tensor]:
    """Denoises step by step; the last latents are the result.

    Args:
        sampler: Its name and the number of steps.
        noise: (b, 4, h, w) of unit variance.
        generators: One per image, for the samplers that add noise: an image depends on its own only.
        on_step: Told which step comes; some samplers call the denoiser twice in a step.

    Yields:
        The latents (b, 4, h, w) after each call of the denoiser (some samplers make two a step).

    Raises:
        ModelError: There is no such sampler.
    """
    name, num_steps = sampler
    demand_sampler(name)
    scheduler = _scheduler(name, schedule)
    scheduler.set_timesteps(num_steps, device=noise.device)
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    extra: dict[str, Any] = {"generator": list(generators)} if takes_generator else {}
    latents = noise * scheduler.init_noise_sigma
    for call, timestep in enumerate(scheduler.timesteps):
        if on_step is not None:
            on_step(call * num_steps // len(scheduler.timesteps), num_steps)
        output = predict(scheduler.scale_model_input(latents, timestep), timestep)
        latents = scheduler.step(output, timestep, latents, return_dict=False, **extra)[0]
        yield latents


def _scheduler(name: str, schedule: NoiseSchedule) -> Any:
    kind, options = SAMPLERS[name]
    prediction = {"epsilon": "epsilon", "v": "v_prediction"}[schedule.prediction]
    betas = _betas(schedule.alphas_cumprod)
    return kind(num_train_timesteps=len(betas), trained_betas=betas, prediction_type=prediction, **options)


def _betas(alphas_cumprod: Tensor) -> list[float]:
    """beta_t = 1 - abar_t / abar_(t-1), the form in which diffusers takes a schedule."""
    alphas = alphas_cumprod.double().cpu().clamp(min=_LEAST_ALPHA)
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas[:-1]])
    return (1 - alphas / before).tolist()
