"""One layer of the base model and what is trained on it.

A forward hook lets the base layer's output include the trained change; detaching removes exactly that
hook. What a step draws by chance is a function of the step's seed and the layer's name, so gradient
checkpointing, which runs the forward pass again, sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.autograd.operation import autocasts
from lib_lyco.train.seed import derived_seed

Parts = dict[str, Tensor]
"""Stored tensors by part name, as in a file."""


@dataclass(frozen=True)
class AlgoSettings:
    """The algorithm of one layer and its options; an option means nothing to the other algorithms."""

    algo: str
    rank: int
    alpha: float
    tucker: bool = False
    rs_lora: bool = False
    use_scalar: bool = False
    dora: bool = False
    wd_on_output: bool = True
    factor: int = -1
    decompose_both: bool = False
    full_matrix: bool = False
    unbalanced_factorization: bool = False
    block_size: int = 4
    constraint: float = 0.0
    rescaled: bool = False
    min_rank: int = 1
    """T-LoRA: how many ranks act where there is nothing but noise."""
    rank_exponent: float = 1.0
    """T-LoRA: how fast the others stop acting; 1 is evenly over the timesteps."""
    sig_type: str = "principal"
    """T-LoRA: which singular vectors it starts from."""
    use_data_init: bool = True
    """T-LoRA: whether they are the weight's; else a random matrix'."""
    train_on_input: bool | None = None
    """IA3: which side is scaled; None goes by the layer's name."""
    dropout: float = 0.0
    rank_dropout: float = 0.0
    module_dropout: float = 0.0
    layer_math: str = "own"
    bypass_mode: bool = False

    @property
    def drops(self) -> bool:
        """Whether anything is left out by chance."""
        return self.dropout > 0 or self.rank_dropout > 0 or self.module_dropout > 0


@dataclass(frozen=True)
class Algo:
    """How one algorithm is trained and stored."""

    module: str
    """lycoris' module and class, below `lycoris.modules`."""
    delta: Callable[[TrainableLayer], Tensor]
    """The change of the weight, (o, i, ...), scale included, differentiable."""
    parts: Callable[[TrainableLayer], Parts]
    """What a file stores."""
    forward: Callable[[TrainableLayer, Tensor, Tensor], Tensor]
    """(x, y) -> y + op(x, delta), in the cheapest exact form; y's memory may be taken."""
    plain: Callable[[TrainableLayer, Tensor, Tensor], Tensor]
    """The same by lycoris' mathematics and autograd."""
    drops_ranks: bool = False
    """Whether `forward` itself leaves out ranks; else outputs are left out."""
    scaled: tuple[str, ...] = ()
    """Parameters that are multiplied where the whole delta is to be."""
    taken: Callable[[TrainableLayer, Parts], Parts] | None = None
    """A file's parts by the names and shapes of the module's tensors; None where they are the same."""
    frozen: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters and the buffers that hold what they started from, where the change depends on it."""
    scale_input: Callable[[TrainableLayer, Tensor], Tensor] | None = None
    """x -> the input with which the base layer alone returns what `forward` would; None: there is none."""


@dataclass(frozen=True)
class Draw:
    """What a step, and one of its micro-batches, leaves out on one layer."""

    step: int
    """Seed of the step and the layer."""
    samples: tuple[int, ...] = ()
    """Seeds of the micro-batch's samples, so that a batch of four drops what two of two do."""

    def skips(self, share: float) -> bool:
        """Whether the whole layer is left out."""
        return derived_seed("module", self.step) < share * 2.0**63

    def mask(self, purpose: str, shape: tuple[int, ...], share: float, like: Tensor) -> Tensor:
        """0 for a share of the values, 1 / (1 - share) for the others, which keeps the mean.

        Rows of the shape are samples; where they are not, as with text that several samples share, all
        rows are drawn from the first sample's seed.
        """
        several = len(self.samples) == shape[0]
        seeds, part = (self.samples, (1, *shape[1:])) if several else (self.samples[:1], shape)
        drawn: list[Tensor] = []
        for seed in seeds:
            chance = torch.Generator(like.device)
            chance.manual_seed(derived_seed(purpose, self.step, seed))
            drawn.append(torch.rand(part, generator=chance, device=like.device))
        return (torch.cat(drawn) >= share).to(like.dtype) / (1 - share)


