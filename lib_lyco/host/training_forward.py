"""How the host's blocks compute while they are trained.

Whatever attention the user has chosen for pictures, training takes torch's own kernels: they support
backward on every device, and none of the host's is faster with gradients. The host chooses by patching
classes; here single modules get a forward of their own, which is taken away again.

ldm's checkpointing loses the gradients of parameters that are frozen or not listed, sgm's is reentrant:
so the blocks' inner function is called directly, within torch's non-reentrant checkpointing or without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lib_lyco.host.training_text import attention

Forward = Callable[..., Any]

_ATTENTION = ("to_q", "to_k", "to_v", "to_out", "heads")


def training_forwards(
    unet: nn.Module, texts: Iterable[nn.Module], checkpointing: bool
) -> Iterator[tuple[nn.Module, Forward]]:
    """The modules that compute otherwise in training, each with what it computes."""
    for module in unet.modules():
        inner = getattr(module, "_forward", None)
        if all(hasattr(module, name) for name in _ATTENTION):
            yield module, partial(_cross_attention, module)
        elif inner is not None:
            yield module, partial(_checkpointed, inner) if checkpointing else inner
        elif isinstance(module, nn.GroupNorm) and module.weight.dtype != torch.float32:
            yield module, partial(_group_norm, module)
    for text in texts if checkpointing else ():
        for layer in _clip_layers(text):
            yield layer, partial(_checkpointed, layer.forward)


def _clip_layers(text: nn.Module) -> Iterator[nn.Module]:
    """The layers of transformers' CLIP. OpenCLIP's pass is ours, and checkpoints itself."""
    encoder: Any = getattr(getattr(text, "text_model", None), "encoder", None)
    yield from () if encoder is None else encoder.layers


def _checkpointed(function: Forward, *inputs: Any, **named: Any) -> Any:
    """Nothing is drawn by chance here (dropout is a function of seeds), so no generator is kept."""
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False, **named)


def _group_norm(module: nn.GroupNorm, x: Tensor) -> Tensor:
    """In float32, as ldm means it: its own mixes dtypes, which works only where autocast mends it."""
    weight, bias = module.weight.float(), module.bias.float()
    return functional.group_norm(x.float(), module.num_groups, weight, bias, module.eps).to(x.dtype)


def _cross_attention(module: Any, x: Tensor, context: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """ldm's and sgm's `CrossAttention` on (b, n, d), without what the host adds: hypernetworks."""
    seen = x if context is None else context
    return module.to_out(attention(module.to_q(x), module.to_k(seen), module.to_v(seen), module.heads))
