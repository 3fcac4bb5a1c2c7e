"""A small model with every kind of layer, and made-up networks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.network.network import Network

RANK = 3
ADDITIVE = ("lora", "loha", "loha16", "lokr", "full")
OTHERS = ("ia3", "dora", "oft", "glora")


class SmallModel(nn.Module):
    """The layers of a Stable Diffusion model, one of each kind."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.linear = nn.Linear(24, 16)
            self.bare = nn.Linear(24, 16, bias=False)
            self.pointwise = nn.Conv2d(8, 16, 1)
            self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
            self.norm = nn.LayerNorm(24)
            self.groups = nn.GroupNorm(4, 8)
            self.attention = nn.MultiheadAttention(24, 4, batch_first=True)

    def forward(self, tokens: Tensor, images: Tensor) -> tuple[Tensor, ...]:
        """(b, n, 24), (b, 8, h, w) -> the output of each layer."""
        tokens, images = self.norm(tokens), self.groups(images)
        mixed: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        return (self.linear(tokens), self.bare(tokens), self.pointwise(images), self.down(images), mixed)


def name(path: str, component: Component = "unet") -> LayerName:
    return LayerName(component, path)


def targets_of(model: SmallModel) -> Targets:
    """All layers: the convs and linears belong to `unet`, the attention to `te1`."""
    plain: dict[str, nn.Module] = {
        "linear": model.linear,
        "bare": model.bare,
        "pointwise": model.pointwise,
        "down": model.down,
        "norm": model.norm,
        "groups": model.groups,
    }
    targets = {name(path): (Target(name(path), module),) for path, module in plain.items()}
    for index, part in enumerate(("q_proj", "k_proj", "v_proj")):
        layer = name(part, "te1")
        rows = (24 * index, 24 * (index + 1))
        targets[layer] = (Target(layer, model.attention, "in_proj_weight", "in_proj_bias", rows),)
    out = name("out_proj", "te1")
    targets[out] = (Target(out, model.attention.out_proj),)
    return targets


def inputs(seed: int = 0, batch: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, 5, 24, generator=generator)
    return tokens, torch.randn(batch, 8, 9, 9, generator=generator)


def parts_of(algo: str, shape: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Returns random tensors of one layer as a file would hold them."""

    def noise(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator) * 0.2

    out, channels, *kernel = (*shape, 1) if len(shape) == 1 else shape
    inner = channels * torch.Size(kernel).numel()
    alpha = {"alpha": torch.tensor(1.5)}
    if algo in ("lora", "dora"):
        down = noise(RANK, channels, *kernel)
        parts = {"lora_up.weight": noise(out, RANK, *[1] * len(kernel)), "lora_down.weight": down, **alpha}
        return parts | (
            {"dora_scale": 1 + noise(out, 1, *[1] * len(kernel)).abs()} if algo == "dora" else {}
        )
    if algo.startswith("loha"):
        rank = 16 if algo == "loha16" else 1
        rows = {f"hada_w{half}_a": noise(out, rank) * 2 for half in (1, 2)}
        return rows | {f"hada_w{half}_b": noise(rank, inner) * 2 for half in (1, 2)} | alpha
    if algo == "lokr":
        return {"lokr_w1": noise(4, 2), "lokr_w2": noise(out // 4, channels // 2, *kernel)}
    if algo == "full":
        return {"diff": noise(*shape), "diff_b": noise(out)}
    if algo == "norm":
        return {"w_norm": noise(out), "b_norm": noise(out)}
    if algo == "ia3":
        return {"weight": noise(out), "on_input": torch.tensor(0.0)}
    if algo == "oft":
        return {"oft_blocks": noise(4, out // 4, out // 4), "alpha": torch.tensor(0.0)}
    assert algo == "glora", algo
    return {
        "a1.weight": noise(channels, RANK),
        "a2.weight": noise(RANK, channels),
        "b1.weight": noise(out, RANK),
        "b2.weight": noise(RANK, channels, *kernel),
    }


def adapter_of(algo: str, shape: Sequence[int], seed: int = 0) -> Adapter:
    return decode(parts_of(algo, shape, torch.Generator().manual_seed(seed)), Hints()).adapter


def shape_of(target: Target) -> tuple[int, ...]:
    """The layer's weight shape; only its own rows of a fused parameter."""
    shape = tuple(target.module.get_parameter(target.weight).shape)
    return shape if target.rows is None else (target.rows[1] - target.rows[0], *shape[1:])


def network_of(content_id: str, adapters: Mapping[LayerName, Adapter]) -> Network:
    return Network(name=content_id, content_id=content_id, family="sd1", adapters=adapters)


def random_network(targets: Targets, algos: Sequence[str], seed: int, share: float = 1.0) -> Network:
    """A network with a random algorithm on a random share of the layers."""
    generator = torch.Generator().manual_seed(seed)
    adapters: dict[LayerName, Adapter] = {}
    for layer, (target,) in targets.items():
        if float(torch.rand((), generator=generator)) > share:
            continue
        shape = shape_of(target)
        algo = algos[int(torch.randint(len(algos), (), generator=generator))]
        parts = parts_of("norm" if len(shape) == 1 else algo, shape, generator)
        adapters[layer] = decode(parts, Hints()).adapter
    return network_of(f"network{seed}", adapters)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters."""
    return {key: value.detach().clone() for key, value in model.named_parameters()}


def assert_same_weights(model: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Every parameter is there, and bit for bit what it was."""
    now = dict(model.named_parameters())
    assert now.keys() == before.keys()
    for key, value in before.items():
        assert now[key].dtype == value.dtype
        assert torch.equal(
            now[key].detach().contiguous().view(torch.uint8), value.contiguous().view(torch.uint8)
        ), key


def attributes(model: nn.Module) -> dict[str, dict[str, object]]:
    """All that a module carries: parameters and hooks by identity, everything else by value."""
    found: dict[str, dict[str, object]] = {}
    for path, module in model.named_modules():
        found[path] = {
            key: {k: id(v) for k, v in value.items()} if isinstance(value, dict) else value
            for key, value in vars(module).items()
        }
    return found
