"""Made-up models and networks have the names and shapes of real ones.

What real ones are is said by their published sizes and by the libraries that load them
(tests/models/test_load.py loads the made-up files through diffusers' own converters).
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from safetensors import safe_open
from safetensors.torch import load_file

from lib_lyco.demo.madeup import (
    FULL,
    Algo,
    Known,
    network_metadata,
    network_tensors,
    small_plan,
    write_checkpoint,
)
from lib_lyco.models.load import load_model
from lib_lyco.models.sources import part_sources
from lib_lyco.naming.detect import detect_family
from lib_lyco.network.decode import decode_network

FAMILIES: tuple[Known, ...] = ("sd1", "sd2", "sdxl")
ALGOS: tuple[Algo, ...] = ("lora", "locon", "loha", "lokr", "ia3", "full")


@pytest.mark.parametrize(
    ("family", "part", "num_parameters"),
    [
        # as the published models' diffusers and transformers modules count them
        ("sd1", "unet", 859_520_964),
        ("sd1", "te1", 123_060_480),
        ("sd1", "vae", 83_653_863),
        ("sd2", "unet", 865_910_724),
        ("sd2", "te1", 340_387_840),
        ("sdxl", "unet", 2_567_463_684),
        ("sdxl", "te1", 123_060_480),
        ("sdxl", "te2", 694_659_840),
        ("sdxl", "vae", 83_653_863),
    ],
)
def test_full_size_counts_the_published_number_of_parameters(
    family: Known, part: str, num_parameters: int
) -> None:
    sources = next(found for name, found in part_sources(FULL[family]).items() if name == part)
    assert sum(math.prod(source.shape) for source in sources.values()) == num_parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_file_is_reproducible_and_finite_and_small(family: Known, tmp_path: Path) -> None:
    first = write_checkpoint(tmp_path / "first.safetensors", family, seed=3)
    second = write_checkpoint(tmp_path / "second.safetensors", family, seed=3)
    other = write_checkpoint(tmp_path / "other.safetensors", family, seed=4)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()
    assert first.stat().st_size < 100_000_000
    assert all(value.isfinite().all() for value in load_file(first).values())
    assert first.with_suffix(".yaml").is_file()


@pytest.mark.parametrize("family", FAMILIES)
def test_text_states_do_not_average_to_zero(family: Known, tmp_path: Path) -> None:
    model = load_model(write_checkpoint(tmp_path / "model.safetensors", family))
    with torch.no_grad():
        states = model.encode_prompts(["a cat", ""]).states
    # the WebUI's emphasis divides by the mean of an image's states; 0.01 of 1 is far from rounding
    assert (states.mean(dim=(1, 2)).abs() > 0.01).all()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("algo", ALGOS)
def test_network_is_understood_whole(family: Known, algo: Algo) -> None:
    plan = small_plan(family)
    tensors = network_tensors(plan, algo)
    network = decode_network(tensors, network_metadata(plan, algo), "made-up", "id")
    assert network.family == family
    assert not network.unknown
    stems = {key.split(".", 1)[0] for key in tensors}
    assert len(network.adapters) == len(stems)


@pytest.mark.parametrize(
    ("family", "num_unet", "num_text"),
    # sd-scripts prints these for its networks.lora
    [("sd1", 192, 72), ("sd2", 192, 138), ("sdxl", 722, 264)],
)
def test_lora_has_as_many_layers_as_one_of_sd_scripts(family: Known, num_unet: int, num_text: int) -> None:
    stems = {key.split(".", 1)[0] for key in network_tensors(small_plan(family), "lora")}
    assert sum(stem.startswith("lora_unet_") for stem in stems) == num_unet
    assert sum(stem.startswith("lora_te") for stem in stems) == num_text


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_full_size_network_is_recognised_by_its_shapes_alone(family: Known) -> None:
    shapes = {
        key: tuple(value.shape) for key, value in network_tensors(FULL[family], "lora", rank=1).items()
    }
    assert detect_family(shapes, {}).family == family


def test_metadata_of_a_checkpoint_names_what_shapes_cannot_tell(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.safetensors", "sd2")
    with safe_open(str(path), "pt") as file:
        metadata = file.metadata()
    assert metadata["modelspec.prediction_type"] == "v"
