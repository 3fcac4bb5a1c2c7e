"""The tags in a prompt: found, taken out and parsed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lib_lyco.errors import PromptError
from lib_lyco.prompt.options import DYN, TE, UNET, read_options
from lib_lyco.prompt.request import ONE, NetworkRequest
from lib_lyco.prompt.schedule import Schedule

KINDS = ("lora", "lyco")
"""The words before the first colon that are ours; both mean the same."""

_TAG = re.compile(r"<(\w+):([^>]+)>")
"""The host's own expression (`modules/extra_networks.py`): no `:`, `>` or quoting inside."""


@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt, taken apart."""

    text: str
    """The prompt without our tags; everything else as it was, tags of other kinds included."""
    requests: tuple[NetworkRequest, ...]
    """In the order of their tags. The same network twice is two requests, which add up."""
    problems: tuple[PromptError, ...] = ()
    """One for each tag that cannot be read; such a tag asks for nothing."""


def parse_prompt(text: str, kinds: Sequence[str] = KINDS) -> ParsedPrompt:
    """Takes the tags out of a prompt. Raises nothing: a mistake in a tag becomes a problem."""
    requests: list[NetworkRequest] = []
    problems: list[PromptError] = []

    def take(match: re.Match[str]) -> str:
        if match[1] not in kinds:
            return match[0]
        try:
            requests.append(parse_request(match[2].split(":"), match[0]))
        except PromptError as problem:
            problems.append(problem)
        return ""

    return ParsedPrompt(_TAG.sub(take, text), tuple(requests), tuple(problems))


def parse_request(items: Sequence[str], tag: str) -> NetworkRequest:
    """Understands one tag that is already split at its colons, as the host hands it over.

    Args:
        items: The name, then the options.
        tag: The whole tag, for messages.

    Raises:
        PromptError: There is no name, or an option cannot be read.
    """
    name = items[0].strip() if items else ""
    if not name:
        raise PromptError("A tag names no network", where=tag, expected="<lora:name> or <lora:name:0.8>")
    values = read_options(items[1:], tag)
    te, rank = values.get(TE.name, ONE), values.get(DYN.name)
    unet = values.get(UNET.name, te)
    assert isinstance(te, Schedule) and isinstance(unet, Schedule) and not isinstance(rank, Schedule)
    return NetworkRequest(name=name, te=te, unet=unet, rank=rank, tag=tag)
