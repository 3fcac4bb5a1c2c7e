"""Block weights on a model of a known family: one factor per layer."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.naming.blocks import block_of, host_path
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.prompt.block_weights import BlockWeights


@dataclass(frozen=True)
class LayerFactors:
    """What a network's multipliers are multiplied by, layer by layer."""

    blocks: BlockWeights
    family: Family

    def of(self, layer: LayerName) -> float:
        """Returns the factor of a layer of the family."""
        return self.blocks.weight_of(block_of(layer, self.family), host_path(layer, self.family))
