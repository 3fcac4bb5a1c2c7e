"""The loss on images that are not trained on, always with the same noise at the same timesteps.

So it shows what the network has learnt and nothing of chance: it falls while the network learns what the
images have in common, and rises when it learns the training images by heart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from lib_lyco.train.data.order import Sample
from lib_lyco.train.noise import TimestepSettings
from lib_lyco.train.objective import Objective
from lib_lyco.train.save_rules import Every
from lib_lyco.train.seed import derived_generator
from lib_lyco.train.step import Material, make_batch
from lib_lyco.train.world import World

_NUM_TIMESTEPS = 4


@dataclass(frozen=True)
class Validation:
    """What is validated with, and when."""

    images: Material
    """The run's, but for plan, images and captions."""
    every: Every
    seed: int
    batch_size: int
    max_batches: int | None = None

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Encodes the images; yields (done, total)."""
        return self.images.latents.prepare()

    @torch.no_grad()
    def loss(self, run: Material, world: World) -> float:
        """The mean squared error, over images and timesteps alike, in the run's present precision.

        Args:
            run: Whose precision and noise schedule count: the run as it is now.
            world: The processes that share the work.
        """
        images = replace(self.images, precision=run.precision)
        batches = list(self.batches())[: self.max_batches]
        mine = world.share(batches)
        total = 0.0
        for samples, encoded in zip(mine, images.latents.batches(mine), strict=True):
            with images.precision.context():
                batch = make_batch(images, samples, encoded, images.plan.total_steps)
                for timestep in self.timesteps():
                    only = TimestepSettings(first=timestep, end=timestep + 1)
                    objective = Objective(timesteps=only, schedule=run.objective.schedule)
                    generators = [
                        derived_generator("validation", self.seed, sample.image, timestep)
                        for sample in samples
                    ]
                    batch_losses = objective.losses(images.model, batch, generators)
                    total += float(batch_losses.sum())
        (total,) = world.sums(total)
        return total / (sum(len(batch) for batch in batches) * _NUM_TIMESTEPS)

    def timesteps(self) -> list[int]:
        """Evenly spread: a fifth, two fifths, ... of all, as in sd-scripts."""
        total = len(self.images.model.schedule.alphas_cumprod)
        return [total * (index + 1) // (_NUM_TIMESTEPS + 1) for index in range(_NUM_TIMESTEPS)]

    def batches(self) -> Iterator[tuple[Sample, ...]]:
        """Every image once, with others of its size."""
        sizes = [placement.bucket for placement in self.images.plan.placements]
        for size in sorted(set(sizes)):
            same = [Sample(image, 0, 0) for image, own in enumerate(sizes) if own == size]
            for start in range(0, len(same), self.batch_size):
                yield tuple(same[start : start + self.batch_size])
