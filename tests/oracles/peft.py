"""PEFT as an oracle: what its merge makes of a layer."""

from __future__ import annotations

import copy
from typing import Any

import peft
from torch import Tensor, nn

from tests.oracles.layers import LayerCase, noise

_PARTS = {
    "lora_A.weight": "lora_down.weight",
    "lora_B.weight": "lora_up.weight",
    "lora_magnitude_vector": "lora_magnitude_vector",
}


class _Holder(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


def merged(config: Any, case: LayerCase, scale: float = 0.3) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Puts PEFT's adapter on a copy of the layer with noise in it, saves and merges it.

    Returns:
        The parts it saves (canonical names), its change of the weight, its change of the bias.
    """
    model: Any = peft.get_peft_model(_Holder(copy.deepcopy(case.layer)), config)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for index, parameter in enumerate(trainable):
        parameter.data.add_(noise(*parameter.shape, seed=20 + index, scale=scale))
    parts: dict[str, Tensor] = {}
    for key, tensor in peft.get_peft_model_state_dict(model).items():
        part = key.removeprefix("base_model.model.layer.")
        parts[_PARTS.get(part, part)] = tensor.detach().clone()
    new = model.merge_and_unload().layer
    assert case.layer.bias is not None
    return parts, new.weight.detach() - case.layer.weight, new.bias.detach() - case.layer.bias
