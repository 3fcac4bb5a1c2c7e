"""Effects in whole runs: regularisation, weights, prior prediction, turns, several datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lib_lyco.errors import ConfigError
from lib_lyco.train.compose.data import make_source, plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.encoder import ImageEncoder
from lib_lyco.train.data.latent import FreshLatents
from lib_lyco.train.events import Step
from tests.train.conftest import PHOTOGRAPHS
from tests.train.test_resume import stopped_at
from tests.train.test_run import equal, final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def photograph(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(PHOTOGRAPHS / name) as image:
        image.convert("RGB").resize((64, 64)).save(path)


@pytest.fixture
def one_and_reg(tmp_path: Path) -> dict[str, str]:
    """One training image and one regularisation image, of one bucket."""
    photograph(tmp_path / "one" / "1_sks cat" / "a.png", "chelsea.png")
    photograph(tmp_path / "reg" / "1_cat" / "b.png", "astronaut.png")
    return {"images": str(tmp_path / "one"), "reg_images": str(tmp_path / "reg")}


def first_loss(config: TrainConfig) -> float:
    return losses(config)[0]


def losses(config: TrainConfig) -> list[float]:
    return [event.loss for event in run(config) if isinstance(event, Step)]


def test_prior_loss_weight_scales_the_loss_of_regularisation_images(
    make_config: Make, one_and_reg: dict[str, str]
) -> None:
    config = make_config(**one_and_reg, batch_size=2)
    none, half, whole = (first_loss(config.replaced(prior_loss_weight=w)) for w in (0.0, 0.5, 1.0))
    # nothing is trained yet at the first step: (own + w * prior) / 2 is linear in w
    assert none < whole
    assert half == pytest.approx((none + whole) / 2, rel=1e-5)


def test_prior_prediction_asks_nothing_before_anything_is_learnt(
    make_config: Make, one_and_reg: dict[str, str]
) -> None:
    config = make_config(**one_and_reg, batch_size=2, epochs=3)
    without = first_loss(config.replaced(prior_loss_weight=0.0))
    losses = [
        event.loss for event in run(config.replaced(reg_prior_prediction=True)) if isinstance(event, Step)
    ]
    # a network that is still zero predicts what the base model predicts
    assert losses[0] == pytest.approx(without, rel=1e-5)
    pixels = run(config)
    assert losses[1:] != [event.loss for event in pixels if isinstance(event, Step)][1:]


def listed(folder: Path, text: str) -> str:
    path = folder / "dataset.toml"
    path.write_text(text.replace("AT", folder.as_posix()), encoding="utf-8")
    return str(path)


def test_each_subset_has_its_loss_weight(
    make_config: Make, one_and_reg: dict[str, str], tmp_path: Path
) -> None:
    def loss(weight: float) -> float:
        text = f"""
            [[datasets]]
            batch_size = 2
            [[datasets.subsets]]
            image_dir = "AT/one/1_sks cat"
            [[datasets.subsets]]
            image_dir = "AT/reg/1_cat"
            loss_weight = {weight}
        """
        return first_loss(make_config(images="", dataset_config=listed(tmp_path, text)))

    none, twice, whole = loss(0.0), loss(2.0), loss(1.0)
    assert twice - none == pytest.approx(2 * (whole - none), rel=1e-5)


TWO_DATASETS = """
    [[datasets]]
    resolution = 64
    batch_size = 2
    [[datasets.subsets]]
    image_dir = "AT/photographs/2_chelsea cat"
    num_repeats = 3
    [[datasets.subsets]]
    image_dir = "AT/photographs/1_object"
    is_reg = true
    [[datasets]]
    resolution = [96, 64]
    bucket_no_upscale = true
    [[datasets.subsets]]
    image_dir = "AT/photographs/2_chelsea cat"
    repeats = 1.5
    flip_aug = true
    random_crop = true
"""


@pytest.mark.parametrize("workers", [1, 8])
def test_every_image_is_shown_as_planned_with_any_number_of_workers(
    make_config: Make, photographs: Path, tmp_path: Path, workers: int
) -> None:
    config = make_config(images="", dataset_config=listed(tmp_path, TWO_DATASETS), latent_cache="off")
    plan = plan_run(config)
    source = make_source(config, plan)
    encode = ImageEncoder(TinyModel(), torch.float32)
    shown: Counter[str] = Counter()
    for epoch in range(2):
        batches = plan.order.epoch(epoch)
        for batch in batches:
            assert len({plan.placements[sample.image] for sample in batch}) == 1
            shown.update(f"{plan.records[sample.image].path.name} {sample.image}" for sample in batch)
        alone, ahead = (FreshLatents(source, encode, number).batches(batches) for number in (0, workers))
        for one, other in zip(alone, ahead, strict=True):
            assert torch.equal(one.latents, other.latents)
    # in two epochs: first dataset 3 of each cat and 6 of the object, the second 1.5 of each cat
    assert shown == {
        "astronaut.png 0": 6,
        "chelsea.png 1": 6,
        "coffee.png 2": 12,
        "astronaut.png 3": 3,
        "chelsea.png 4": 3,
    }


def test_a_run_of_several_datasets_resumes_to_the_same_file(
    make_config: Make, photographs: Path, tmp_path: Path
) -> None:
    config = make_config(
        images="",
        dataset_config=listed(tmp_path, TWO_DATASETS),
        latent_cache="off",
        epochs=3,
        name="whole",
        scheduler="constant",
        unet_learning_rate=1e-2,
    )
    run(config)
    broken = config.replaced(name="broken", resume="auto")
    stopped_at(broken, 5)
    stopped_at(broken, 11)
    run(broken)
    assert equal(load_file(final_file(config)), load_file(final_file(broken)))


def test_a_resumed_run_must_have_the_same_options_in_every_subset(
    make_config: Make, photographs: Path, tmp_path: Path
) -> None:
    config = make_config(images="", dataset_config=listed(tmp_path, TWO_DATASETS), latent_cache="off")
    stopped_at(config, 1)
    listed(tmp_path, TWO_DATASETS.replace("flip_aug = true", "flip_aug = false"))
    with pytest.raises(ConfigError, match="differs in: images"):
        run(config.replaced(resume="auto"))
    listed(tmp_path, TWO_DATASETS.replace("is_reg = true", "is_reg = true\nloss_weight = 0.5"))
    with pytest.raises(ConfigError, match="differs in: images"):
        run(config.replaced(resume="auto"))
    listed(tmp_path, "# the same\n" + TWO_DATASETS)
    assert stopped_at(config.replaced(resume="auto"), 2)
