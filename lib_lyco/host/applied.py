"""What the last activation did."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.apply.outcome import TagOutcome
from lib_lyco.errors import LycoError
from lib_lyco.network.network import Network
from lib_lyco.prompt.request import NetworkRequest


@dataclass(frozen=True)
class AppliedState:
    """What the last activation did, for the API and whoever reports. Replaced whole, never changed."""

    serial: int = 0
    """Another one for each activation."""
    model: str = ""
    """Title of the checkpoint."""
    hires: bool = False
    """Whether it was for the second pass of hires fix."""
    requested: tuple[tuple[NetworkRequest, Network], ...] = ()
    """The tags whose network was found, in their order."""
    tags: tuple[TagOutcome, ...] = ()
    """The same, with what became of each."""
    errors: tuple[LycoError, ...] = ()
    """Of the tags that ask for nothing: unreadable, not found, or their file is bad."""
    lines: tuple[str, ...] = ()
    """One per network: what was applied."""
    problems: tuple[str, ...] = ()
    """All that went wrong, for people."""
    touched: int = 0
    """Parameters that were given another value, and layers whose hook changed."""
    backup_bytes: int = 0
    """Memory held by the originals of what is merged."""
    parked_bytes: int = 0
    """Memory held by merged weights kept for later."""
