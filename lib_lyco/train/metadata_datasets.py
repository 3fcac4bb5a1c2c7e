"""What a trained file says about its images: kohya's flat keys, or `ss_datasets`.

sd-scripts (`train_network.py`) writes one dataset of folders or of a metadata file as flat keys; the
datasets of a dataset_config as one JSON list, and only what readers look for beside it, put together. A
run with further resolutions has several datasets, too, and is written in that way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.bucket import Bucketing
from lib_lyco.train.data.record import Subset
from lib_lyco.train.data.showings import shown_repeats
from lib_lyco.train.options.subset import SubsetOptions
from lib_lyco.train.plan import Dataset, Plan


def datasets_metadata(config: TrainConfig, plan: Plan, processes: int) -> dict[str, Any]:
    """The keys about images that depend on how they were named.

    Args:
        config: The run's options.
        plan: Its images.
        processes: How many train together; a dataset's batch is what all of them have of it.
    """
    datasets = [count.dataset for count in plan.datasets]
    if config.dataset_config or len(datasets) > 1:
        told = [_dataset(plan, number, processes) for number in range(len(datasets))]
        subsets = [(subset, one) for one in datasets for subset in one.subsets]
        return {
            "ss_datasets": json.dumps(told),
            "ss_tag_frequency": json.dumps(_merged_frequency(datasets)),
            "ss_dataset_dirs": json.dumps(_dirs(subsets, regularisation=False)),
        }
    (dataset,) = datasets
    return _flat(config, plan, dataset, processes)


def num_train_images(plan: Plan) -> int:
    """Showings of training images in the first epoch."""
    return sum(count.num_samples for count in plan.datasets)


def num_reg_images(plan: Plan) -> int:
    """Regularisation images times their own repeats, before they are filled up or cut (as sd-scripts
    counts them)."""
    return sum(_num_reg(count.dataset) for count in plan.datasets)


def _num_reg(dataset: Dataset) -> int:
    reg = [subset for subset in dataset.subsets if subset.options.regularisation]
    return sum(len(subset.records) * int(shown_repeats(subset, dataset.default_repeats)) for subset in reg)


def _flat(config: TrainConfig, plan: Plan, dataset: Dataset, processes: int) -> dict[str, Any]:
    bucketing = dataset.bucketing
    smallest, largest = _bounds(bucketing)
    subsets = [(subset, dataset) for subset in dataset.subsets]
    batch_size = dataset.batch_size // processes
    return {
        "ss_batch_size_per_device": batch_size,
        "ss_total_batch_size": dataset.batch_size * plan.accumulation,
        "ss_resolution": bucketing.resolution,
        "ss_color_aug": config.color_aug != "off",
        "ss_flip_aug": config.flip,
        "ss_random_crop": config.random_crop,
        "ss_shuffle_caption": config.shuffle_caption,
        "ss_keep_tokens": config.keep_tokens,
        "ss_enable_bucket": bucketing.enabled,
        "ss_bucket_no_upscale": bucketing.enabled and not bucketing.upscale,
        "ss_min_bucket_reso": smallest,
        "ss_max_bucket_reso": largest,
        "ss_bucket_info": json.dumps(_bucket_info(plan, 0)),
        "ss_reg_dataset_dirs": json.dumps(_dirs(subsets, regularisation=True)),
        "ss_dataset_dirs": json.dumps(_dirs(subsets, regularisation=False)),
        "ss_tag_frequency": json.dumps(_frequency(dataset)),
    }


def _dataset(plan: Plan, number: int, processes: int) -> dict[str, Any]:
    count = plan.datasets[number]
    dataset = count.dataset
    smallest, largest = _bounds(dataset.bucketing)
    by_captions = not any(subset.options.metadata_file for subset in dataset.subsets)
    return {
        "is_dreambooth": by_captions,
        "batch_size_per_device": dataset.batch_size // processes,
        "num_train_images": count.num_samples,
        "num_reg_images": _num_reg(dataset),
        "resolution": dataset.bucketing.resolution,
        "enable_bucket": dataset.bucketing.enabled,
        "min_bucket_reso": smallest,
        "max_bucket_reso": largest,
        "tag_frequency": _frequency(dataset),
        "bucket_info": _bucket_info(plan, number),
        "resize_interpolation": None,
        "subsets": [_subset(subset, dataset) for subset in dataset.subsets],
    }


def _subset(subset: Subset, dataset: Dataset) -> dict[str, Any]:
    options = subset.options
    told: dict[str, Any] = {
        "img_count": len(subset.records),
        "num_repeats": _repeats(subset, dataset),
        "color_aug": options.color_aug != "off",
        "flip_aug": options.flip,
        "random_crop": options.random_crop,
        "shuffle_caption": options.shuffle_caption,
        "keep_tokens": options.keep_tokens,
        "keep_tokens_separator": options.keep_tokens_separator,
        "secondary_separator": options.secondary_separator or None,
        "enable_wildcard": options.enable_wildcard,
        "caption_prefix": options.caption_prefix or None,
        "caption_suffix": options.caption_suffix or None,
        "resize_interpolation": interpolation(options),
    }
    if options.metadata_file:
        images = {"image_dir": _last(options.images)} if options.images else {}
        return told | images | {"metadata_file": subset.path.name}
    own = {"class_tokens": options.class_tokens or None, "is_reg": options.regularisation}
    return told | {"image_dir": subset.path.name} | own


def interpolation(options: SubsetOptions | TrainConfig) -> str | None:
    """What sd-scripts is told of how images are resized: its own choice has no name."""
    return None if options.resize_interpolation == "auto" else options.resize_interpolation


def _last(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _bounds(bucketing: Bucketing) -> tuple[int | None, int | None]:
    """Smallest and largest side of a bucket, in its steps; None without buckets."""
    return bucketing.bounds if bucketing.enabled else (None, None)


def _repeats(subset: Subset, dataset: Dataset) -> float:
    repeats = shown_repeats(subset, dataset.default_repeats)
    return int(repeats) if repeats == int(repeats) else repeats


def _dirs(subsets: Sequence[tuple[Subset, Dataset]], regularisation: bool) -> dict[str, dict[str, float]]:
    """By folder, or by metadata file; one that comes again has its number behind its name."""
    found: dict[str, dict[str, float]] = {}
    for subset, dataset in subsets:
        if subset.options.regularisation == regularisation:
            name, number = subset.path.name, 2
            while name in found:
                name = f"{subset.path.name} ({number})"
                number += 1
            found[name] = {"n_repeats": _repeats(subset, dataset), "img_count": len(subset.records)}
    return found


def _frequency(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Per folder: in how many images' captions a comma-separated tag stands."""
    counts: dict[str, Counter[str]] = {}
    for subset in dataset.subsets:
        counter = counts.setdefault(subset.path.name, Counter())
        for record in subset.records:
            tags = (tag.strip().lower() for tag in record.caption.split(","))
            counter.update(tag for tag in tags if tag)
    return {folder: dict(counter) for folder, counter in counts.items()}


def _merged_frequency(datasets: Sequence[Dataset]) -> dict[str, dict[str, int]]:
    """Of all datasets; a folder that several of them have counts once."""
    found: dict[str, dict[str, int]] = {}
    for dataset in datasets:
        found = _frequency(dataset) | found
    return found


def _bucket_info(plan: Plan, number: int) -> dict[str, Any] | None:
    """Buckets of a dataset with their samples, and how far images are from their bucket's aspect, on
    average and without repeats; None without buckets."""
    if not plan.datasets[number].dataset.bucketing.enabled:
        return None
    samples = sorted(
        (size, count) for (pool, size), count in plan.order.samples(0).items() if pool == number
    )
    errors: list[float] = []
    for index in plan.order.pools[number].images:
        bucket, size = plan.placements[index].bucket, plan.records[index].size
        errors.append(abs(bucket[0] / bucket[1] - size[0] / size[1]))
    return {
        "buckets": {
            str(index): {"resolution": list(size), "count": count}
            for index, (size, count) in enumerate(samples)
        },
        "mean_img_ar_error": sum(errors) / len(errors),
    }
