"""Trainable layers on a base model, each holding a module of lycoris-lora. Only this file imports it.

lycoris supplies parameters, initial values and the mathematics of each algorithm. Everything around
them is ours, because there it goes wrong: its forward computes (W + delta) - W, which rounds small
deltas away in half precision; its hooks and class attributes outlive a run; its DyLoRA draws from a
global generator anew in every forward, which breaks gradient checkpointing. Here a forward hook adds
`op(x, delta)` to the layer's output, and detaching removes exactly that hook.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lib_lyco.errors import FileError, MissingPackageError
from lib_lyco.models.target import Target
from lib_lyco.naming.layer import LayerName
from lib_lyco.train.layer_choice import is_spatial
from lib_lyco.train.seed import derived_seed

Parts = dict[str, Tensor]
"""Stored tensors by part name, as in a file."""


@dataclass(frozen=True)
class AlgoSettings:
    """The algorithm and its options; None of an algorithm's options means anything to the others."""

    algo: str
    rank: int
    alpha: float
    conv_rank: int = 0
    conv_alpha: float = 1.0
    tucker: bool = False
    rs_lora: bool = False
    dora: bool = False
    factor: int = -1
    decompose_both: bool = False
    block_size: int = 4
    constraint: float = 0.0


class TrainableLayer:
    """One layer of the base model and what is trained on it."""

    def __init__(self, layer: LayerName, target: Target, algo: _Algo, module: Any) -> None:
        self.layer = layer
        self.target = target
        self.module = module
        """The lycoris module."""
        self.block: int | None = None
        """DyLoRA: the block trained in this step; None is the full rank."""
        self.algo = algo
        self._handle: RemovableHandle | None = None

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
        return self.algo.delta(self).detach().float().reshape(self.weight.shape)

    def parts(self) -> Parts:
        """The layer as a file stores it, so that every reader's delta is this forward's."""
        return {name: part.detach().float() for name, part in self.algo.parts(self).items()}

    def num_blocks(self) -> int | None:
        """How many blocks the trained one is drawn from; None for algorithms without blocks."""
        return getattr(self.module, "block_count", None)

    def attach(self) -> None:
        """Lets the base layer's output include the trained change."""
        assert self._handle is None, "a layer is attached once"
        self._handle = self.target.module.register_forward_hook(self._hook)

    def detach(self) -> None:
        """Takes the change off; the base layer is as it was before."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _hook(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + self.algo.added(self, inputs[0]).to(output.dtype)


class TrainableNetwork:
    """All trainable layers of a run. As a context manager it attaches, and detaches at the end."""

    def __init__(self, layers: Sequence[TrainableLayer]) -> None:
        self.layers = tuple(layers)

    def __iter__(self) -> Iterator[TrainableLayer]:
        return iter(self.layers)

    def __enter__(self) -> TrainableNetwork:
        for layer in self.layers:
            layer.attach()
        return self

    def __exit__(self, *_: object) -> None:
        for layer in self.layers:
            layer.detach()

    def state(self) -> dict[str, Tensor]:
        """Every tensor of every module by layer and name, as it is; not what a file stores."""
        return {
            f"{layer.layer}/{name}": tensor.detach()
            for layer in self.layers
            for name, tensor in chain(layer.module.named_parameters(), layer.module.named_buffers())
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes up what `state` gave.

        Raises:
            FileError: The tensors are not those of this network.
        """
        own = self.state()
        differing = [key for key in own.keys() | state.keys() if _shape(own, key) != _shape(state, key)]
        if differing:
            raise FileError(
                "The state does not fit the network.",
                where=min(differing),
                got=str(_shape(state, min(differing))),
                expected=str(_shape(own, min(differing))),
            )
        for key, tensor in own.items():
            tensor.copy_(state[key])

    def begin_step(self, generator: torch.Generator) -> None:
        """Draws what stays the same during one step: DyLoRA's block of each layer."""
        for layer in self.layers:
            count = layer.num_blocks()
            if count is not None:
                layer.block = int(torch.randint(count, (), generator=generator))

    def end_step(self) -> None:
        """From here on every layer acts at its full rank."""
        for layer in self.layers:
            layer.block = None


def _shape(tensors: Mapping[str, Tensor], key: str) -> tuple[int, ...] | None:
    return tuple(tensors[key].shape) if key in tensors else None


