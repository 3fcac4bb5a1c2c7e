"""Captions, and what the text encoders make of them."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class SubsetCaptions:
    """What every subset of a dataset_config may set for itself."""

    caption_extension: str = option(
        "",
        "captions",
        "Extension of the caption files, like .txt; empty finds .txt and .caption by itself.",
        free=True,
    )


@dataclass(frozen=True)
class CaptionOptions(SubsetCaptions):
    """Captions, and what the text encoders make of them."""

    clip_skip: int = option(
        1, "captions", "Which text-encoder layer from the last is used.", low=1, high=12
    )

    def check_captions(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.caption_extension and not self.caption_extension.startswith("."):
            raise wrong("caption_extension", self.caption_extension, "an extension with its dot, like .txt")
