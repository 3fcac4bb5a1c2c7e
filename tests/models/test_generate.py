"""Pictures: the same as diffusers' pipelines draw from the same weights, and each for itself."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from PIL import Image
from torch import Tensor

from lib_lyco.errors import FileError, ModelError
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.generate import GenerateRequest, generate
from lib_lyco.models.png import parameters_text, save_png

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")

REQUEST = GenerateRequest(
    prompts=("a cat", "a dog in the snow"),
    seeds=(1, 2),
    negative="blurry",
    steps=3,
    guidance=5,
    sampler="Euler",
    size=(64, 48),
)


def noise_of(seeds: tuple[int, ...]) -> Tensor:
    """What the seeds stand for: one generator on the CPU for each picture."""
    return torch.stack([torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(s)) for s in seeds])


def euler(prediction: str) -> EulerDiscreteScheduler:
    """As the published models' scheduler_config.json."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        steps_offset=1,
    )


@pytest.mark.parametrize("family", ["sd1", "sd2"])
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_pictures_are_those_of_the_pipeline_of_diffusers(
    family: str, guidance: float, models: dict[str, DiffusersModel]
) -> None:
    model = models[family]
    unet: Any = model.component("unet")
    unet.register_to_config(sample_size=8)  # older pipelines compare it, also where the size is given
    pipeline: Any = StableDiffusionPipeline(
        vae=model.vae,  # pyright: ignore[reportArgumentType]
        text_encoder=None,  # pyright: ignore[reportArgumentType]
        tokenizer=None,  # pyright: ignore[reportArgumentType]
        unet=unet,
        scheduler=euler("v_prediction" if family == "sd2" else "epsilon"),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        expected = pipeline(
            prompt_embeds=model.encode_prompts(REQUEST.prompts).states,
            negative_prompt_embeds=model.encode_prompts(["blurry"] * 2).states,
            latents=noise_of((1, 2)),
            height=48,
            width=64,
            num_inference_steps=3,
            guidance_scale=guidance,
            output_type="pt",
        ).images
    ours = generate(model, replace(REQUEST, guidance=guidance))
    assert ours.shape == (2, 3, 48, 64)
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("negative", ["", "blurry"])
def test_sdxl_pictures_are_those_of_the_pipeline_of_diffusers(
    negative: str, models: dict[str, DiffusersModel]
) -> None:
    model = models["sdxl"]
    pipeline: Any = StableDiffusionXLPipeline(
        vae=model.vae,  # pyright: ignore[reportArgumentType]
        text_encoder=None,  # pyright: ignore[reportArgumentType]
        text_encoder_2=model.component("te2"),  # pyright: ignore[reportArgumentType]
        tokenizer=None,  # pyright: ignore[reportArgumentType]
        tokenizer_2=None,  # pyright: ignore[reportArgumentType]
        unet=model.component("unet"),  # pyright: ignore[reportArgumentType]
        scheduler=euler("epsilon"),  # pyright: ignore[reportArgumentType]
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        cond = model.encode_prompts(REQUEST.prompts)
        other = model.encode_prompts([negative] * 2)
        assert cond.pooled is not None and other.pooled is not None
        keep = 1.0 if negative else 0.0  # the pipeline's force_zeros_for_empty_prompt
        expected = pipeline(
            prompt_embeds=cond.states,
            pooled_prompt_embeds=cond.pooled,
            negative_prompt_embeds=other.states * keep,
            negative_pooled_prompt_embeds=other.pooled * keep,
            latents=noise_of((1, 2)),
            height=48,
            width=64,
            num_inference_steps=3,
            guidance_scale=5,
            output_type="pt",
        ).images
    ours = generate(model, replace(REQUEST, negative=negative))
    torch.testing.assert_close(ours, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M"])
def test_picture_depends_on_its_own_seed_and_prompt_only(
    sampler: str, models: dict[str, DiffusersModel]
) -> None:
    model = models["sd1"]
    long = "a very long prompt " * 30
    many = GenerateRequest(
        prompts=("a cat", long, "a dog", "a cat"),
        seeds=(1, 2, 3, 4),
        steps=3,
        sampler=sampler,
        size=(64, 48),
    )
    together = generate(model, many)
    for index, (prompt, seed) in enumerate(zip(many.prompts, many.seeds, strict=True)):
        alone = generate(model, replace(many, prompts=[prompt], seeds=[seed], batch=1))
        torch.testing.assert_close(together[index], alone[0], rtol=0, atol=1e-4)
    assert float((together[0] - together[3]).abs().mean()) > 0.01, "another seed is another picture"


def test_same_request_gives_the_same_bits(models: dict[str, DiffusersModel]) -> None:
    before = torch.get_rng_state()
    assert torch.equal(generate(models["sd1"], REQUEST), generate(models["sd1"], REQUEST))
    assert torch.equal(torch.get_rng_state(), before), "nobody else's randomness is touched"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "Euler b"}, "no such sampler"),
        ({"size": (64, 50)}, "multiples of 8"),
        ({"seeds": (1,)}, "one seed for each prompt"),
        ({"prompts": (), "seeds": ()}, "no prompt"),
        ({"steps": 0}, "0 steps"),
        ({"batch": 0}, "batches of 0"),
    ],
)
def test_impossible_request_says_what_is_wrong(
    change: dict[str, Any], message: str, models: dict[str, DiffusersModel]
) -> None:
    with pytest.raises(ModelError, match=message):
        generate(models["sd1"], replace(REQUEST, **change))


def test_png_carries_its_parameters_and_its_pixels(tmp_path: Path) -> None:
    image = torch.zeros(3, 2, 4)
    image[0], image[1, 0, 0], image[2, 1, 3] = 1.0, 0.5, 2.0
    text = parameters_text(replace(REQUEST, clip_skip=2), 1, "tiny")
    assert text == (
        "a dog in the snow\n"
        "Negative prompt: blurry\n"
        "Steps: 3, Sampler: Euler, CFG scale: 5, Seed: 2, Size: 64x48, Model: tiny, Clip skip: 2"
    )
    path = tmp_path / "picture.png"
    save_png(path, image, text)
    with Image.open(path) as loaded:
        assert loaded.size == (4, 2)
        assert loaded.info["parameters"] == text
        assert loaded.getpixel((0, 0)) == (255, math.ceil(127.5), 0)
        assert loaded.getpixel((3, 1)) == (255, 0, 255)


def test_png_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        save_png(tmp_path / "absent" / "picture.png", torch.zeros(3, 8, 8))
