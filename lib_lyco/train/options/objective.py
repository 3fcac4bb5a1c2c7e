"""How the loss is made."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option


@dataclass(frozen=True)
class ObjectiveOptions:
    """How the loss is made."""

    min_snr_gamma: float = option(
        0.0,
        "objective",
        "Damp low-noise timesteps (arXiv 2303.09556); 5 is usual, 0 is off.",
        low=0,
        high=20,
    )
