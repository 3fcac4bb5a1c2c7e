"""Module trees as the host builds them: one bare module for every dotted name in a checkpoint's keys."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Wrapper(nn.Module):
    """As the host's around a text encoder or a token embedding: it holds what it wraps, nothing else."""

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped = wrapped


def tree(tensors: Mapping[str, Tensor]) -> nn.Module:
    """The model whose `state_dict` has these keys."""
    root = nn.Module()
    for key, tensor in tensors.items():
        path, _, name = key.rpartition(".")
        owner = root
        for part in path.split("."):
            if part not in dict(owner.named_children()):
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        owner.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
    return root


def meta_tree(shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """The same from shapes, without values."""
    return tree({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})


def wrap(root: nn.Module, path: str) -> None:
    """Puts a wrapper around the module at a path."""
    parent, _, name = path.rpartition(".")
    owner = root.get_submodule(parent)
    setattr(owner, name, Wrapper(owner.get_submodule(name)))
