"""What one tag asks for."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.prompt.block_weights import BlockWeights
from lib_lyco.prompt.schedule import Schedule

ONE = Schedule.constant(1.0)


@dataclass(frozen=True)
class NetworkRequest:
    """One tag, parsed."""

    name: str
    """As written: a file name without extension, a path below the folder, an alias or a hash."""
    te: Schedule = ONE
    """Multiplier in the text encoders. They run once before a pass: its first value counts."""
    unet: Schedule = ONE
    """Multiplier in the UNet or MMDiT."""
    rank: int | None = None
    """`dyn`: use only the first so many ranks; None means all."""
    blocks: BlockWeights | None = None
    """What multiplies both in each block and layer; None means 1 everywhere."""
    hr_te: Schedule | None = None
    """`te` in the second pass of Hires fix; None means the same as in the first."""
    hr_unet: Schedule | None = None
    """`unet` in the second pass of Hires fix; None means the same as in the first."""
    tag: str = ""
    """The whole tag as the user wrote it, for messages."""

    def strengths(self, hires: bool) -> tuple[Schedule, Schedule]:
        """The multipliers of text encoders and UNet in a pass."""
        if not hires:
            return self.te, self.unet
        return self.hr_te or self.te, self.hr_unet or self.unet
