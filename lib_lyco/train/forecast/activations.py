"""How much a forward pass keeps for its backward pass, found by making it with shapes only."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_CHECKPOINTED = (
    *("ResnetBlock2D", "BasicTransformerBlock", "CLIPEncoderLayer"),
    *("ResBlock", "ResidualAttentionBlock"),
)
"""What checkpointing computes again, one by one: diffusers' and transformers'; ldm's and OpenCLIP's."""
_LOW = (functional.linear, functional.conv2d, functional.scaled_dot_product_attention)
_HIGH = (functional.group_norm, functional.layer_norm)


class Kept:
    """Counts the memory of tensors kept for the backward pass, each once, weights apart.

    Args:
        modules: The base model's; what their parameters hold is not counted.
        checkpointing: Whether blocks keep only their input, and one at a time is computed again.
    """

    def __init__(self, modules: Iterable[nn.Module], checkpointing: bool) -> None:
        self._modules = tuple(modules)
        self._checkpointing = checkpointing
        self._held: list[Tensor] = []  # a storage's address is its own only while it lives
        self._seen = {_address(one) for module in self._modules for one in module.parameters()}
        self._outside = 0
        self._inside: list[int] = []
        """Of each checkpointed block."""
        self._depth = 0

    @property
    def bytes(self) -> int:
        """All that is kept; with checkpointing, what is kept outside of blocks and by the largest one."""
        return self._outside + max(self._inside, default=0)

    @contextmanager
    def counting(self) -> Generator[None]:
        """Within it, forward passes are counted."""
        with ExitStack() as stack:
            for module in self._modules if self._checkpointing else ():
                for block in module.modules():
                    if type(block).__name__ in _CHECKPOINTED:
                        stack.enter_context(_removing(block.register_forward_pre_hook(self._enter)))
                        stack.enter_context(_removing(block.register_forward_hook(self._leave)))
            stack.enter_context(saved_tensors_hooks(self._keep, _same))
            yield

    def _keep(self, tensor: Tensor) -> Tensor:
        size = self._size(tensor)
        if self._depth:
            self._inside[-1] += size
        else:
            self._outside += size
        return tensor

    def _size(self, tensor: Tensor) -> int:
        """Its memory, if it was not counted before."""
        address = _address(tensor)
        if address in self._seen:
            return 0
        self._seen.add(address)
        self._held.append(tensor)
        return tensor.untyped_storage().nbytes()

    def _enter(self, _block: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._outside += sum(self._size(one) for one in inputs if isinstance(one, Tensor))
        self._inside.append(0)
        self._depth += 1

    def _leave(self, _block: nn.Module, _inputs: Any, _output: Any) -> None:
        self._depth -= 1


class Rules(TorchFunctionMode):
    """What `meta` has not: attention that keeps no scores, and torch.autocast's rules for what a UNet and
    text encoders are made of: products in the compute dtype, norms in float32 (PyTorch, "Automatic Mixed
    Precision", CUDA op reference)."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        values = dict(kwargs or {})
        if func is torch.full and len(args) > 1 and isinstance(args[1], Tensor):
            # transformers 4.30 fills its mask with a tensor, whose value meta does not have
            args = (args[0], 0.0)
        dtype = self._dtype if func in _LOW else torch.float32 if func in _HIGH else None
        if dtype is not None:
            args = tuple(_cast(one, dtype) for one in args)
            values = {name: _cast(one, dtype) for name, one in values.items()}
        if func is functional.scaled_dot_product_attention:
            inputs = [*args, *(values[name] for name in ("query", "key", "value") if name in values)]
            return _Attention.apply(*inputs[:3])
        return func(*args, **values)


class _Attention(Function):
    """Keeps what the fused kernels keep: the inputs and the result (arXiv 2307.08691)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty(*query.shape[:-1], value.shape[-1], dtype=query.dtype, device=query.device)
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise AssertionError("only the forward pass is made")


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]  # meta has no data_ptr


@contextmanager
def _removing(handle: Any) -> Generator[None]:
    try:
        yield
    finally:
        handle.remove()
