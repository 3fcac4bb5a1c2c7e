"""`TrainConfig`: the one declaration of every training option.

Form, TOML, command-line flags and documentation derive from it; the options themselves stand in
`options`, a file for each group. A config is checked when it is made, so whoever holds one may rely on
it; only `compose` and `run` read it, the parts of the machinery take values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_lyco.train.option import checked, declarations, unknown
from lib_lyco.train.options.captions import CaptionOptions
from lib_lyco.train.options.data import DataOptions
from lib_lyco.train.options.description import DescriptionOptions
from lib_lyco.train.options.failures import FailureOptions
from lib_lyco.train.options.images import ImageOptions
from lib_lyco.train.options.logging import LoggingOptions
from lib_lyco.train.options.model import ModelOptions
from lib_lyco.train.options.network import NetworkOptions
from lib_lyco.train.options.objective import ObjectiveOptions
from lib_lyco.train.options.optimisation import OptimisationOptions
from lib_lyco.train.options.previews import PreviewOptions
from lib_lyco.train.options.saving import SavingOptions
from lib_lyco.train.options.validation import ValidationOptions


@dataclass(frozen=True)
class TrainConfig(  # a dataclass takes the fields of its last base first
    DescriptionOptions,
    FailureOptions,
    ValidationOptions,
    PreviewOptions,
    LoggingOptions,
    SavingOptions,
    OptimisationOptions,
    ObjectiveOptions,
    NetworkOptions,
    ModelOptions,
    ImageOptions,
    CaptionOptions,
    DataOptions,
):
    """All options of one training run.

    Raises:
        ConfigError: A value is of the wrong type, out of bounds, or contradicts another; `where`
            names the field.
    """

    def __post_init__(self) -> None:
        for declaration in declarations(type(self)):
            value = checked(declaration, getattr(self, declaration.name))
            object.__setattr__(self, declaration.name, value)
        self.check_captions()
        self.check_data()
        self.check_description()
        self.check_images()
        self.check_model()
        self.check_network()
        self.check_objective(bool(self.mask_folder or self.alpha_mask or self.dataset_config))
        self.check_optimisation(self.algo)
        self.check_logging()
        self.check_previews()
        self.check_saving()
        self.check_validation(self.dataset_config)

    def replaced(self, **values: Any) -> TrainConfig:
        """A copy with other values, checked as a whole.

        Raises:
            ConfigError: A name is unknown or a value cannot work.
        """
        _refuse_unknown(values)
        return dataclasses.replace(self, **values)


def make_config(values: Mapping[str, Any]) -> TrainConfig:
    """A config from plain values by option name; the rest keeps its default.

    Raises:
        ConfigError: A name is unknown (the nearest known one is told) or a value cannot work.
    """
    _refuse_unknown(values)
    return TrainConfig(**values)


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    known = [declaration.name for declaration in declarations(TrainConfig)]
    for name in values:
        if name not in known:
            raise unknown(name, known)
