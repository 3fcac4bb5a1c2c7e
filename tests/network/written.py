"""State dicts as other tools save them, on real but tiny diffusers and transformers modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from torch import Tensor, nn

TEXT_WIDTH = 24
NUM_TEXT_LAYERS = 2


def tiny_unet() -> Any:
    """SD1's UNet, every layer by its name, at a tenth of the width."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers builds the UNet")
    return diffusers.UNet2DConditionModel(
        block_out_channels=(32, 32, 64, 64),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


class TinyTextEncoder(nn.Module):
    """CLIP's text model under the name that files give it; transformers 5 hides `text_model`."""

    def __init__(self) -> None:
        super().__init__()
        transformers = pytest.importorskip("transformers", reason="transformers builds the text encoder")
        config = transformers.CLIPTextConfig(
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=NUM_TEXT_LAYERS,
            num_attention_heads=2,
            vocab_size=50,
            bos_token_id=1,
            eos_token_id=2,
        )
        model = transformers.CLIPTextModel(config)
        self.text_model: nn.Module = getattr(model, "text_model", model)


def by_lycoris(algo: str, preset: str, **options: str) -> dict[str, Tensor]:
    """What LyCORIS saves as a module of kohya's sd-scripts, before any training step."""
    kohya = pytest.importorskip("lycoris.kohya", reason="lycoris writes the file")
    unet, text_encoder = tiny_unet(), TinyTextEncoder()
    network = kohya.create_network(
        1.0, 2, 1.0, None, text_encoder, unet, algo=algo, preset=preset, warn_on_unmatched=False, **options
    )
    network.apply_to(text_encoder, unet, True, True)
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def by_peft(config: Any) -> dict[str, Tensor]:
    """What PEFT saves of a wrapped UNet."""
    peft = pytest.importorskip("peft", reason="PEFT writes the file")
    return dict(peft.get_peft_model_state_dict(peft.get_peft_model(tiny_unet(), config)))


def stems(state: Mapping[str, Tensor]) -> set[str]:
    """The layers of a kohya-style file: what stands before the first dot."""
    return {key.partition(".")[0] for key in state}
