"""What a message about a mistake in a tag or a preset is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from lib_lyco.errors import PromptError


def at(error: PromptError, what: str, where: str, remedy: str) -> PromptError:
    """The same mistake, told with its place.

    Args:
        error: From a reader that saw one value only; its `what` is a clause about it.
        what: What cannot be read; the clause follows it.
        where: The tag or line.
        remedy: What to do, after the error's own suggestion.
    """
    return PromptError(
        f"{what}: {error.what}",
        where=where,
        got=error.got,
        expected=error.expected,
        remedy=f"{error.remedy} {remedy}".strip(),
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence with the known words that are most like an unknown one; empty if none is."""
    spelled = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), spelled, n=2)
    return f"Did you mean {' or '.join(spelled[name] for name in close)}?" if close else ""
