"""What a file says about itself."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class DescriptionOptions:
    """What a file says about itself."""

    comment: str = option(
        "", "description", "Text kept in the file's metadata (ss_training_comment).", free=True
    )
    metadata: bool = option(
        True,
        "description",
        "Tell in the file how it was trained; without, it has only what is needed to load it, and hashes.",
        free=True,
    )
    metadata_title: str = option(
        "", "description", "Title in the file's metadata; empty is the file's name.", free=True
    )
    metadata_author: str = option("", "description", "Author in the file's metadata.", free=True)
    metadata_description: str = option("", "description", "Description in the file's metadata.", free=True)
    metadata_license: str = option("", "description", "License in the file's metadata.", free=True)
    metadata_tags: str = option(
        "", "description", "Tags in the file's metadata, separated by commas.", free=True
    )

    def check_description(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.metadata:
            return
        names = (
            "comment",
            *(f"metadata_{part}" for part in ("title", "author", "description", "license", "tags")),
        )
        for name in names:
            if getattr(self, name):
                raise wrong(
                    name, getattr(self, name), "nothing where metadata is false", "Leave one of them out."
                )
