"""One step of sampling, with guidance; a refiner may take over here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import sd_models, shared
from .script_callbacks import CFGDenoiserParams, cfg_denoiser_callback


class InterruptedException(BaseException):
    """The user wants the picture as it is."""


class CFGDenoiser(torch.nn.Module):
    """Asks the model twice, with the prompt and with the negative one."""

    def __init__(self, p: Any, total_steps: int) -> None:
        super().__init__()
        self.p = p
        self.step = 0
        self.total_steps = total_steps

    def forward(self, x: Tensor, timestep: int) -> Tensor:
        """x: (b, 4, h, w) -> v: (b, 4, h, w)."""
        if shared.state.interrupted or shared.state.skipped:
            raise InterruptedException
        if apply_refiner(self):
            self.p.setup_conds()
        cond, uncond = self.p.get_conds()
        state = shared.state
        params = CFGDenoiserParams(
            x=torch.cat([x, x]),
            image_cond=x.new_zeros(len(x) * 2, 5, 1, 1),
            sigma=torch.full((len(x) * 2,), float(timestep)),
            sampling_step=state.sampling_step,
            total_sampling_steps=state.sampling_steps,
            text_cond=cond,
            text_uncond=uncond,
            denoiser=self,
        )
        cfg_denoiser_callback(params)
        text = torch.cat([params.text_cond, params.text_uncond])
        v_cond, v_uncond = shared.sd_model.apply_model(params.x, timestep, text).chunk(2)
        self.step += 1
        return v_uncond + (v_cond - v_uncond) * self.p.cfg_scale


def apply_refiner(denoiser: CFGDenoiser) -> bool:
    """Changes the model in the middle of a picture. Extra networks are not activated for it."""
    p, info = denoiser.p, denoiser.p.refiner_checkpoint_info
    if info is None or shared.sd_model.sd_checkpoint_info is info:
        return False
    if denoiser.step / denoiser.total_steps < p.refiner_switch_at:
        return False
    if (
        getattr(p, "enable_hr", False)
        and (shared.opts.hires_fix_refiner_pass == "second pass") != p.is_hr_pass
    ):
        return False
    p.extra_generation_params["Refiner"] = info.short_title
    with sd_models.SkipWritingToConfig():
        sd_models.reload_model_weights(info=info)
    return True


def sample(p: Any, x: Tensor, steps: int, strength: float = 1.0) -> Tensor:
    """DDIM (Song et al. 2020, equation 12, no noise) over v (Salimans and Ho 2022), from `strength` down.

    x: (b, 4, h, w), the noisy latents of the first step.
    """
    alphas: Tensor = shared.sd_model.alphas_cumprod
    times = [int(time) for time in torch.linspace(strength * 999, 0, steps + 1)]
    shared.state.sampling_steps, shared.state.sampling_step = steps, 0
    denoiser = CFGDenoiser(p, steps)
    try:
        for step, (now, then) in enumerate(zip(times, times[1:], strict=False)):
            v = denoiser(x, now)
            shared.state.sampling_step = step  # the host counts a step when it is done
            clean = alphas[now].sqrt() * x - (1 - alphas[now]).sqrt() * v
            noise = alphas[now].sqrt() * v + (1 - alphas[now]).sqrt() * x
            x = alphas[then].sqrt() * clean + (1 - alphas[then]).sqrt() * noise
    except InterruptedException:
        pass
    return x


def noised(clean: Tensor, noise: Tensor, strength: float) -> Tensor:
    """Latents as they are at the beginning of a second pass, (b, 4, h, w)."""
    alpha = shared.sd_model.alphas_cumprod[int(strength * 999)]
    return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
