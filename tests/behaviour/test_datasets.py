"""Two subjects of one `dataset_config`, each with its own resolution and repeats, are both learnt.

Declared beforehand: the pictures of each subject's prompt come nearer to its photographs by the threshold
of `test_training`, and are nearer to them than to the other's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.demo import embedded
from lib_lyco.demo.concepts import ASTRONAUT, CAT, CONCEPTS, write_training_folder
from lib_lyco.demo.distance import Pixels, nearest_distances
from lib_lyco.models.generate import GenerateRequest, generate
from lib_lyco.network.load import load_network
from lib_lyco.train.events import Started
from lib_lyco.train.run import train
from tests.behaviour.test_training import Ground, ground

__all__ = ["ground"]

SEEDS = (11, 12, 13, 14)


def pictures_of(ground: Ground, prompt: str, seeds: Sequence[int], wanted: Sequence[Wanted] = ()) -> Pixels:
    request = GenerateRequest(
        prompts=[prompt] * len(seeds),
        seeds=tuple(seeds),
        sampler=embedded.SAMPLER,
        steps=embedded.STEPS,
        guidance=embedded.GUIDANCE,
        size=(embedded.SIZE, embedded.SIZE),
    )
    with Session(ground.model.targets()) as session:
        session.apply(wanted)
        drawn = generate(ground.model, request)
    return (drawn.permute(0, 2, 3, 1) * 255).round().byte().numpy()


@pytest.mark.slow
def test_subjects_of_two_datasets_are_both_learnt(ground: Ground, tmp_path: Path) -> None:
    files = write_training_folder(tmp_path / "images", CONCEPTS, size=embedded.SIZE)
    shown = {
        concept.name: np.stack(
            [np.asarray(Image.open(file)) for file in files if concept.name in file.name]
        )
        for concept in CONCEPTS
    }
    datasets = [
        {
            "resolution": side,
            "subsets": [{"image_dir": str(tmp_path / "images" / name), "num_repeats": repeats}],
        }
        for name, side, repeats in (("cat", embedded.SIZE, 2), ("astronaut", embedded.SIZE * 3 // 4, 3))
    ]
    path = tmp_path / "datasets.json"
    path.write_text(json.dumps({"datasets": datasets}), encoding="utf-8")
    config = ground.config("lora", tmp_path, images="", dataset_config=str(path), max_steps=100)
    for event in train(config, ground.model):
        if isinstance(event, Started):
            assert event.plan.samples_per_epoch == 6 * 2 + 6 * 3
    wanted = [Wanted(load_network(tmp_path / "network.safetensors"))]
    for concept, other in ((CAT, ASTRONAUT), (ASTRONAUT, CAT)):
        untrained, trained = (pictures_of(ground, concept.caption, SEEDS, one) for one in ((), wanted))
        own = nearest_distances(trained, shown[concept.name])
        before = nearest_distances(untrained, shown[concept.name])
        assert before.mean() - own.mean() > 0.1, concept.name
        assert (own < nearest_distances(trained, shown[other.name])).all(), concept.name
