"""A prompt with tags on a model without a host: finds the files, applies them, keeps what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Report, Wanted
from lib_lyco.catalog.find import find_network
from lib_lyco.errors import LycoError
from lib_lyco.network.cache import NetworkCache
from lib_lyco.prompt.tags import ParsedPrompt


@dataclass(frozen=True)
class Applied:
    """What became of a prompt's tags."""

    report: Report
    errors: tuple[LycoError, ...]
    """Of tags that cannot be read, or whose network cannot be found or read; the others are applied."""


def apply_tags(
    session: Session, prompt: ParsedPrompt, folders: Sequence[Path], cache: NetworkCache
) -> Applied:
    """Makes the networks of a prompt's tags the ones applied. One bad tag disables no other."""
    wanted: list[Wanted] = []
    errors: list[LycoError] = list(prompt.problems)
    for request in prompt.requests:
        try:
            network = cache.load(find_network(request.name, folders))
        except LycoError as error:
            errors.append(error)
        else:
            wanted.append(Wanted(network, te=request.te.first, unet=request.unet.first, rank=request.rank))
    return Applied(session.apply(wanted), tuple(errors))
