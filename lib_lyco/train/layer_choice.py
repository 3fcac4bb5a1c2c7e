"""Which layers of a base model are trained.

kohya's rule (sd-scripts, `networks/lora.py`): in the UNet every Linear and 1x1 convolution of the
attention blocks (`Transformer2DModel`); with a rank for convolutions also the 3x3 ones of resnets,
downsamplers and upsamplers, and the Linear and 1x1 layers beside them; in a text encoder the Linear
layers of attention and MLP. IA3 (arXiv 2205.05638; LyCORIS' preset): keys, values, and the second
layer of each MLP. A preset chooses otherwise; `include` and `exclude` choose among what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import nn

from lib_lyco.errors import ConfigError, ModelError
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.blocks import host_path
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.train.preset import BUILT_IN, KOHYA, KOHYA_CONV, Override, Preset, classes_around, read_preset


@dataclass(frozen=True)
class Chosen:
    """A layer to train, and what differs on it."""

    target: Target
    override: Override | None = None


@dataclass(frozen=True)
class LayerChoice:
    """What to train."""

    components: Collection[Component]
    conv: bool = False
    """Whether resnets, downsamplers and upsamplers are trained too; without a preset."""
    preset: str = ""
    """lycoris' word or a file; empty is kohya's rule."""
    train_norm: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def choose(self, targets: Targets, family: Family) -> dict[LayerName, Chosen]:
        """The chosen layers, in the model's order.

        Raises:
            ConfigError: Nothing is chosen, or a pattern means no layer.
            ModelError: The model keeps a chosen layer fused with others.
        """
        preset = self._preset()
        names = {layer: layer_names(layer, family) for layer in targets}
        self._demand_meaning(preset, names)
        chosen: dict[LayerName, Chosen] = {}
        for layer, places in targets.items():
            module = places[0].module
            if layer.component not in self.components or not self._can_learn(preset, module):
                continue
            classes = classes_around(layer.component, layer.path, type(module).__name__)
            bare = [name.partition(".")[2] for name in names[layer]]
            if preset.takes(layer.component, classes, bare) and self._passes(names[layer]):
                override = None if is_norm(module) else preset.override(classes, bare)
                chosen[layer] = Chosen(whole(layer, places), override)
        if not chosen:
            raise ConfigError(
                "The options leave no layer to train.",
                where="te_learning_rate, unet_learning_rate, preset, include_layers",
                got="components: " + (", ".join(sorted(self.components)) or "none"),
                expected="at least one component that the base model has",
            )
        return chosen

    def _preset(self) -> Preset:
        if not self.preset:
            return KOHYA_CONV if self.conv else KOHYA
        return BUILT_IN[self.preset] if self.preset in BUILT_IN else read_preset(self.preset)

    def _can_learn(self, preset: Preset, module: nn.Module) -> bool:
        if is_norm(module):
            return self.train_norm
        if isinstance(module, nn.Conv2d):
            return preset.enable_conv or not is_spatial(module)
        return isinstance(module, nn.Linear)

    def _passes(self, names: Collection[str]) -> bool:
        included = not self.include or any(_found(pattern, names) for pattern in self.include)
        return included and not any(_found(pattern, names) for pattern in self.exclude)

    def _demand_meaning(self, preset: Preset, names: Mapping[LayerName, Collection[str]]) -> None:
        """A pattern that means nothing is a mistake; a built-in preset may name what a family lacks."""
        every = [name for several in names.values() for name in several]
        bare = [name.partition(".")[2] for name in every]
        options = [("include_layers", one) for one in self.include]
        options += [("exclude_layers", one) for one in self.exclude]
        try:
            idle = [(option, one) for option, one in options if not _found(one, every)]
            if self.preset and self.preset not in BUILT_IN:
                idle += [("preset", one) for one in preset.patterns if not preset.matches(one, bare)]
        except re.error as error:
            raise ConfigError(
                "A pattern of the preset is no regular expression.",
                where="preset",
                got=f"{error.pattern!r}: {error}",
            ) from error
        if idle:
            raise ConfigError(
                "A pattern means no layer of the base model.",
                where=idle[0][0],
                got=repr(idle[0][1]),
                expected=f"part of a name like {every[0]}" if every else "",
                remedy="Correct or remove it.",
            )


def chosen_of_file(
    targets: Targets, components: Collection[Component], layers: Collection[LayerName]
) -> dict[LayerName, Chosen]:
    """Exactly the layers that a file has, of the components that are trained.

    Raises:
        ConfigError: There is none.
        ModelError: The model keeps a chosen layer fused with others.
    """
    chosen = {
        layer: Chosen(whole(layer, places))
        for layer, places in targets.items()
        if layer in layers and layer.component in components
    }
    if not chosen:
        raise ConfigError(
            "No layer of the file can be trained.",
            where="dim_from_weights",
            got="components: " + (", ".join(sorted(components)) or "none"),
            expected="a network for this base model and these components",
        )
    return chosen


def layer_names(layer: LayerName, family: Family) -> tuple[str, ...]:
    """What a layer may be called in a pattern: by diffusers, and by Stability."""
    try:
        other = (f"{layer.component}.{host_path(layer, family)}",)
    except KeyError:
        other = ()
    return (f"{layer.component}.{layer.path}", *other)


def _found(pattern: str, names: Collection[str]) -> bool:
    return any(re.search(pattern, name) for name in names)


def whole(layer: LayerName, places: tuple[Target, ...]) -> Target:
    """The one place of a layer.

    Raises:
        ModelError: The model keeps it fused with others.
    """
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


def is_norm(module: nn.Module) -> bool:
    """Whether a layer is a normalisation with a weight of its own."""
    return isinstance(module, nn.LayerNorm | nn.GroupNorm)
