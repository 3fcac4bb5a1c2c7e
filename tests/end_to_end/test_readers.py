"""Files that we train, loaded by the programs that people load them into: the same change of every weight.

Where a program reads a kind of network wrongly, or not at all, `CANNOT` says why, and the test that it is
so still: `wd_on_output = false` is the DoRA that the WebUI's builtin and ComfyUI read as it was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lib_lyco.demo.madeup import Known, write_checkpoint
from lib_lyco.models.base import BaseModel
from lib_lyco.models.load import load_model
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.export import export_tensors
from lib_lyco.train.network import TrainableNetwork
from tests.oracles.layers import noise
from tests.oracles.readers import Changes, by_builtin, by_comfyui, by_diffusers, by_lycoris, by_sd_scripts
from tests.oracles.sources import sources

LAYERS = (
    r"unet\.down_blocks\.1\.attentions\.0\.",
    r"unet\.down_blocks\.1\.resnets\.0\.",
    r"unet\.down_blocks\.0\.downsamplers",
    r"unet\.up_blocks\.1\.upsamplers",
    r"te\d\.text_model\.encoder\.layers\.0\.",
)
CONV = {"conv_rank": 2, "conv_alpha": 1.0}
CASES: Mapping[str, dict[str, Any]] = {
    "lora": {"algo": "lora"},
    "locon": {"algo": "locon", **CONV},
    "tucker": {"algo": "locon", "tucker": True, **CONV},
    "rs": {"algo": "lora", "rs_lora": True},
    "scalar": {"algo": "locon", "use_scalar": True},
    "norms": {"algo": "lora", "train_norm": True, **CONV},
    "dora": {"algo": "locon", "dora": True},
    "dora on input": {"algo": "locon", "dora": True, "wd_on_output": False},
    "ranks": {"algo": "locon", "block_dims": tuple(range(1, 26)), "conv_block_dims": (3,) * 25},
    "dylora": {"algo": "dylora", "block_size": 2},
    "tlora": {"algo": "tlora", **CONV},
    "loha": {"algo": "loha"},
    "loha tucker": {"algo": "loha", "tucker": True},
    "loha dora on input": {"algo": "loha", "dora": True, "wd_on_output": False},
    "lokr": {"algo": "lokr", "factor": 4, "rank": 2, "conv_rank": 2},
    "lokr whole": {"algo": "lokr", "factor": 4, "full_matrix": True},
    "lokr both": {"algo": "lokr", "rank": 1, "conv_rank": 1, "decompose_both": True},
    "lokr tucker": {"algo": "lokr", "factor": 4, "rank": 2, "conv_rank": 2, "tucker": True},
    "lokr unbalanced": {"algo": "lokr", "factor": 4, "unbalanced_factorization": True},
    "ia3": {"algo": "ia3"},
    "full": {"algo": "full"},
    "glora": {"algo": "glora"},
    "diag-oft": {"algo": "diag-oft"},
    "diag-oft rescaled": {"algo": "diag-oft", "rescaled": True},
    "diag-oft constraint": {"algo": "diag-oft", "constraint": 0.001},
    "boft": {"algo": "boft"},
}
SOURCES = {"builtin": "WEBUI_DIR", "comfyui": "COMFYUI_DIR", "sd-scripts": "SD_SCRIPTS_DIR"}
LIMIT = 2e-5
"""Of a change beside the largest of its layer, all in float32."""
Trained = tuple[TrainableNetwork, Path]
READERS: Mapping[str, Callable[[Path, BaseModel], Changes]] = {
    "builtin": by_builtin,
    "comfyui": by_comfyui,
    "sd-scripts": by_sd_scripts,
    "diffusers": by_diffusers,
    "lycoris": by_lycoris,
}
_LORAS = ("lora", "locon", "rs", "scalar", "ranks", "dylora", "tlora")
_OTHERS = [case for case in CASES if case not in _LORAS]
_CONSTRAINT = "its constraint is not multiplied by the width, as kohya's and LyCORIS' are"
_OUTPUT = "it takes a DoRA's norm over inputs, whatever the file says"
_BY_SHAPE = "LyCORIS' loader makes a DoRA with a magnitude for each output only"
CANNOT: Mapping[str, Mapping[str, str]] = {
    "builtin": {"dora": _OUTPUT, "glora": "it knows the layout before LyCORIS 3 only"},
    "comfyui": {
        "dora": "it takes the norm of the weight without the change, where a magnitude is of outputs",
        "lokr tucker": "its product of strided tensors fails on convolutions, and leaves them as they are",
        "ia3": "it has no IA3",
        "diag-oft rescaled": "it has no rescale",
        "diag-oft constraint": _CONSTRAINT,
    },
    # sd-scripts takes LyCORIS for everything else; so does the row `lycoris`
    "sd-scripts": dict.fromkeys(_OTHERS, "networks.lora is for LoRA and LoCon"),
    "diffusers": dict.fromkeys(
        _OTHERS, "it converts LoRA only, leaves magnitudes out, and refuses the rest"
    ),
    "lycoris": {
        "dora on input": _BY_SHAPE,
        "loha dora on input": _BY_SHAPE,
        "lokr tucker": "it reads the rank from the wrong side",
        "lokr unbalanced": "it makes the factors balanced",
        "ia3": "its loader hands over one value too many",
    },
}
IN_SDXL = ("locon", "norms", "ranks", "tlora", "loha", "lokr", "full", "ia3")
"""There the names of layers differ, and a second text encoder joins; the mathematics is the same."""


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    family: Known = request.param
    checkpoint = tmp_path_factory.mktemp(family) / "base.safetensors"
    return load_model(write_checkpoint(checkpoint, family, width=32), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def files(model: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """A network of each kind on some layers, off its initial values, and its file; each made once."""
    folder = tmp_path_factory.mktemp("networks")
    count = 25 if model.family == "sd1" else 23

    @cache
    def made(case: str) -> Trained:
        cut = {
            name: value[:count] if name.endswith("block_dims") else value
            for name, value in CASES[case].items()
        }
        options: dict[str, Any] = {"rank": 4, "alpha": 2.0, "include_layers": LAYERS, **cut}
        config = TrainConfig(**options)
        network = make_network(config, model)
        for seed, layer in enumerate(network):
            for index, parameter in enumerate(layer.parameters):
                moved = noise(parameter.numel(), seed=seed * 8 + index, scale=0.1)
                parameter.data += moved.view(parameter.shape)
        path = folder / f"{case}.safetensors"
        save_file(export_tensors(network, model.family, torch.float32), path)
        return network, path

    return made


def error(network: TrainableNetwork, changes: Changes) -> float:
    """The largest error of any weight or bias, beside the largest change of its layer; inf if one lacks."""
    errors = [0.0]
    for layer in network:
        found = changes.get(layer.layer)
        wanted, shift = layer.delta(), layer.bias_delta()
        if found is None or (shift is not None and found.bias is None):
            return float("inf")
        errors.append(float((found.weight.reshape(wanted.shape) - wanted).abs().max() / wanted.abs().max()))
        if shift is not None and found.bias is not None:
            errors.append(float((found.bias - shift).abs().max() / shift.abs().max()))
    return max(errors)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reader", READERS)
def test_trained_file_does_elsewhere_what_was_trained(
    model: BaseModel, files: Callable[[str], Trained], reader: str, case: str
) -> None:
    if model.family == "sdxl" and case not in IN_SDXL:
        pytest.skip("in SDXL only the names are others")
    if reader in SOURCES:
        sources(SOURCES[reader])
    network, path = files(case)
    if case not in CANNOT[reader]:
        assert error(network, READERS[reader](path, model)) < LIMIT
        return
    try:
        found = READERS[reader](path, model)
    except (RuntimeError, KeyError, ValueError, TypeError, AssertionError, AttributeError):
        return
    assert error(network, found) > 100 * LIMIT, f"it can now: {CANNOT[reader][case]}"
