"""lycoris-lora as an oracle: what its modules do in training, that is in `forward`.

Its `get_diff_weight` and merges are not used where they are wrong (LoHa and LoKr apply the scale
twice there), and its file loading is not used at all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.layers import LayerCase, noise


def fill(module: Any, seed: int = 7, scale: float = 0.3) -> dict[str, Tensor]:
    """Gives every trainable tensor of a lycoris module noise; returns what it would save."""
    for index, parameter in enumerate(module.parameters()):
        parameter.data.copy_(noise(*parameter.shape, seed=seed + index, scale=scale))
    return saved(module)


def saved(module: Any) -> dict[str, Tensor]:
    """The parts a lycoris module writes to a file."""
    return {part: tensor.detach().clone() for part, tensor in module.state_dict().items()}


def change(module: Any, case: LayerCase) -> Tensor:
    """What the trained module adds to the layer's output."""
    with torch.no_grad():
        return module.eval()(case.x) - case.layer(case.x)
