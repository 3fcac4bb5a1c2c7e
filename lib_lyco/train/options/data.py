"""What to train on: folders of images and how an epoch goes through them."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class DatasetData:
    """What every dataset of a dataset_config may set for itself."""

    batch_size: int = option(1, "data", "Images per micro-batch, all of one bucket.", low=1)
    extra_resolutions: tuple[int, ...] = option(
        (),
        "data",
        "Sides of squares with further areas to train at: every image is shown at each of them too, so "
        "an epoch becomes that much longer.",
        low=16,
        multiple_of=8,
    )


@dataclass(frozen=True)
class SubsetData:
    """What every subset of a dataset_config may set for itself."""

    images: str = option(
        "",
        "data",
        "Folder of images: any folder, a folder 10_name (10 repeats, caption name), or a parent of such "
        "folders; folders below those are not looked into.",
        free=True,
    )
    metadata_file: str = option(
        "",
        "data",
        "JSON or JSONL file with captions and tags by image, in place of caption files; images is the "
        "folder that its names are in.",
        free=True,
    )
    repeats: float | None = option(
        None,
        "data",
        "How often an epoch shows each image of a folder without a number in front of its name; 0.5 shows "
        "half of them by turns. Unset: 10, but 1 with metadata_file or dataset_config, as in sd-scripts.",
        low=0.001,
        free=True,
    )
    samples_per_epoch: int | None = option(
        None,
        "data",
        "How many images an epoch shows of each folder, by turns, whatever its repeats and size are: "
        "balances large and small folders.",
        low=1,
        free=True,
    )
    class_tokens: str = option(
        "",
        "data",
        "Caption of images without a caption of their own and without a folder's name to take it from.",
        free=True,
    )

    def check_subset_data(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.repeats is not None and self.samples_per_epoch is not None:
            raise wrong("repeats", self.repeats, "nothing, because samples_per_epoch is set")


@dataclass(frozen=True)
class DataOptions(SubsetData, DatasetData):
    """What to train on: folders of images and how an epoch goes through them."""

    reg_images: str = option(
        "",
        "data",
        "Folder of regularisation images: of the class, without the subject. An epoch shows as many of "
        "them as of the others and so is twice as long.",
        free=True,
    )
    prior_loss_weight: float = option(
        1.0, "data", "How much the loss of a regularisation image counts.", low=0
    )
    reg_prior_prediction: bool = option(
        False,
        "data",
        "Teach for regularisation images what the base model itself makes of them, not their pixels.",
    )
    dataset_config: str = option(
        "",
        "data",
        "TOML or JSON file with [general], [[datasets]] and [[datasets.subsets]], as sd-scripts reads it; "
        "its values come before these options.",
        free=True,
    )

    def check_data(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        self.check_subset_data()
        if self.dataset_config:
            for name in ("images", "metadata_file", "reg_images"):
                if getattr(self, name):
                    raise wrong(
                        name,
                        getattr(self, name),
                        "nothing, because dataset_config is set",
                        "Name it there, or leave dataset_config away.",
                    )
        elif not self.reg_images:
            if self.prior_loss_weight != 1:
                raise wrong("prior_loss_weight", self.prior_loss_weight, "1 without regularisation images")
            if self.reg_prior_prediction:
                raise wrong("reg_prior_prediction", True, "false without regularisation images")
