"""A Stable Diffusion 1 denoiser under ldm's names, every layer of it used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 8
GROUPS = 32


class ResBlock(nn.Module):
    """Two convolutions and the time between them."""

    def __init__(self, inner: int, outer: int, time: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, outer))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, outer), nn.SiLU(), nn.Dropout(0.0), nn.Conv2d(outer, outer, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (b, c, h, w), time: (b, t)."""
        inside = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(inside)


class CrossAttention(nn.Module):
    """Attention to the context, or to itself without one."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.0))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x: (b, n, width), context: (b, m, context)."""
        context = x if context is None else context
        q, k, v = (
            projected.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for projected in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        return self.to_out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """A linear layer whose second half gates the first."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner * 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """ff.net.0.proj and ff.net.2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(width, width * 4), nn.Dropout(0.0), nn.Linear(width * 4, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    """To itself, to the text, and forward."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(width, width)
        self.ff = FeedForward(width)
        self.attn2 = CrossAttention(width, context)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """A transformer over the places of a picture."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(width, context)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x: (b, c, h, w), context: (b, m, context)."""
        inside = self.proj_in(self.norm(x))
        places = inside.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            places = block(places, context)
        return x + self.proj_out(places.transpose(1, 2).unflatten(-1, x.shape[2:]))


class Downsample(nn.Module):
    """Half the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Twice the size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class TimestepEmbedSequential(nn.Sequential):
    """Gives each of its layers what it takes."""

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, time)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x


class UNetModel(nn.Module):
    """Four levels of one width, two layers each, attention on the upper three: SD1's plan."""

    LEVELS = 4

    def __init__(self, in_channels: int, width: int, context: int) -> None:
        super().__init__()
        self.width = width
        time = width * 4
        self.time_embed = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))

        def level(inner: int, attends: bool, *rest: nn.Module) -> TimestepEmbedSequential:
            attention = [SpatialTransformer(width, context)] if attends else []
            return TimestepEmbedSequential(ResBlock(inner, width, time), *attention, *rest)

        self.input_blocks = nn.ModuleList(
            [TimestepEmbedSequential(nn.Conv2d(in_channels, width, 3, padding=1))]
        )
        for depth in range(self.LEVELS):
            last = depth == self.LEVELS - 1
            self.input_blocks.extend(level(width, not last) for _ in range(2))
            if not last:
                self.input_blocks.append(TimestepEmbedSequential(Downsample(width)))
        self.middle_block = TimestepEmbedSequential(
            ResBlock(width, width, time), SpatialTransformer(width, context), ResBlock(width, width, time)
        )
        self.output_blocks = nn.ModuleList(
            level(width * 2, depth > 0, *([Upsample(width)] if part == 2 and depth < 3 else []))
            for depth in range(self.LEVELS)
            for part in range(3)
        )
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, 4, 3, padding=1))

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """x: (b, c, h, w), timesteps: (b,), context: (b, m, context) -> (b, 4, h, w)."""
        half = self.width // 2
        rates = torch.exp(-math.log(10_000) * torch.arange(half, device=x.device) / half)
        angles = timesteps[:, None].float() * rates
        time = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=-1).to(x.dtype))
        skips: list[Tensor] = []
        for block in self.input_blocks:
            x = block(x, time, context)
            skips.append(x)
        x = self.middle_block(x, time, context)
        for block in self.output_blocks:
            skip = skips.pop()
            x = block(torch.cat([x[..., : skip.shape[2], : skip.shape[3]], skip], dim=1), time, context)
        return self.out(x)


def sizes(shapes: Mapping[str, Sequence[int]]) -> tuple[int, int, int]:
    """in_channels, width and context of a checkpoint's denoiser."""
    width, in_channels = shapes["input_blocks.0.0.weight"][:2]
    return in_channels, width, shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1]