def build_network(
    chosen: Mapping[LayerName, Target], settings: AlgoSettings, seed: int, device: torch.device
) -> TrainableNetwork:
    """Builds a trainable layer on each chosen layer; nothing is attached yet.

    A layer's initial values are a function of the seed and its name. Every algorithm starts as the
    identity.

    Raises:
        MissingPackageError: lycoris-lora is missing, or too new for this torch.
    """
    algo = _ALGOS[settings.algo]
    made: list[TrainableLayer] = []
    for layer, target in chosen.items():
        options = _options(settings, layer, target.module)
        with _seeded(derived_seed("init", seed, str(layer))):
            module = _lycoris_class(algo.module)(str(layer), target.module, **options)
        module.to(device=device, dtype=torch.float32)
        made.append(TrainableLayer(layer, target, algo, module))
    return TrainableNetwork(made)


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """lycoris draws from torch's global generator and tells stdout about its choices: within this,
    the one is seeded and given back as it was, the other silent."""
    logger = logging.getLogger("LyCORIS")
    disabled = logger.disabled
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = disabled


def _lycoris_class(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(f"lycoris.modules.{module}"), attribute)
    except (ImportError, AttributeError) as error:  # AttributeError: 4.1 on a torch before 2.4
        raise MissingPackageError(
            "The package lycoris-lora, which trains, cannot be imported.",
            where="lycoris",
            got=f"{error} (torch {torch.__version__})",
            expected="lycoris-lora; 4.0.0 for torch before 2.7",
            remedy="pip install lycoris-lora==4.0.0",
        ) from error


def _options(settings: AlgoSettings, layer: LayerName, module: nn.Module) -> dict[str, Any]:
    spatial = is_spatial(module)
    return {
        "lora_dim": settings.conv_rank if spatial else settings.rank,
        "alpha": settings.conv_alpha if spatial else settings.alpha,
        "use_tucker": settings.tucker,
        "rs_lora": settings.rs_lora,
        "weight_decompose": settings.dora,
        "factor": settings.factor,
        "decompose_both": settings.decompose_both,
        "block_size": settings.block_size,
        "constraint": settings.constraint,
        # IA3's paper scales an MLP between its layers: before the second one
        "train_on_input": layer.path.endswith((".ff.net.2", ".mlp.fc2")),
        "bypass_mode": False,
    }


# What each algorithm does with lycoris' module. All deltas are (o, i, ...), scale included.


def _low_rank_delta(layer: TrainableLayer) -> Tensor:
    return _decomposed(layer, layer.module.make_weight() * layer.module.scale)


def _low_rank_added(layer: TrainableLayer, x: Tensor) -> Tensor:
    return _by_weight(layer, x) if layer.module.wd else layer.module.bypass_forward_diff(x)


def _product_delta(layer: TrainableLayer) -> Tensor:
    """LoHa and LoKr: get_weight has the scale already."""
    return _decomposed(layer, layer.module.get_weight(layer.module.shape) * layer.module.scalar)


def _decomposed(layer: TrainableLayer, delta: Tensor) -> Tensor:
    """DoRA (arXiv 2402.09353): the sum's rows rescaled to the trained magnitudes, in float32."""
    if not layer.module.wd:
        return delta
    weight = layer.weight.detach().float()
    return layer.module.apply_weight_decompose(weight + delta) - weight


def _ia3_delta(layer: TrainableLayer) -> Tensor:
    return layer.module.make_weight(diff=True)


def _rotated_delta(layer: TrainableLayer) -> Tensor:
    return layer.module.get_diff_weight()[0]


def _glora_delta(layer: TrainableLayer) -> Tensor:
    """GLoRA (arXiv 2306.07967): s · (b1·b2 + (W·a1)·a2), in lycoris' names, in which a1 and b1 are up.
    Its own make_weight applies s twice in 4.1."""
    module = layer.module
    a1, a2, b1, b2 = (getattr(module, name).weight.flatten(1) for name in ("a1", "a2", "b1", "b2"))
    by_weight = torch.einsum("oi...,ij->oj...", layer.weight.detach().float(), a1 @ a2)
    return ((b1 @ b2).view(module.shape) + by_weight) * module.scale


def _full_delta(layer: TrainableLayer) -> Tensor:
    return layer.module.weight


def _by_weight(layer: TrainableLayer, x: Tensor) -> Tensor:
    """op(x, delta), differentiable in both."""
    return layer.module.op(x, layer.algo.delta(layer).to(x.dtype), None, **layer.module.kw_dict)


