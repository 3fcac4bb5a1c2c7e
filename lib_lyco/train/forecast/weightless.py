"""A network on a base model without weights: trainable layers as shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_MAKERS = (
    torch.empty,
    torch.zeros,
    torch.ones,
    torch.full,
    torch.rand,
    torch.randn,
    torch.normal,
    torch.eye,
)


class Weightless(TorchFunctionMode):
    """Within it, whatever makes tensors of a size makes them on `meta`, and what is there stays there.

    Not so tensors made of values: layers compute with those while they are built (`torch.device("meta")`
    would move them too).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        values = dict(kwargs or {})
        if func in _MAKERS:
            values["device"] = "meta"
        elif func is Tensor.cpu and args[0].is_meta:
            return args[0]
        elif func is Tensor.to and args[0].is_meta:
            args = tuple("meta" if isinstance(one, torch.device | str) else one for one in args)
            values.pop("device", None)
        return func(*args, **values)
