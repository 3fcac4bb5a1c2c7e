"""What to train on: folders of images and how an epoch goes through them."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option


@dataclass(frozen=True)
class DatasetData:
    """What every dataset of a dataset_config may set for itself."""

    batch_size: int = option(1, "data", "Images per micro-batch, all of one bucket.", low=1)


@dataclass(frozen=True)
class SubsetData:
    """What every subset of a dataset_config may set for itself."""

    repeats: int = option(
        10,
        "data",
        "How often an epoch shows each image of a folder without a number in front of its name.",
        low=1,
        free=True,
    )


@dataclass(frozen=True)
class DataOptions(SubsetData, DatasetData):
    """What to train on: folders of images and how an epoch goes through them."""

    images: str = option(
        "",
        "data",
        "Folder of images: any folder, a folder 10_name, or a parent of such folders.",
        free=True,
    )
