"""Names against packages that write and read network files: diffusers and PEFT."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lib_lyco.naming.key import split_key
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.resolve import resolve
from lib_lyco.naming.table import layer_table
from tests.naming import instantiated


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_kohya_keys_become_the_same_layers_in_diffusers(family: Family) -> None:
    peer: Any = pytest.importorskip(
        "diffusers.loaders.lora_conversion_utils", reason="diffusers is the oracle"
    )
    table = layer_table(family)
    trained = [
        layer
        for layer in table
        if ".norm" not in layer.path and "_norm" not in layer.path and "embedding" not in layer.path
    ]
    state: dict[str, torch.Tensor] = {}
    for number, layer in enumerate(trained):
        for part in ("lora_down.weight", "lora_up.weight"):
            state[f"{kohya_stem(layer, family)}.{part}"] = torch.tensor(number)
    if family == "sdxl":
        config = type("Config", (), {"layers_per_block": 2})
        state = peer._maybe_map_sgm_blocks_to_diffusers(state, config)
    converted, _ = peer._convert_non_diffusers_lora_to_diffusers(state)
    assert len(converted) == 2 * len(trained)
    for key, number in converted.items():
        split = split_key(key)
        assert split is not None, key
        assert resolve(split.stem, family) == trained[int(number)], key


@pytest.mark.parametrize(
    ("family", "algo"),
    [
        ("sd1", "LoraConfig"),
        ("sdxl", "LoraConfig"),
        ("sd1", "LoHaConfig"),
        ("sd1", "LoKrConfig"),
        ("sd1", "OFTConfig"),
    ],
)
def test_peft_keys_resolve_to_the_layers_they_were_put_on(family: Family, algo: str) -> None:
    peft: Any = pytest.importorskip("peft", reason="PEFT is the oracle")
    pytest.importorskip("diffusers", reason="diffusers builds the UNet that PEFT adapts")
    unet = instantiated.build_unet(family)
    targets = [
        name for name, child in unet.named_modules() if isinstance(child, nn.Linear) and "attn2" in name
    ]
    with torch.device("meta"):
        model = peft.get_peft_model(unet, getattr(peft, algo)(target_modules=targets))
    keys = list(peft.get_peft_model_state_dict(model)) + [
        name for name, _ in model.named_parameters() if ".default" in name
    ]
    found: set[LayerName] = set()
    for key in keys:
        split = split_key(key)
        assert split is not None, key
        layer = resolve(split.stem, family)
        assert layer is not None, key
        found.add(layer)
    assert found == {LayerName("unet", target) for target in targets}
