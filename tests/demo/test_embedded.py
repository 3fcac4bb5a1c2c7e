"""The bar of the embedded model, measured on pixels, and what its files promise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lib_lyco.demo import embedded
from lib_lyco.demo.drawing import COLOURS, SHAPES, Scene, caption, draw, plain_scene
from lib_lyco.demo.judge import Verdict, judge
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.generate import GenerateRequest, generate
from lib_lyco.models.load import load_model

COUNT = 100
FIRST_SEED = 5_000_000
"""Noise seeds; training seeds its noise with the step number, far below."""

Drawn = tuple[list[Scene], list[Verdict]]


@pytest.fixture(scope="module")
def model() -> DiffusersModel:
    return load_model(embedded.checkpoint())


def pictures(model: DiffusersModel, prompts: list[str]) -> NDArray[np.uint8]:
    """RGB bytes ``(n, 64, 64, 3)`` as the embedded model is meant to be sampled."""
    request = GenerateRequest(
        prompts=prompts,
        seeds=[FIRST_SEED + i for i in range(len(prompts))],
        steps=embedded.STEPS,
        guidance=embedded.GUIDANCE,
        sampler=embedded.SAMPLER,
        size=(embedded.SIZE, embedded.SIZE),
        batch=50,
    )
    images = generate(model, request)
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def drawn(model: DiffusersModel) -> Drawn:
    rng = np.random.default_rng(505)
    scenes = [plain_scene(rng) for _ in range(COUNT)]
    prompts = [caption(scene, rng) for scene in scenes]
    return scenes, [judge(picture) for picture in pictures(model, prompts)]


def share(drawn: Drawn, right: Callable[[Scene, Verdict], bool]) -> float:
    return float(np.mean([right(scene, verdict) for scene, verdict in zip(*drawn, strict=True)]))


@pytest.mark.slow
def test_named_colour_is_drawn(drawn: Drawn) -> None:
    assert share(drawn, lambda scene, verdict: scene.colour == verdict.colour) >= 0.9


@pytest.mark.slow
def test_named_background_is_drawn(drawn: Drawn) -> None:
    assert share(drawn, lambda scene, verdict: scene.ground == verdict.ground) >= 0.9


@pytest.mark.slow
def test_named_shape_is_drawn(drawn: Drawn) -> None:
    assert share(drawn, lambda scene, verdict: scene.shape == verdict.shape) >= 0.8


@pytest.mark.slow
def test_wrong_prompt_scores_at_chance(drawn: Drawn) -> None:
    scenes, verdicts = drawn
    shares: list[tuple[float, float]] = []
    for shift in range(1, COUNT):
        other = (scenes[shift:] + scenes[:shift], verdicts)
        colour = share(other, lambda scene, verdict: scene.colour == verdict.colour)
        shares.append((colour, share(other, lambda scene, verdict: scene.shape == verdict.shape)))
    colour, shape = np.mean(shares, axis=0)
    assert abs(colour - 1 / len(COLOURS)) < 0.04
    assert abs(shape - 1 / len(SHAPES)) < 0.04


def test_file_keeps_its_budget() -> None:
    assert embedded.checkpoint().stat().st_size <= 16_000_000


def test_configuration_lies_beside_the_file() -> None:
    assert embedded.config() == embedded.checkpoint().with_suffix(".yaml")
    assert embedded.config().is_file()


def test_model_predicts_v_with_unit_latents(model: DiffusersModel) -> None:
    assert (model.family, model.schedule.prediction) == ("sd1", "v")
    rng = np.random.default_rng(6)
    shown = np.stack([draw(plain_scene(rng), rng) for _ in range(32)])
    images = torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        latents = model.encode_images(images)
        back = model.decode_latents(latents)
    assert 0.7 < float(latents.std()) < 1.4
    assert float(((back - images) ** 2).mean()) < 4 * 10 ** (-22 / 10)


def test_text_encoder_output_has_a_mean_for_emphasis_to_keep(model: DiffusersModel) -> None:
    with torch.no_grad():
        states = model.encode_prompts(["a red circle on a blue background", ""]).states
    assert float(states.mean().abs()) > 0.01


def test_missing_file_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "__file__", str(tmp_path / "embedded.py"))
    with pytest.raises(FileNotFoundError, match="MODEL_CARD"):
        embedded.checkpoint()
