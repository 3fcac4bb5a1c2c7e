"""What the tensors' shapes say about the weight, against LyCORIS' and PEFT's own modules."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from lib_lyco.naming.dims import Dims, layer_dims
from lib_lyco.naming.key import split_key

LINEAR = (64, 24)
CONV = (64, 24, 3, 3)
OUT = 64


def base_layer(shape: tuple[int, ...]) -> nn.Module:
    return nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.Conv2d(shape[1], shape[0], 3)


def parts_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    parts: dict[str, tuple[int, ...]] = {}
    for name, tensor in module.state_dict().items():
        split = split_key(f"lora_unet_x.{name}")
        assert split is not None, name
        parts[split.part] = tuple(tensor.shape)
    return parts


@pytest.mark.parametrize("shape", [LINEAR, CONV], ids=["linear", "conv"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("locon.LoConModule", {}),
        ("locon.LoConModule", {"use_tucker": True}),
        ("loha.LohaModule", {}),
        ("loha.LohaModule", {"use_tucker": True}),
        ("lokr.LokrModule", {"factor": 4}),
        ("lokr.LokrModule", {"factor": 4, "full_matrix": True}),
        ("lokr.LokrModule", {"factor": 8, "decompose_both": True}),
        ("lokr.LokrModule", {"factor": 4, "use_tucker": True}),
        ("glora.GLoRAModule", {}),
        ("diag_oft.DiagOFTModule", {}),
        ("boft.ButterflyOFTModule", {}),
    ],
)
def test_lycoris_tensors_tell_the_weight(
    name: str, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    lycoris: Any = pytest.importorskip("lycoris.modules", reason="LyCORIS is the oracle")
    rank = 2 if "decompose_both" in options else 4
    file, _, cls = name.partition(".")
    module_class = getattr(getattr(lycoris, file), cls)
    module = module_class("x", base_layer(shape), 1.0, rank, 1.0, **options)
    dims = layer_dims(parts_of(module))
    assert dims.fits(shape) is True
    assert dims.out == OUT
    assert dims.fits((OUT + 1, *shape[1:])) is False
    knows_input = "OFT" not in cls
    assert dims.fits((shape[0], shape[1] + 1, *shape[2:])) is (not knows_input)


@pytest.mark.parametrize(
    ("parts", "dims"),
    [
        ({"diff": (48, 24, 3, 3)}, Dims(48, 24)),
        ({"diff": (48,), "diff_b": (48,)}, Dims(48)),
        ({"diff_b": (48,)}, Dims(48)),
        ({"w_norm": (48,), "b_norm": (48,)}, Dims(48)),
        ({"p_layer.weight": (48, 4), "q_layer.weight": (4, 24), "lambda_layer": (1, 4)}, Dims(48, 24)),
        # PEFT's OFTv2 turns the input: 3 blocks of 8 x 8, of which 28 values lie above the diagonal
        ({"oft_R.weight": (3, 28)}, Dims(0, 24)),
        ({"oft_diag": (6, 8, 8)}, Dims(48)),
        # LyCORIS' DyLoRA conv: up without kernel dims
        ({"lora_up.weight": (48, 4), "lora_down.weight": (4, 24, 3, 3)}, Dims(48, 24)),
        # OneTrainer's LoHa conv
        ({"hada_w1_a": (48, 4, 1, 1), "hada_w1_b": (4, 24, 3, 3)}, Dims(48, 24)),
        # GLoRA up to LyCORIS 2: the same parts transposed
        (
            {"a1.weight": (4, 24), "a2.weight": (24, 4), "b1.weight": (4, 24), "b2.weight": (48, 4)},
            Dims(48, 24),
        ),
        ({"weight": (48,), "on_input": ()}, Dims()),
        ({"lora_up.weight": (), "lora_down.weight": ()}, Dims()),
        ({"lokr_w1": (4,), "lokr_w2": (12, 6)}, Dims()),
        # a crippled factor beside the two that replace it
        (
            {"lokr_w1": (4,), "lokr_w1_a": (4, 2), "lokr_w1_b": (2, 4), "lokr_w2": (12, 6)},
            Dims(48, 24),
        ),
        ({}, Dims()),
    ],
)
def test_dims_by_hand(parts: dict[str, tuple[int, ...]], dims: Dims) -> None:
    assert layer_dims(parts) == dims


def test_nothing_known_fits_neither_way() -> None:
    assert Dims().fits((48, 24)) is None


def test_flattened_kernel_fits_the_conv_only() -> None:
    assert Dims(48, 24 * 9).fits((48, 24, 3, 3))
    assert not Dims(48, 24 * 9).fits((48, 24))
    assert Dims(48, 48).fits((48,))
