"""Folders, a metadata file or a dataset_config become datasets, each subset with its own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.bucket import Bucketing
from lib_lyco.train.data.dataset_config import Table, read_dataset_config
from lib_lyco.train.data.folder import scan_folder
from lib_lyco.train.data.metadata_file import scan_metadata_file
from lib_lyco.train.data.record import Scan, joined
from lib_lyco.train.option import checked, declarations
from lib_lyco.train.options.subset import DatasetOptions, SubsetOptions
from lib_lyco.train.plan import Dataset

_FOLDER_REPEATS, _LISTED_REPEATS = 10.0, 1.0
"""Repeats where nothing says: of folders, and with a metadata file or a dataset_config."""
_Options = TypeVar("_Options", DatasetOptions, SubsetOptions)


def make_datasets(config: TrainConfig) -> tuple[list[Dataset], tuple[str, ...]]:
    """The datasets of a run, and notes on what was left out.

    Raises:
        ConfigError: No images are named, or a value of the dataset_config cannot work.
        DataError: An image, a caption, a folder or a metadata file cannot be used.
    """
    if config.dataset_config:
        return _listed(config)
    if not config.images and not config.metadata_file:
        raise ConfigError(
            "There are no images to train on.", where="images", remedy="Name a folder of images."
        )
    scans = [_scan(subset_options(config))]
    if config.reg_images:
        scans.append(_scan(_reg_options(config)))
    repeats = _LISTED_REPEATS if config.metadata_file else _FOLDER_REPEATS
    return _datasets(config, joined(scans), repeats), joined(scans).notes


def subset_options(config: TrainConfig) -> SubsetOptions:
    """The run's options for folders that have none of their own."""
    return _own(SubsetOptions, config)


def _reg_options(config: TrainConfig) -> SubsetOptions:
    return replace(
        _own(SubsetOptions, config),
        images=config.reg_images,
        metadata_file="",
        mask_folder="",
        class_tokens="",
        samples_per_epoch=None,
        regularisation=True,
        loss_weight=config.prior_loss_weight,
        prior_prediction=config.reg_prior_prediction,
    )


def _scan(options: SubsetOptions, by_name: bool = True) -> Scan:
    if options.metadata_file:
        return scan_metadata_file(Path(options.metadata_file), options)
    return scan_folder(Path(options.images), options, by_name)


def _datasets(config: TrainConfig, scan: Scan, default_repeats: float) -> list[Dataset]:
    """The dataset, and once more for each further resolution."""
    configs = [config, *(config.replaced(resolution=(side, side)) for side in config.extra_resolutions)]
    return [
        Dataset(
            subsets=scan.subsets,
            bucketing=bucketing_of(one),
            batch_size=one.batch_size,
            default_repeats=default_repeats,
            validation_split=one.validation_split,
            validation_seed=one.validation_seed,
        )
        for one in configs
    ]


def bucketing_of(config: TrainConfig) -> Bucketing:
    """The run's buckets."""
    options = _own(DatasetOptions, config)
    return Bucketing(
        resolution=options.resolution,
        enabled=options.buckets,
        smallest=options.bucket_min,
        largest=options.bucket_max,
        step=options.bucket_step,
        upscale=options.bucket_upscale,
    )


def _listed(config: TrainConfig) -> tuple[list[Dataset], tuple[str, ...]]:
    """The datasets of a dataset_config; the run's options hold where it says nothing."""
    run = config.replaced(dataset_config="", prior_loss_weight=1.0, reg_prior_prediction=False)
    datasets: list[Dataset] = []
    notes: list[str] = []
    for table in read_dataset_config(Path(config.dataset_config)):
        own = _replaced(run, table)
        scan = joined(_scan(_subset_options(config, own, one), by_name=False) for one in table.subsets)
        datasets += _datasets(own, scan, _LISTED_REPEATS)
        notes += [*scan.notes, *_twice(scan)]
    return datasets, tuple(notes)


def _subset_options(config: TrainConfig, dataset: TrainConfig, table: Table) -> SubsetOptions:
    shared = _own(SubsetOptions, _replaced(dataset, table))
    alone = {name: value for name, value in table.values.items() if name not in _names(TrainConfig)}
    is_reg = bool(alone.get("regularisation"))
    prior = {"prior_prediction": config.reg_prior_prediction and is_reg}
    options = replace(shared, **(prior | _checked(alone, table)))
    if not is_reg:
        return options
    masks = table.values.get("mask_folder", "")
    return replace(options, mask_folder=masks, loss_weight=options.loss_weight * config.prior_loss_weight)


def _replaced(config: TrainConfig, table: Table) -> TrainConfig:
    """The config with the values of a table; a value that cannot work is told with its place."""
    known = _names(TrainConfig)
    try:
        return config.replaced(**{name: value for name, value in table.values.items() if name in known})
    except ConfigError as error:
        raise table.error(error) from error


def _checked(values: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Values of options that only a subset has."""
    by_name = {declaration.name: declaration for declaration in declarations(SubsetOptions)}
    try:
        return {name: checked(by_name[name], value) for name, value in values.items()}
    except ConfigError as error:
        raise table.error(error) from error


def _own(kind: type[_Options], config: TrainConfig) -> _Options:
    """The run's values of what a dataset or a subset may set for itself."""
    shared = _names(TrainConfig) & _names(kind)
    return kind(**{name: getattr(config, name) for name in shared})


def _names(kind: type[Any]) -> set[str]:
    return {declaration.name for declaration in declarations(kind)}


def _twice(scan: Scan) -> Sequence[str]:
    paths = [subset.path for subset in scan.subsets]
    return [
        f"{path} is named by two subsets of a dataset; each of them shows its images."
        for path in dict.fromkeys(paths)
        if paths.count(path) > 1
    ]
