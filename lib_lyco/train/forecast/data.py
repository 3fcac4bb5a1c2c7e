"""Images, buckets and steps, out of a run's plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from lib_lyco.train.data.bucket import Size
from lib_lyco.train.forecast.content import BucketLine, DataForecast, ImageLine
from lib_lyco.train.plan import Plan


def forecast_data(plan: Plan) -> DataForecast:
    """What a plan shows of each image, and the sum that leads to its steps."""
    return DataForecast(
        images=_images(plan),
        buckets=_buckets(plan),
        batches_per_epoch=plan.order.num_batches(0),
        accumulation=plan.accumulation,
        steps_per_epoch=plan.steps_per_epoch,
        epochs=plan.epochs,
        total_steps=plan.total_steps,
        sum=str(plan),
    )


def _images(plan: Plan) -> list[ImageLine]:
    by_turns = _turns(plan)
    lines: list[ImageLine] = []
    for number, pool in enumerate(plan.order.pools, 1):
        for index in pool.images:
            record, placement = plan.records[index], plan.placements[index]
            lines.append(
                ImageLine(
                    path=str(record.path),
                    dataset=number,
                    size=record.size,
                    bucket=placement.bucket,
                    crop=placement.margin,
                    repeats=plan.order.repeats[index] + by_turns.get(index, 0.0),
                    caption_source=record.caption_source,
                    caption=record.caption,
                    regularisation=record.subset.regularisation,
                    transparent=record.transparent,
                )
            )
    return lines


def _turns(plan: Plan) -> Mapping[int, float]:
    """The share of an extra showing that each image has in an epoch."""
    return {image: turn.shown / len(turn.images) for turn in plan.order.turns for image in turn.images}


def _buckets(plan: Plan) -> list[BucketLine]:
    images: Counter[tuple[int, Size]] = Counter()
    for number, pool in enumerate(plan.order.pools):
        images.update((number, plan.order.buckets[image]) for image in pool.images)
    lines: list[BucketLine] = []
    for (number, size), samples in plan.order.samples(0).items():
        batch_size = plan.order.pools[number].batch_size
        lines.append(
            BucketLine(
                dataset=number + 1,
                size=size,
                images=images[number, size],
                samples=samples,
                batches=-(-samples // batch_size),
                smallest_batch=samples % batch_size or batch_size,
            )
        )
    return lines