def _full_added(layer: TrainableLayer, x: Tensor) -> Tensor:
    module = layer.module
    bias = None if module.bias is None else module.bias.to(x.dtype)
    return module.op(x, module.weight.to(x.dtype), bias, **module.kw_dict)


def _dylora_factors(layer: TrainableLayer) -> tuple[Tensor, Tensor, float]:
    """Down (r', i·k·k), up (o, r') and scale of the ranks in use; only the last block learns."""
    module = layer.module
    block = module.block_count - 1 if layer.block is None else layer.block
    down, up, scale = module.get_weight(block * module.block_size)
    return down, up, float(scale)


def _dylora_delta(layer: TrainableLayer) -> Tensor:
    down, up, scale = _dylora_factors(layer)
    return (up @ (down * scale)).view(layer.module.shape)


def _dylora_added(layer: TrainableLayer, x: Tensor) -> Tensor:
    down, up, scale = _dylora_factors(layer)
    module = layer.module
    kernel = module.shape[1:]
    h = module.op(x, down.view(-1, *kernel).to(x.dtype), None, **module.kw_dict) * scale
    return module.op(h, up.view(*up.shape, *(1 for _ in kernel[1:])).to(h.dtype))


def _own_parts(layer: TrainableLayer) -> Parts:
    return dict(layer.module.custom_state_dict())


def _lokr_parts(layer: TrainableLayer) -> Parts:
    """Readers take scale 1 where both factors are whole; what was trained with goes into one."""
    parts = _own_parts(layer)
    if layer.module.use_w1 and layer.module.use_w2:
        parts["lokr_w1"] = parts["lokr_w1"] * layer.module.scale
        parts["alpha"] = torch.tensor(float(layer.module.lora_dim))
    return parts


def _dylora_parts(layer: TrainableLayer) -> Parts:
    """A LoRA: training scales rank r' = (b + 1) · block by alpha / (b + 1) = alpha · block / r',
    so alpha · block is the alpha with which every reader's alpha / r' is right at every rank."""
    parts = _own_parts(layer)
    kernel_ones = (1 for _ in layer.module.shape[2:])
    parts["lora_up.weight"] = parts["lora_up.weight"].view(*parts["lora_up.weight"].shape, *kernel_ones)
    parts["alpha"] = layer.module.alpha * layer.module.block_size
    return parts


def _full_parts(layer: TrainableLayer) -> Parts:
    module = layer.module
    return {"diff": module.weight} | ({} if module.bias is None else {"diff_b": module.bias})


def _ia3_parts(layer: TrainableLayer) -> Parts:
    return {"weight": layer.module.weight, "on_input": layer.module.on_input}


def _glora_parts(layer: TrainableLayer) -> Parts:
    """lycoris stores the raw alpha also with rs-LoRA; readers compute alpha / r."""
    return _own_parts(layer) | {"alpha": torch.tensor(layer.module.scale * layer.module.lora_dim)}


def _oft_parts(layer: TrainableLayer) -> Parts:
    return {"oft_blocks": layer.module.oft_blocks, "alpha": layer.module.alpha}


@dataclass(frozen=True)
class _Algo:
    """How one algorithm is trained and stored."""

    module: str
    """Module and class below `lycoris.modules`."""
    delta: Callable[[TrainableLayer], Tensor]
    parts: Callable[[TrainableLayer], Parts] = _own_parts
    added: Callable[[TrainableLayer, Tensor], Tensor] = _by_weight
    """op(x, delta), in the cheapest exact form."""


_LOW_RANK = _Algo("locon:LoConModule", _low_rank_delta, added=_low_rank_added)
_ALGOS: Mapping[str, _Algo] = {
    "lora": _LOW_RANK,
    "locon": _LOW_RANK,
    "loha": _Algo("loha:LohaModule", _product_delta),
    "lokr": _Algo("lokr:LokrModule", _product_delta, _lokr_parts),
    "ia3": _Algo("ia3:IA3Module", _ia3_delta, _ia3_parts),
    "dylora": _Algo("dylora:DyLoraModule", _dylora_delta, _dylora_parts, _dylora_added),
    "full": _Algo("full:FullModule", _full_delta, _full_parts, _full_added),
    "glora": _Algo("glora:GLoRAModule", _glora_delta, _glora_parts),
    "diag-oft": _Algo("diag_oft:DiagOFTModule", _rotated_delta, _oft_parts),
    "boft": _Algo("boft:ButterflyOFTModule", _rotated_delta, _oft_parts),
}
