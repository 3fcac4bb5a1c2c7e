"""What one dataset, and one subset of it, may have of its own; a dataset_config sets it.

The options that a subset shares with the run are declared once, in the group they belong to: the run's
value is the default of every subset. Whoever reads captions or makes pictures of images takes them
from `ImageRecord.subset`, never from the run.
"""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option
from lib_lyco.train.options.captions import SubsetCaptions
from lib_lyco.train.options.data import DatasetData, SubsetData
from lib_lyco.train.options.images import DatasetImages, SubsetImages
from lib_lyco.train.options.validation import DatasetValidation


@dataclass(frozen=True)
class DatasetOptions(DatasetValidation, DatasetImages, DatasetData):
    """The settings of one dataset: images that share buckets and batches."""


@dataclass(frozen=True)
class SubsetOptions(SubsetImages, SubsetCaptions, SubsetData):
    """The settings of one subset: a folder, or a metadata file, of a dataset."""

    regularisation: bool = option(False, "data", "Whether its images are regularisation images.")
    loss_weight: float = option(1.0, "data", "How much the loss of its images counts.", low=0)
    prior_prediction: bool = option(
        False, "data", "Whether the base model's own predictions are what its images teach."
    )
