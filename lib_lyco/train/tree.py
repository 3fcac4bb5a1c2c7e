"""A tree of plain values and tensors (an optimiser's state) as JSON text and named tensors, and back.

Nothing is lost: numbers keep their bits (Python writes floats so that they read back equal), keys
their type, tuples stay tuples. No code is ever stored, so a file of it is safe to read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_TENSOR, _DICT, _TUPLE = "tensor", "dict", "tuple"


def flattened(tree: Any, prefix: str) -> tuple[str, dict[str, Tensor]]:
    """The tree as JSON text, and its tensors by `prefix` and a number.

    Raises:
        TypeError: The tree holds something else than tensors, dicts, lists, tuples, numbers, texts
            and None.
    """
    tensors: dict[str, Tensor] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            key = f"{prefix}{len(tensors)}"
            tensors[key] = value.detach()
            return {_TENSOR: key}
        if isinstance(value, Mapping):
            return {_DICT: [[plain(key), plain(inner)] for key, inner in value.items()]}
        if isinstance(value, tuple):
            return {_TUPLE: [plain(inner) for inner in value]}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"a {type(value).__name__} cannot be kept in a state")

    return json.dumps(plain(tree)), tensors


def rebuilt(text: str, tensors: Mapping[str, Tensor]) -> Any:
    """The tree of `flattened`.

    Raises:
        ValueError: The text is no JSON of ours.
        KeyError: A tensor is missing.
    """

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        if kind == _TENSOR:
            return tensors[inner]
        if kind == _DICT:
            return {whole(key): whole(one) for key, one in inner}
        if kind == _TUPLE:
            return tuple(whole(one) for one in inner)
        raise ValueError(f"unknown kind {kind}")

    return whole(json.loads(text))
