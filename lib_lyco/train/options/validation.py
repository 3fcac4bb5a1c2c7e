"""The loss on images that are not trained on."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class DatasetValidation:
    """What every dataset of a dataset_config may set for itself."""

    validation_split: float = option(
        0.0, "validation", "Share of each subset's images that is held out; 0 is off.", low=0, high=0.9
    )
    validation_seed: int = option(
        0, "validation", "Decides which images are held out, and their noise.", low=0, high=2**63 - 1
    )


@dataclass(frozen=True)
class ValidationOptions(DatasetValidation):
    """The loss on images that are not trained on."""

    validation_images: str = option(
        "", "validation", "Folder of images to validate with, instead of a share.", free=True
    )
    validate_every_n_steps: int = option(
        0, "validation", "Validate after every so many steps; 0 is off.", low=0, free=True
    )
    validate_every_n_epochs: int = option(
        0,
        "validation",
        "Validate after every so many epochs; 0 is every one, unless validate_every_n_steps is set.",
        low=0,
        free=True,
    )
    max_validation_steps: int | None = option(
        None, "validation", "Batches of images looked at; unset is all.", low=1, free=True
    )

    def check_validation(self, dataset_config: str) -> None:
        """Refuses values that contradict each other.

        Args:
            dataset_config: The option; its datasets may have shares of their own.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.validation_split and self.validation_images:
            raise wrong("validation_images", self.validation_images, "nothing beside validation_split")
        if self.validation_split or self.validation_images or dataset_config:
            return
        for name in ("validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps"):
            if getattr(self, name):
                expected = "nothing without validation_split or validation_images"
                raise wrong(name, getattr(self, name), expected, "Set one of them too.")
