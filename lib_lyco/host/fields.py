"""What the editor of a card needs of the user interface: `ui.editor` has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

TagCounts = Sequence[tuple[str, int]]
"""Tags of the training set and in how many captions each stands, the most frequent first."""


class Fields(Protocol):
    """The fields beyond those that the WebUI's own editor has."""

    @property
    def edited(self) -> Sequence[Any]:
        """Components: SD version, activation text, preferred weight, negative text, notes."""
        ...

    @property
    def viewed(self) -> Sequence[Any]:
        """All components, in the order of `show`."""
        ...

    def add_left(self) -> None:
        """Adds what stands below the file's table."""
        ...

    def add_below(self) -> None:
        """Adds the others."""
        ...

    def wire(self, name: Any, draw: Callable[[str], str]) -> None:
        """Makes chips and the random prompt work.

        Args:
            name: The component with the card's name.
            draw: A random prompt for a card's name.
        """
        ...

    def show(self, values: Mapping[str, Any], tags: TagCounts, prompt: str) -> list[Any]:
        """What the components show for a card, by the names of `SideFacts`."""
        ...
