"""Which extensions are on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Extension:
    """A folder with scripts."""

    path: str


extensions: list[Extension] = []


def active() -> list[Extension]:
    """All that the start has found and that are not disabled."""
    return extensions
