"""The exception tree: every mistake a user can make, or a file can hold, has a class here.

A message says what happened, where, what was found and what was expected, and what to do next.
`assert` is for our own bugs; these are for everything else.
"""

from __future__ import annotations


class LycoError(Exception):
    """Base of every error meant for a user.

    Args:
        what: One sentence: what went wrong.
        where: The file, key, field or layer it happened at.
        got: What was found there.
        expected: What would have been right.
        remedy: What the user can do next.
    """

    def __init__(
        self, what: str, *, where: str = "", got: str = "", expected: str = "", remedy: str = ""
    ) -> None:
        self.what = what
        self.where = where
        self.got = got
        self.expected = expected
        self.remedy = remedy
        super().__init__(what, where, got, expected, remedy)

    def __str__(self) -> str:
        lines = [self.what]
        for label, text in (
            ("where", self.where),
            ("got", self.got),
            ("expected", self.expected),
            ("to do", self.remedy),
        ):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)


class FileError(LycoError):
    """A file cannot be read or written, or its bytes are not what its name promises."""


class UnsafeFileError(FileError):
    """A file asks for something that a network file may never do (run code, leave its folder)."""


class NetworkFormatError(LycoError):
    """A network file is readable, but what it holds cannot be understood as a whole."""


class AdapterError(LycoError):
    """The tensors of one layer do not form an adapter, or do not fit the layer."""


class PromptError(LycoError):
    """A tag in a prompt cannot be read."""


class NetworkNotFoundError(LycoError):
    """No network file answers to a name."""


class ModelError(LycoError):
    """A base model cannot be loaded or does not have what was asked of it."""


class ConfigError(LycoError):
    """A training option has a value that cannot work; `where` names the field."""


class DataError(LycoError):
    """A training image, caption or folder cannot be used."""


class TrainingError(LycoError):
    """A run cannot go on; what was trained so far is kept."""


class MissingPackageError(LycoError):
    """An optional package is not installed; `remedy` is the one command that installs it."""


def one_line(error: LycoError, where: bool = True) -> str:
    """An error as one line: where, what, details, what to do.

    Args:
        error: The error.
        where: Whether to say the place, too.
    """
    told = {"got": error.got, "expected": error.expected}
    details = "; ".join(f"{label} {text}" for label, text in told.items() if text)
    sentence = f"{error.what.rstrip('.')} ({details})" if details else error.what
    if where and error.where:
        sentence = f"{error.where}: {sentence}"
    if error.remedy:
        sentence = f"{sentence.rstrip('.')}. {error.remedy}"
    return " ".join(sentence.split())
