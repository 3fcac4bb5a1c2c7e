"""The host's model: every layer that a network can change, and which family it is.

The host keeps checkpoints in the layout of their files (ldm, sgm, OpenCLIP, SAI), so the naming
tables give each layer's place. Around text encoders it puts wrappers of its own, which hold what
they wrap as `wrapped` and come and go with every load of weights: places are looked up through them.
What a model lacks (a T5 that is switched off, the blocks that SSD-1B left out, the text encoder of a
language we do not know) is simply not there; a network's adapters for it are reported unmatched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.detect import TITLES
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.naming.place import Combined, HostPlace, RowShare
from lib_lyco.naming.table import layer_table

REFINER = "Stable Diffusion XL's refiner"

_MASTER, _MASTER_BIAS = "fp16_weight", "fp16_bias"
"""What the host puts beside weights that it stores in 8 bits, if its option says so."""

_T5_WORDS = {"shared": "encoder.embed_tokens"}
"""T5's vocabulary has two names in its files; the host's T5 has a module for the second only
(`modules/models/sd3/other_impls.py`)."""

_REFINER_WIDTH = 384
"""Width of the refiner's top level; the base model's is 320. It has two levels with attention of
four transformers each where the base has two and ten, so names alone would mix them up."""


_Roots = Mapping[Component, nn.Module | None]


@dataclass(frozen=True)
class HostModel:
    """What the applying side needs to know of one loaded checkpoint."""

    family: Family | None
    """None for a base model that no network of ours is made for."""
    title: str
    """For people: "Stable Diffusion 1"."""
    targets: Targets


def read_model(model: nn.Module) -> HostModel:
    """Finds the layers of the host's model: ldm's for SD1 and SD2, sgm's for SDXL, `SD3Inferencer`."""
    family = find_family(model)
    if family is None:
        return HostModel(None, REFINER if find_module(model, "conditioner") else type(model).__name__, {})
    return HostModel(family, TITLES[family], _targets(model, family))


def find_family(model: nn.Module) -> Family | None:
    """The family by the parts that only it has; None for SDXL's refiner and everything unknown."""
    if find_module(model, "model.diffusion_model.joint_blocks") is not None:
        return "sd3"
    if find_module(model, "model.diffusion_model.input_blocks") is None:
        return None
    if find_module(model, "conditioner") is not None:
        return None if _is_refiner(model) else "sdxl"
    return "sd2" if find_module(model, "cond_stage_model.model.transformer") is not None else "sd1"


def _is_refiner(model: nn.Module) -> bool:
    """Whether its one text encoder is OpenCLIP's, or its top level has the refiner's width."""
    if find_module(model, "conditioner.embedders.0.transformer") is None:
        return True
    conv_in = find_module(model, "model.diffusion_model.input_blocks.0.0")
    weight = getattr(conv_in, "weight", None)
    return isinstance(weight, Tensor) and weight.shape[0] == _REFINER_WIDTH


def _targets(model: nn.Module, family: Family) -> Mapping[LayerName, tuple[Target, ...]]:
    table = layer_table(family)
    roots: _Roots = {component: find_module(model, root) for component, root in table.host_roots.items()}
    targets: dict[LayerName, tuple[Target, ...]] = {}
    for layer in table:
        root = roots[layer.component]
        target = None if root is None else _target(layer, root, table.host_place(layer))
        if target is not None:
            targets[layer] = (target,)
    for combined in table.combined.values():
        parts = _combined_targets(combined, roots)
        if parts:
            targets[combined.name] = parts
    return targets


def _target(layer: LayerName, root: nn.Module, place: HostPlace) -> Target | None:
    """The layer's target, or None where the model has no such module or parameter."""
    module = _owner(root, place.path, place.weight)
    if module is None and place.path in _T5_WORDS:
        module = _owner(root, _T5_WORDS[place.path], place.weight)
    if module is None:
        return None
    return Target(
        layer=layer,
        module=module,
        weight=place.weight,
        bias=place.bias,
        rows=_range(place.rows, module.get_parameter(place.weight)),
        transposed=place.transposed,
        swapped_halves=place.swapped_halves,
        master=_MASTER,
        master_bias=_MASTER_BIAS,
    )


def _combined_targets(combined: Combined, roots: _Roots) -> tuple[Target, ...]:
    """What files hold in one piece, the host's SD3 does too: one plain target."""
    root = roots[combined.name.component]
    module = None if root is None else _owner(root, combined.host_path, "weight")
    return (
        () if module is None else (Target(combined.name, module, master=_MASTER, master_bias=_MASTER_BIAS),)
    )


def _range(share: RowShare | None, parameter: nn.Parameter) -> tuple[int, int] | None:
    return None if share is None else share.range(parameter.shape[0])


def _owner(root: nn.Module, path: str, parameter: str) -> nn.Module | None:
    """The module at the path, or what it wraps, that has the parameter itself."""
    module = find_module(root, path)
    while module is not None:
        if isinstance(getattr(module, parameter, None), nn.Parameter):
            return module
        module = _child(module, "wrapped")
    return None


def find_module(module: nn.Module, path: str) -> nn.Module | None:
    """The module at a dotted path, through the host's wrappers; None if there is none."""
    found: nn.Module | None = module
    for name in path.split(".") if path else ():
        while found is not None:
            child = _child(found, name)
            if child is not None:
                found = child
                break
            found = _child(found, "wrapped")
    return found


def _child(module: nn.Module, name: str) -> nn.Module | None:
    child = getattr(module, name, None)
    return child if isinstance(child, nn.Module) else None
