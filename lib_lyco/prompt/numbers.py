"""Numbers in tags."""

from __future__ import annotations

import math
import re

from lib_lyco.errors import PromptError


def is_number(text: str) -> bool:
    """Whether somebody meant a number, be it one without use such as `nan`."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_number(text: str) -> float:
    """A finite number.

    Raises:
        PromptError: It is none; `where` is left to the caller, who knows the tag.
    """
    if not is_number(text) or not math.isfinite(float(text)):
        raise PromptError("it is no number", got=repr(text), expected="a number, such as 0.8")
    return float(text)


def read_count(text: str) -> int:
    """A whole number from 0 on, of at most nine digits: more is no count of anything here.

    Raises:
        PromptError: It is none; `where` is left to the caller, who knows the tag.
    """
    if re.fullmatch("[0-9]{1,9}", text) is None:
        raise PromptError("it is no count", got=repr(text), expected="a whole number, such as 8")
    return int(text)
