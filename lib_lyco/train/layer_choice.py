"""Which layers of a base model are trained.

kohya's rule (sd-scripts, `networks/lora.py`): in the UNet every Linear and 1x1 convolution of the
attention blocks (`Transformer2DModel`); with a rank for convolutions also the 3x3 ones of resnets,
downsamplers and upsamplers, and the Linear and 1x1 layers beside them; in a text encoder the Linear
layers of attention and MLP. IA3 (arXiv 2205.05638; LyCORIS' preset): keys, values, and the second
layer of each MLP.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import nn

from lib_lyco.errors import ConfigError, ModelError
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Component, LayerName

_ATTENTION = ".attentions."
_CONV_BLOCKS = (".resnets.", ".downsamplers.", ".upsamplers.")
_TE_PARTS = (".self_attn.", ".mlp.")
_IA3_ENDS = (".to_k", ".to_v", ".ff.net.2", ".self_attn.k_proj", ".self_attn.v_proj", ".mlp.fc2")


@dataclass(frozen=True)
class LayerChoice:
    """What to train."""

    components: Collection[Component]
    conv: bool = False
    """Whether resnets, downsamplers and upsamplers are trained too."""
    ia3: bool = False

    def choose(self, targets: Targets) -> dict[LayerName, Target]:
        """The chosen layers, in the model's order.

        Raises:
            ConfigError: Nothing is chosen.
            ModelError: The model keeps a chosen layer fused with others.
        """
        chosen = {
            layer: places for layer, places in targets.items() if self._wants(layer, places[0].module)
        }
        if not chosen:
            raise ConfigError(
                "The options leave no layer to train.",
                where="te_learning_rate, unet_learning_rate",
                got="components: " + (", ".join(sorted(self.components)) or "none"),
                expected="at least one component that the base model has",
            )
        return {layer: _whole(layer, places) for layer, places in chosen.items()}

    def _wants(self, layer: LayerName, module: nn.Module) -> bool:
        if layer.component not in self.components or not isinstance(module, nn.Linear | nn.Conv2d):
            return False
        if self.ia3:
            return layer.path.endswith(_IA3_ENDS)
        if layer.component != "unet":
            return any(part in layer.path for part in _TE_PARTS)
        return _ATTENTION in layer.path or (self.conv and any(part in layer.path for part in _CONV_BLOCKS))


def _whole(layer: LayerName, places: tuple[Target, ...]) -> Target:
    (target, *others) = places
    if others or target.rows is not None:
        raise ModelError(
            "A layer that the model keeps fused with others cannot be trained.",
            where=str(layer),
            remedy="Load the base model through diffusers, or train the other components only.",
        )
    return target


def is_spatial(module: nn.Module) -> bool:
    """Whether a layer is a convolution larger than 1x1, so that the conv rank counts."""
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
