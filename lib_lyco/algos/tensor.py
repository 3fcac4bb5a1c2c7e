"""Small tensor helpers that every algorithm shares."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lib_lyco.errors import AdapterError


def compute_dtype(weight: Tensor) -> torch.dtype:
    """Deltas are computed in float32, for a float64 weight in float64."""
    return torch.float64 if weight.dtype == torch.float64 else torch.float32


def beside(tensor: Tensor, weight: Tensor) -> Tensor:
    """Returns `tensor` on the weight's device, in the dtype its delta is computed in."""
    dtype = compute_dtype(weight)
    if tensor.dtype == torch.float64:
        tensor = tensor.to(dtype)  # before it travels: not every device knows float64
    return tensor.to(device=weight.device, dtype=dtype)


def matrix(tensor: Tensor) -> Tensor:
    """Returns (a, b, ...) as (a, b * ...): stored factors may have two dims or the conv's four."""
    return tensor.reshape(tensor.shape[0], -1)


def check_number(tensor: Tensor, part: str) -> None:
    """A stored scalar has one element; its value is not read, a file may be known by its header only.

    Raises:
        AdapterError: It has another number of elements.
    """
    if tensor.numel() != 1:
        raise AdapterError(
            f"{part} is not a single number.",
            where=part,
            got=f"shape {tuple(tensor.shape)}",
            expected="shape ()",
        )


def number(tensor: Tensor) -> float:
    """Reads a stored scalar, which savers cast to any dtype and store with or without a dim."""
    return float(tensor.item())


def require(parts: Mapping[str, Tensor], algo: str, *names: str, dims: int = 2) -> tuple[Tensor, ...]:
    """Returns the named parts.

    Raises:
        AdapterError: One of them is missing, empty, or has less than `dims` dims.
    """
    missing = [name for name in names if name not in parts]
    if missing:
        raise AdapterError(
            f"A {algo} layer is incomplete: {', '.join(missing)} is missing.",
            got=", ".join(sorted(parts)),
            expected=", ".join(names),
            remedy="The file is damaged or was cut; get it again or retrain it.",
        )
    for name in names:
        if parts[name].dim() < dims or not parts[name].numel():
            raise AdapterError(
                f"{name} of a {algo} layer cannot be read.",
                where=name,
                got=shape_text(tuple(parts[name].shape)),
                expected=f"at least {dims} dims, none of them 0",
                remedy="The file is damaged; get it again or retrain it.",
            )
    return tuple(parts[name] for name in names)


def optional(parts: Mapping[str, Tensor], algo: str, name: str, dims: int = 2) -> Tensor | None:
    """Returns the named part, or None if it is absent.

    Raises:
        AdapterError: It is empty, or has less than `dims` dims.
    """
    return require(parts, algo, name, dims=dims)[0] if name in parts else None


def check_inner(algo: str, names: tuple[str, str], sizes: tuple[int, int]) -> None:
    """Two factors that are multiplied must agree on the dim between them.

    Raises:
        AdapterError: They do not, or the dim is empty.
    """
    if sizes[0] != sizes[1] or sizes[0] == 0:
        raise AdapterError(
            f"The factors of a {algo} layer do not fit each other.",
            where=f"{names[0]} and {names[1]}",
            got=f"inner dims {sizes[0]} and {sizes[1]}",
            expected="the same inner dim, at least 1",
            remedy="The file is damaged or two networks were mixed up in it.",
        )


def check_fit(reason: str | None, algo: str) -> None:
    """Turns what `misfit` says into an error.

    Raises:
        AdapterError: There is a reason.
    """
    if reason is not None:
        raise AdapterError(
            f"A {algo} adapter does not fit its layer: {reason}",
            remedy="The network was probably trained on another base model.",
        )


def shape_text(shape: tuple[int, ...]) -> str:
    """Returns a shape as people write it: 320x768."""
    return "x".join(str(size) for size in shape) or "scalar"
