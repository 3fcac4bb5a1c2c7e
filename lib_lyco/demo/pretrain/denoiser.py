"""The last stage: UNet of SD1's layout and a 12-layer CLIP text encoder, v-prediction."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from lib_lyco.demo.pretrain.state import adamw, load_state, save_state

WIDTH = 64
TEXT_WIDTH = 32
BATCH = 32
LEARNING_RATE = 1e-3
WARMUP = 200
DECAY_SHARE = 0.45
EMA = 0.999
SHORT_TEXT = 22
LONG_SHARE = 0.15
DROPOUT = 0.1
SNR_CEILING = 5.0
LOG_STEPS = 50
SAVE_SECONDS = 180.0
EXPORT_SECONDS = 480.0

log = logging.getLogger(__name__)


class Denoiser(nn.Module):
    """UNet and text encoder, trained together.

    Attributes:
        unet: predicts v from noised latents ``(b, 4, h, w)``.
        text: states ``(b, tokens, TEXT_WIDTH)`` of a prompt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(WIDTH,) * 4,
            layers_per_block=2,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=8,
            norm_num_groups=32,
        )
        config = CLIPTextConfig(
            vocab_size=49_408,
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=12,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            bos_token_id=49_406,
            eos_token_id=49_407,
            pad_token_id=1,
        )
        self.text = CLIPTextModel(config)
        weights = dict(self.text.named_parameters())
        for name, value in weights.items():
            if name.endswith("token_embedding.weight"):
                nn.init.normal_(value, std=0.4)
            elif name.endswith("position_embedding.weight"):
                nn.init.normal_(value, std=0.1)
            elif name.endswith("final_layer_norm.bias"):
                nn.init.constant_(value, 0.2)

    def forward(self, latents: torch.Tensor, times: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """v for ``latents`` ``(b, 4, h, w)`` at ``times`` ``(b,)`` under ``tokens`` ``(b, n)``."""
        states = self.text(input_ids=tokens).last_hidden_state
        return self.unet(latents, times, encoder_hidden_states=states, return_dict=False)[0]


@dataclass(frozen=True)
class Examples:
    """Attributes:
    latents: scaled to unit variance, ``(n, 4, 8, 8)``.
    tokens: the captions, ``(n, 77)``; the last row is the empty prompt's.
    """

    latents: torch.Tensor
    tokens: torch.Tensor


def cumulative_alphas() -> torch.Tensor:
    """SD1's noise schedule: the product of 1 - beta, ``(1000,)``."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def loss_at(model: nn.Module, examples: Examples, alphas: torch.Tensor, step: int) -> torch.Tensor:
    """The weighted loss of v on the step's batch, which is a function of the step alone."""
    generator = torch.Generator().manual_seed(step)
    rng = np.random.default_rng([2, step])
    count = len(examples.latents)
    picks = torch.from_numpy(rng.integers(0, count, BATCH))
    latents = examples.latents[picks]
    rows = torch.where(torch.from_numpy(rng.random(BATCH) < DROPOUT), torch.full_like(picks, count), picks)
    length = 77 if rng.random() < LONG_SHARE else SHORT_TEXT
    strata = (np.arange(BATCH) + rng.random(BATCH)) / BATCH
    times = torch.from_numpy((strata * 1000).astype(np.int64))
    noise = torch.randn(latents.shape, generator=generator)
    alpha = alphas[times][:, None, None, None]
    noised = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    output = model(noised, times, examples.tokens[rows][:, :length])
    # snr + 1 = 1 / (1 - alpha): the weight of x0 is min(snr + 1, ceiling), written for v
    weight = (SNR_CEILING * (1 - alpha)).clamp(max=1.0)
    return (weight * (output - target) ** 2).mean()


def rate_at(step: int, planned: int) -> float:
    """Learning rate: a short warmup, constant, then a half cosine to zero over the last part.

    The constant part does not depend on ``planned``, so a run may be shortened or
    lengthened before its decay begins without becoming another run.
    """
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / WARMUP
    begin = planned * (1 - DECAY_SHARE)
    progress = min(1.0, max(0.0, (step - begin) / (planned - begin)))
    return LEARNING_RATE * (1 + math.cos(math.pi * progress)) / 2


class Trainer:
    """The run: model, its average, optimiser, step; saved and continued as one."""

    def __init__(self, folder: Path, planned: int) -> None:
        torch.manual_seed(2)
        self.model = Denoiser()
        self.planned = planned
        self.step = 0
        self.file = folder / "denoiser_state.pt"
        self.optimiser = adamw(self.model.parameters(), LEARNING_RATE, 0.01)
        self.average = [p.detach().clone() for p in self.model.parameters()]
        if self.file.exists():
            state = load_state(self.file)
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average = state["average"]
            self.step = int(state["step"])

    def update(self, examples: Examples, alphas: torch.Tensor) -> float:
        """One step; returns its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, self.planned)
        loss = loss_at(self.model, examples, alphas, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = list(self.model.parameters())
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        decay = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average, parameters, strict=True):
                mean.lerp_(now, 1 - decay)
        return float(loss.detach())

    def save(self) -> None:
        """Writes everything needed to continue."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "step": self.step,
            "planned": self.planned,
        }
        save_state(self.file, state)

    def averaged(self) -> Denoiser:
        """A copy of the model that holds the averaged weights."""
        model = Denoiser()
        with torch.no_grad():
            for mine, average in zip(model.parameters(), self.average, strict=True):
                mine.copy_(average)
        return model.eval().requires_grad_(False)


def train_denoiser(
    trainer: Trainer, examples: Examples, deadline: float, export: Callable[[Trainer], None]
) -> bool:
    """Trains to the planned step or the deadline; saves and exports on the way.

    Args:
        trainer: the run, new or continued.
        examples: latents and captions.
        deadline: ``time.monotonic()`` at which to stop.
        export: called every few minutes and at the end.

    Returns:
        Whether the planned number of steps is reached.
    """
    alphas = cumulative_alphas()
    begun = saved = exported = time.monotonic()
    first = trainer.step
    total = 0.0
    while trainer.step < trainer.planned:
        total += trainer.update(examples, alphas)
        now = time.monotonic()
        if trainer.step % LOG_STEPS == 0:
            speed = (trainer.step - first) / (now - begun)
            log.info(
                "step %d of %d, loss %.4f, %.2f steps/s",
                trainer.step,
                trainer.planned,
                total / LOG_STEPS,
                speed,
            )
            total = 0.0
        if now - saved > SAVE_SECONDS or now > deadline:
            trainer.save()
            saved = time.monotonic()
        if now - exported > EXPORT_SECONDS:
            export(trainer)
            exported = time.monotonic()
        if now > deadline:
            return False
    trainer.save()
    export(trainer)
    return True
