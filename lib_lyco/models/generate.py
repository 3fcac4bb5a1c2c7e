"""Pictures from prompts, without a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.models.base import BaseModel, Cond
from lib_lyco.models.sampling import OnStep, demand_sampler, sample

_LATENT_CHANNELS = 4
_LATENT_FACTOR = 8


@dataclass(frozen=True)
class GenerateRequest:
    """What to draw: one picture for each prompt."""

    prompts: Sequence[str]
    seeds: Sequence[int]
    """One per picture. A picture depends on its own seed and prompt, not on those beside it."""
    negative: str = ""
    steps: int = 20
    guidance: float = 7.0
    """1 asks the denoiser for the prompt alone (and at half the cost)."""
    sampler: str = "Euler a"
    size: tuple[int, int] = (512, 512)
    """(width, height) in pixels, multiples of 8."""
    clip_skip: int = 1
    batch: int = 8
    """Pictures drawn at a time, which is a question of memory only."""


@dataclass(frozen=True)
class _Picture:
    index: int
    seed: int
    conds: tuple[Cond, Cond]
    """Of the negative prompt and of the prompt, one row each and of one length."""


def generate(model: BaseModel, request: GenerateRequest, on_step: OnStep | None = None) -> Tensor:
    """Draws the pictures of a request, in its order; `on_step` is told of each step of each batch.

    The noise of each comes from a generator of its own on the CPU: the same seed gives the same
    picture in any batch and on any device, but for the rounding of differently grouped sums.

    Returns:
        (b, 3, h, w) float32 in [0, 1], on the model's device.

    Raises:
        ModelError: The request asks for what cannot be drawn.
    """
    _demand_possible(request)
    images: dict[int, Tensor] = {}
    with torch.no_grad():
        for group in _groups(_pictures(model, request), request.batch):
            for picture, image in zip(group, _draw(model, request, group, on_step), strict=True):
                images[picture.index] = image
    return torch.stack([images[index] for index in sorted(images)])


def _demand_possible(request: GenerateRequest) -> None:
    demand_sampler(request.sampler)
    width, height = request.size
    problems = {
        f"{len(request.prompts)} prompts and {len(request.seeds)} seeds": (
            len(request.prompts) != len(request.seeds),
            "one seed for each prompt",
        ),
        "no prompt": (not request.prompts, "at least one"),
        f"{width}x{height} pixels": (
            min(request.size) < _LATENT_FACTOR or bool(width % _LATENT_FACTOR or height % _LATENT_FACTOR),
            f"sides that are multiples of {_LATENT_FACTOR}",
        ),
        f"{request.steps} steps": (request.steps < 1, "at least 1"),
        f"batches of {request.batch}": (request.batch < 1, "at least 1"),
    }
    for got, (is_wrong, expected) in problems.items():
        if is_wrong:
            raise ModelError("The pictures asked for cannot be drawn", got=got, expected=expected)


def _pictures(model: BaseModel, request: GenerateRequest) -> list[_Picture]:
    """Encodes each different prompt with the negative one: a prompt's length then concerns itself only."""
    conds: dict[str, tuple[Cond, Cond]] = {}
    for prompt in request.prompts:
        if prompt not in conds:
            pair = model.encode_prompts([request.negative, prompt], request.clip_skip)
            conds[prompt] = _split(pair, empty=model.family == "sdxl" and not request.negative)
    together = zip(request.prompts, request.seeds, strict=True)
    return [_Picture(index, seed, conds[prompt]) for index, (prompt, seed) in enumerate(together)]


def _split(pair: Cond, *, empty: bool) -> tuple[Cond, Cond]:
    """The two rows apart; SDXL was trained with zeros for no text, as the WebUI and diffusers know."""
    pooled = pair.pooled
    negative = Cond(pair.states[:1], None if pooled is None else pooled[:1])
    positive = Cond(pair.states[1:], None if pooled is None else pooled[1:])
    if empty:
        zeros = None if negative.pooled is None else torch.zeros_like(negative.pooled)
        negative = Cond(torch.zeros_like(negative.states), zeros)
    return negative, positive


def _groups(pictures: Sequence[_Picture], batch: int) -> list[list[_Picture]]:
    """Pictures that can be drawn together: as many states each, and no more than `batch`."""
    by_length = sorted(pictures, key=_num_states)
    groups: list[list[_Picture]] = []
    for _, same in groupby(by_length, key=_num_states):
        members = list(same)
        groups += [members[start : start + batch] for start in range(0, len(members), batch)]
    return groups


def _num_states(picture: _Picture) -> int:
    return picture.conds[1].states.shape[1]


def _draw(
    model: BaseModel, request: GenerateRequest, group: Sequence[_Picture], on_step: OnStep | None
) -> Tensor:
    """One group's pictures, (b, 3, h, w) in [0, 1]."""
    generators = [torch.Generator().manual_seed(picture.seed) for picture in group]
    width, height = request.size
    shape = (_LATENT_CHANNELS, height // _LATENT_FACTOR, width // _LATENT_FACTOR)
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    noise = noise.to(model.device)
    positive = _joined([picture.conds[1] for picture in group])
    guided = request.guidance != 1
    both = _joined([*(picture.conds[0] for picture in group), *(picture.conds[1] for picture in group)])

    def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
        timesteps = timestep.to(noisy.device).expand(len(noisy))
        if not guided:
            return model.predict(noisy, timesteps, positive)
        without, with_prompt = model.predict(noisy.repeat(2, 1, 1, 1), timesteps.repeat(2), both).chunk(2)
        return without + request.guidance * (with_prompt - without)

    sampler = (request.sampler, request.steps)
    *_, drawn = sample(model.schedule, sampler, noise, predict, generators, on_step)
    return (model.decode_latents(drawn) / 2 + 0.5).clamp(0, 1)


def _joined(conds: Sequence[Cond]) -> Cond:
    pooled = [cond.pooled for cond in conds if cond.pooled is not None]
    return Cond(torch.cat([cond.states for cond in conds]), torch.cat(pooled) if pooled else None)
