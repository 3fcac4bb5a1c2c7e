"""Ways to train that still teach the concept: noise as target, a text encoder that stops, blocks left out.

Declared beforehand: the measure of `test_training`, and its threshold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lib_lyco.apply.wanted import Wanted
from lib_lyco.demo.distance import nearest_distances
from lib_lyco.models.base import BaseModel, Cond, NoiseSchedule, SizeCond
from lib_lyco.network.load import load_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train
from tests.behaviour.test_training import CONCEPT_SEEDS, Ground, ground

__all__ = ["ground"]


class AsNoise:
    """The embedded model, which predicts v, telling the noise: sqrt(abar) v + sqrt(1 - abar) x_t."""

    def __init__(self, model: BaseModel) -> None:
        self._model = model
        self.schedule = NoiseSchedule(model.schedule.alphas_cumprod, "epsilon")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        abar = self.schedule.alphas_cumprod.to(noisy.device)[timesteps].view(-1, 1, 1, 1)
        velocity = self._model.predict(noisy, timesteps, cond, size)
        return abar.sqrt() * velocity + (1 - abar).sqrt() * noisy


def learnt(ground: Ground, model: BaseModel, config: TrainConfig) -> Path:
    """Trains, demands that the concept is drawn, and returns the file."""
    for _ in train(config, model):
        pass
    path = Path(config.output) / f"{config.name}.safetensors"
    count = len(CONCEPT_SEEDS)
    before = nearest_distances(ground.untrained[:count], ground.training)
    after = nearest_distances(ground.draw([Wanted(load_network(path))])[:count], ground.training)
    assert before.mean() - after.mean() > max(0.1, 3 * before.std())
    return path


@pytest.mark.slow
def test_model_of_noise_learns_the_concept(ground: Ground, tmp_path: Path) -> None:
    """All other runs on the embedded model are of v."""
    assert ground.model.schedule.prediction == "v"
    model = cast(BaseModel, AsNoise(ground.model))
    learnt(ground, model, ground.config("lora", tmp_path, v_pred_like_loss=1.0))


@pytest.mark.slow
def test_text_encoder_that_stops_early_leaves_the_rest_to_the_unet(ground: Ground, tmp_path: Path) -> None:
    config = ground.config("lora", tmp_path, te_stop_share=0.25, save_every_n_steps=15)
    final = load_file(learnt(ground, ground.model, config))
    early = load_file(tmp_path / "network-step00000015.safetensors")
    text = [key for key in final if key.startswith("lora_te")]
    assert text
    assert all(torch.equal(early[key], final[key]) for key in text)


@pytest.mark.slow
def test_blocks_with_a_weight_of_zero_are_left_out_and_the_others_learn(
    ground: Ground, tmp_path: Path
) -> None:
    config = ground.config("lora", tmp_path, down_lr_weight="zeros", up_lr_weight="2,2,2,2,2,2")
    keys = load_file(learnt(ground, ground.model, config)).keys()
    assert not [key for key in keys if "lora_unet_down_blocks" in key]
    assert [key for key in keys if "lora_unet_up_blocks" in key]
