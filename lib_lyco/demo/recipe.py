"""The demo's settings for each algorithm: chosen so that each learns two photographs within a minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lyco.demo.embedded import SIZE
from lib_lyco.train.config import TrainConfig

DEFAULT_ALGOS = ("lora", "locon", "loha", "lokr", "ia3", "dylora")

NAMES: Mapping[str, str] = {
    "lora": "LoRA on linear layers and 1x1 convolutions",
    "locon": "LoRA on every convolution too",
    "loha": "LoHa: two low-rank products multiplied element by element",
    "lokr": "LoKr: a Kronecker product of two small matrices",
    "ia3": "IA3: one factor for each row or column",
    "dylora": "DyLoRA: every smaller rank is trained along",
    "tlora": "T-LoRA: the noisier, the fewer ranks learn",
    "full": "the whole change of every weight",
    "glora": "GLoRA: a low-rank change that depends on the weight",
    "diag-oft": "Diag-OFT: block-diagonal rotations",
    "boft": "BOFT: rotations as a product of butterflies",
}

LOW_RANK: Mapping[str, Any] = {"rank": 8, "alpha": 8.0, "learning_rate": 2e-3}

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "lora": LOW_RANK,
    "locon": {**LOW_RANK, "learning_rate": 1.5e-3},
    "loha": {**LOW_RANK, "learning_rate": 1.5e-3},
    "lokr": {**LOW_RANK, "factor": 4},
    "ia3": {"learning_rate": 5e-2},
    "dylora": {**LOW_RANK, "block_size": 4},
    "tlora": {**LOW_RANK, "min_rank": 4},
    "full": {"learning_rate": 1e-3},
    "glora": LOW_RANK,
    "diag-oft": {"rank": 8, "learning_rate": 2e-3},
    "boft": {"rank": 8, "learning_rate": 5e-4},
}


@dataclass(frozen=True)
class Length:
    """How long the demo trains: one epoch shows each of the 12 pictures `repeats` times, 8 to a step."""

    epochs: int = 3
    repeats: int = 17

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        return self.epochs * -(-12 * self.repeats // 8)


def demo_config(algo: str, folder: Path, checkpoint: Path, length: Length, seed: int) -> TrainConfig:
    """The run of one algorithm: images in `folder / "images"`, results in `folder / algo`.

    Raises:
        ConfigError: There is no such algorithm.
    """
    return TrainConfig(
        algo=algo,
        images=str(folder / "images"),
        repeats=length.repeats,
        resolution=(SIZE, SIZE),
        buckets=False,
        batch_size=8,
        base_model=str(checkpoint),
        epochs=length.epochs,
        save_every_n_epochs=1,
        overwrite=True,
        warmup_steps=min(10, length.steps),
        seed=seed,
        output=str(folder / algo),
        name=algo,
        comment="Made by lyco demo.",
        **RECIPES.get(algo, {}),
    )