class TrainableLayer:
    """One layer of the base model and what is trained on it."""

    def __init__(
        self, layer: LayerName, target: Target, settings: AlgoSettings, algo: Algo, module: Any
    ) -> None:
        self.layer = layer
        self.target = target
        self.settings = settings
        self.algo = algo
        self.module = module
        """The lycoris module."""
        self.block: int | None = None
        """DyLoRA: the block trained in this step; None is the full rank."""
        self.active: Tensor | None = None
        """T-LoRA: (b, r), which ranks act on each sample of this pass; None is all."""
        self.draw: Draw | None = None
        """What this step leaves out; None outside of training steps: nothing."""
        self.muted = False
        """Whether the base layer acts alone although the network is attached."""
        self._handles: tuple[RemovableHandle, ...] = ()
        self._input_scaled = False

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser sees."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    @property
    def weight(self) -> Tensor:
        """The base weight, (o, i, ...)."""
        return getattr(self.target.module, self.target.weight)

    @torch.no_grad()
    def delta(self) -> Tensor:
        """What the trained forward adds to the base weight at full rank, (o, i, ...) float32."""
        with _in_float32(self.module):
            return self.algo.delta(self).detach().float().reshape(self.weight.shape)

    def bias_delta(self) -> Tensor | None:
        """What is added to the base bias, (o,) float32; None for nothing."""
        parts = self.parts()
        bias = parts.get("diff_b", parts.get("b_norm"))
        return None if bias is None else bias.reshape(-1)

    def parts(self) -> Parts:
        """The layer as a file stores it, so that every reader's delta is this forward's."""
        with _in_float32(self.module):
            return {name: part.detach().float() for name, part in self.algo.parts(self).items()}

    def num_blocks(self) -> int | None:
        """How many blocks the trained one is drawn from; None for algorithms without blocks."""
        return getattr(self.module, "block_count", None)

    def attach(self) -> None:
        """Lets the base layer's output include the trained change."""
        assert not self._handles, "a layer is attached once"
        base = self.target.module
        self._input_scaled = False
        self._handles = (base.register_forward_hook(self._hook),)
        if self.algo.scale_input and self.settings.layer_math == "own" and self.module.train_input:
            self._handles += (base.register_forward_pre_hook(self._pre_hook),)

    def detach(self) -> None:
        """Takes the change off; the base layer is as it was before."""
        for handle in self._handles:
            handle.remove()
        self._handles = ()

    @property
    def _is_silent(self) -> bool:
        return self.muted or (self.draw is not None and self.draw.skips(self.settings.module_dropout))

    def _pre_hook(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One scaling of the input in place of a second product; in half precision it would round small
        changes away."""
        x, *rest = inputs
        assert self.algo.scale_input is not None
        self._input_scaled = x.dtype == self.weight.dtype == torch.float32 and not autocasts(x.device)
        if self._input_scaled and not self._is_silent:
            return self.algo.scale_input(self, x), *rest
        return inputs

    def _hook(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self._input_scaled or self._is_silent:
            return output
        return self.added(inputs[0].to(output.dtype), output)

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """y with the change for the input x."""
        forward = self.algo.forward if self.settings.layer_math == "own" else self.algo.plain
        share = self.settings.rank_dropout
        if self.draw is None or share == 0 or (self.algo.drops_ranks and not self.settings.dora):
            return forward(self, x, y)
        channels = 1 if isinstance(self.target.module, nn.Conv2d | nn.GroupNorm) else y.dim() - 1
        shape = tuple(
            size if dim in (0, channels) else 1 for dim, size in enumerate(y.shape)
        )  # per image and output
        mask = self.draw.mask("rank", shape, share, y)
        return y + mask * forward(self, x, torch.zeros_like(y))

    def load_parts(self, parts: Mapping[str, Tensor], scale: float) -> None:
        """Takes up what a file stores.

        Args:
            parts: By name; the keys of a file of this algorithm.
            scale: What the file's product is multiplied by. Where it is not this layer's scale, the
                quotient goes into a factor, so that the change is the file's and alpha stays.

        Raises:
            ValueError: A part is missing, or of another shape; the text says which.
        """
        tensors = self.algo.taken(self, dict(parts)) if self.algo.taken else parts
        frozen = {name: getattr(self.module, name) for name in self.algo.frozen.values()}
        for name, own in (*self.module.named_parameters(), *frozen.items()):
            tensor = tensors.get(name)
            if name == "scalar":
                tensor = torch.ones(())  # a file's factors include it
            if tensor is None or tensor.numel() != own.numel():
                found = "nothing" if tensor is None else tuple(tensor.shape)
                raise ValueError(f"{name}: {found} for {tuple(own.shape)}")
            ratio = scale / self.scale if name.partition(".")[0] in self.algo.scaled else 1.0
            with torch.no_grad():
                own.copy_(tensor.to(own).reshape(own.shape) * ratio)

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by at full rank; 1 for algorithms without."""
        count = self.num_blocks()
        if count is not None:
            return (self.settings.alpha or self.settings.rank) / count
        return float(getattr(self.module, "scale", 1.0))


@contextmanager
def _in_float32(module: nn.Module) -> Generator[None]:
    """Within it, trained weights that are kept in half precision have the same values in float32: a product
    of them is then what a reader of the file computes."""
    kept = [(one, one.data) for one in module.parameters() if one.dtype != torch.float32]
    try:
        for parameter, data in kept:
            parameter.data = data.float()
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data
