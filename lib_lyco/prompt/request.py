"""What one tag asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkRequest:
    """One tag, parsed."""

    name: str
    """As written: a file name without extension, a path below the folder, an alias or a hash."""
    te: float = 1.0
    """Multiplier in the text encoders."""
    unet: float = 1.0
    """Multiplier in the UNet or MMDiT."""
    rank: int | None = None
    """`dyn`: use only the first so many ranks; None means all."""
    tag: str = ""
    """The whole tag as the user wrote it, for messages."""
