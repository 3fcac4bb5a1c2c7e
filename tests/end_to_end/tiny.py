"""A UNet and a text encoder of a few thousand weights with real names, and what they return."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Mode, Wanted
from lib_lyco.models.target import Target, Targets
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.network.load import load_network
from tests.oracles.layers import noise

WIDTH = 32


class TextEncoder(nn.Module):
    """CLIP's text model under the name that files give it; transformers 5 hides `text_model`."""

    def __init__(self) -> None:
        super().__init__()
        transformers = pytest.importorskip("transformers", reason="transformers builds the text encoder")
        config = transformers.CLIPTextConfig(
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            vocab_size=50,
            bos_token_id=1,
            eos_token_id=2,
        )
        model = transformers.CLIPTextModel(config)
        self.text_model: nn.Module = getattr(model, "text_model", model)


@dataclass(frozen=True)
class Tiny:
    """Both modules, in float32 and evaluation mode."""

    unet: Any
    text: TextEncoder
    is_xl: bool = False

    def copy(self) -> Tiny:
        """The same model with weights of its own."""
        return copy.deepcopy(self)

    def outputs(self) -> tuple[Tensor, Tensor]:
        """What the UNet, (2, 4, 16, 16), and the text encoder, (1, 4, 32), make of fixed inputs."""
        added = {"text_embeds": noise(2, WIDTH, seed=4), "time_ids": noise(2, 6, seed=5).abs() * 64}
        with torch.no_grad():
            drawn = self.unet(
                noise(2, 4, 16, 16, seed=1),
                torch.tensor([3, 500]),
                noise(2, 7, WIDTH, seed=2),
                added_cond_kwargs=added if self.is_xl else None,
                return_dict=False,
            )[0]
            states = self.text.text_model(input_ids=torch.tensor([[1, 5, 9, 2]]))[0]
        return drawn, states

    def targets(self) -> Targets:
        """Every layer by its own name."""
        found: dict[LayerName, tuple[Target, ...]] = {}
        components: tuple[tuple[Component, nn.Module], ...] = (("unet", self.unet), ("te1", self.text))
        for component, root in components:
            for path, module in root.named_modules():
                if isinstance(getattr(module, "weight", None), nn.Parameter):
                    layer = LayerName(component, path)
                    found[layer] = (Target(layer, module),)
        return found


def sd1() -> Tiny:
    """One block with attention, one without, each way, by SD1's names."""
    return _tiny(
        is_xl=False,
        block_out_channels=(WIDTH, WIDTH),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


def sdxl() -> Tiny:
    """SDXL's three blocks with its attention where it has it, linear projections, size conditioning."""
    return _tiny(
        is_xl=True,
        block_out_channels=(WIDTH, WIDTH, WIDTH),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=WIDTH + 6 * 8,
    )


def _tiny(*, is_xl: bool, **options: Any) -> Tiny:
    diffusers = pytest.importorskip("diffusers", reason="diffusers builds the UNet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            cross_attention_dim=WIDTH, attention_head_dim=4, norm_num_groups=8, **options
        )
        text = TextEncoder()
    return Tiny(unet.eval().requires_grad_(False), text.eval().requires_grad_(False), is_xl)


def scatter(module: nn.Module, scale: float) -> None:
    """Adds noise to everything that trains in a peer's module."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for seed, parameter in enumerate(trained):
        parameter.data.add_(noise(parameter.numel(), seed=seed, scale=scale).reshape(parameter.shape))


def check_file(path: Path, base: Tiny, expected: tuple[Tensor, Tensor], *, rank: int | None = None) -> None:
    """With the file on it, merged and bypassed, the base model returns what the peer's model returns.

    And everything in the file is used, and the base model itself returned something else.
    """
    network = load_network(path)
    assert network.unknown == ()
    model = base.copy()
    session = Session(model.targets())
    modes: tuple[Mode, ...] = ("merge", "bypass")
    for mode in modes:
        report = session.apply([Wanted(network, rank=rank)], mode)
        assert report.problems == ()
        for ours, theirs in zip(model.outputs(), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=5e-5, rtol=5e-4)
    plain = base.outputs()
    components = {layer.component for layer in network.adapters}
    for component, before, after in zip(("unet", "te1"), plain, expected, strict=True):
        moved = float((after - before).abs().max())
        assert moved > 0.02 if component in components else moved == 0, f"{component}: {moved}"
    session.restore()
    assert all(torch.equal(ours, before) for ours, before in zip(model.outputs(), plain, strict=True))
