"""Weights by block and by element: what multiplies a network's strength, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ElementRule:
    """One weight for some layers of some blocks, in place of the block's own."""

    blocks: frozenset[str]
    """The names of the blocks it is about."""
    words: tuple[str, ...]
    """Such as `attn2` or `proj`: the layer's path contains one of them; none means every layer."""
    ratio: float
    """The layer's weight."""
    negated: bool = False
    """Whether it is about the layers that contain none of the words."""

    def holds(self, block: str, layer: str) -> bool:
        """Whether it is about a layer. `layer` as in `BlockWeights.weight_of`."""
        if block not in self.blocks:
            return False
        text = _flat(layer)
        return not self.words or any(_flat(word) in text for word in self.words) != self.negated


@dataclass(frozen=True)
class BlockWeights:
    """The weight of every layer of a network."""

    weights: tuple[tuple[str, float], ...]
    """(block, weight); a block that is not named has 0."""
    elements: tuple[ElementRule, ...] = ()
    """The last one that is about a layer gives its weight."""

    def weight_of(self, block: str, layer: str) -> float:
        """The weight of a layer.

        Args:
            block: One of `naming.blocks.block_names`.
            layer: The layer's path in the WebUI's own model, since the words that people write are
                parts of it: `input_blocks.4.1.transformer_blocks.0.attn2.to_k`. Dots and
                underscores mean the same.
        """
        for rule in reversed(self.elements):
            if rule.holds(block, layer):
                return rule.ratio
        return dict(self.weights).get(block, 0.0)


def _flat(text: str) -> str:
    return text.replace(".", "_")
