"""`lyco generate`: tags act, mistakes in one disable no other, pictures do not overwrite each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from lib_lyco.apply.session import Session
from lib_lyco.apply.wanted import Wanted
from lib_lyco.entry.cli import main
from lib_lyco.entry.command_generate import free_paths, parse_size
from lib_lyco.files.save import save_tensors
from lib_lyco.models.generate import GenerateRequest, generate
from lib_lyco.models.load import load_model
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.network.load import load_network

ARGUMENTS = ("--steps", "2", "--size", "32x40", "--cfg", "2", "--sampler", "DDIM", "--seed", "7")


@pytest.fixture(scope="module")
def networks(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cat.safetensors`: LoRA of rank 2 on every linear layer that makes values."""
    generator = torch.Generator().manual_seed(3)
    tensors: dict[str, torch.Tensor] = {}
    for layer, (target, *_) in load_model(small_model).targets().items():
        if layer.path.endswith(("to_v", "v_proj")):
            rows, columns = getattr(target.module, target.weight).shape
            stem = kohya_stem(layer, "sd1")
            tensors[f"{stem}.lora_up.weight"] = torch.randn(rows, 2, generator=generator)
            tensors[f"{stem}.lora_down.weight"] = torch.randn(2, columns, generator=generator)
            tensors[f"{stem}.alpha"] = torch.tensor(0.5)
    folder = tmp_path_factory.mktemp("networks")
    save_tensors(folder / "cat.safetensors", tensors, {})
    return folder


def draw(prompt: str, model: Path, networks: Path, out: Path, *more: str) -> list[NDArray[np.uint8]]:
    place = ("--model", str(model), "--networks", str(networks), "--out", str(out))
    assert main(["generate", "--prompt", prompt, *place, *ARGUMENTS, *more]) == 0
    return [np.asarray(Image.open(path)) for path in sorted(out.glob("*.png"))]


def test_tag_changes_the_picture_by_its_multiplier(
    small_model: Path, networks: Path, tmp_path: Path
) -> None:
    prompts = ("a cat", "a cat<lora:cat:0>", "a cat<lora:cat:0.5>", "a cat<lora:cat>")
    base, zero, half, full = (
        draw(prompt, small_model, networks, tmp_path / str(index))[0].astype(int)
        for index, prompt in enumerate(prompts)
    )
    assert base.shape == (40, 32, 3)
    assert np.array_equal(base, zero)
    assert 0 < np.abs(half - base).sum() < np.abs(full - base).sum()


def test_bad_tags_are_told_and_disable_no_other(
    small_model: Path, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = draw("a cat<lora:cat>", small_model, networks, tmp_path / "good")[0]
    capsys.readouterr()
    mixed = draw("a cat<lora:cat><lora:dog><lora:cat:much>", small_model, networks, tmp_path / "mixed")[0]
    out, err = capsys.readouterr()
    assert np.array_equal(good, mixed)
    assert "dog" in err and "much" in err
    assert "cat: applied" in out


def test_schedule_draws_each_step_at_its_strength(
    small_model: Path, networks: Path, tmp_path: Path
) -> None:
    tag = "<lora:cat:te=0.5@0,0@1:unet=1@0,0@1>"
    drawn = draw(f"a cat{tag}", small_model, networks, tmp_path / "ours", "--steps", "5")[0]
    model = load_model(small_model)
    network = load_network(networks / "cat.safetensors")
    by_hand = (1, 1, 2 / 3, 1 / 3, 0)  # of five steps, as loractl interpolates and the WebUI counts them
    with Session(model.targets()) as session:

        def merge(step: int, num_steps: int) -> None:
            session.apply([Wanted(network, te=0.5, unet=by_hand[step])])

        merge(0, 5)
        request = GenerateRequest(("a cat",), (7,), "", 5, 2.0, "DDIM", (32, 40))
        image = generate(model, request, merge)[0]
    expected = (image.permute(1, 2, 0) * 255).round().numpy().astype(int)
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    constant = draw("a cat<lora:cat:0.5:1>", small_model, networks, tmp_path / "constant", "--steps", "5")[
        0
    ]
    assert np.abs(drawn.astype(int) - constant).max() > 1, "a schedule without effect proves nothing"


def test_picture_says_how_it_was_made(small_model: Path, networks: Path, tmp_path: Path) -> None:
    draw("a cat<lora:cat>", small_model, networks, tmp_path)
    with Image.open(tmp_path / "00000-7.png") as picture:
        text = picture.info["parameters"]
    assert text.startswith("a cat<lora:cat>\n") and "Seed: 7" in text and "Size: 32x40" in text


def test_paths_are_new_and_numbered(tmp_path: Path) -> None:
    assert [path.name for path in free_paths(tmp_path / "new", [5, 6])] == ["00000-5.png", "00001-6.png"]
    (tmp_path / "00041-5.png").touch()
    (tmp_path / "0holiday.png").touch()
    assert [path.name for path in free_paths(tmp_path, [5])] == ["00042-5.png"]


def test_size_is_one_number_or_two() -> None:
    assert (parse_size("64"), parse_size("64x128")) == ((64, 64), (64, 128))


@pytest.mark.parametrize("size", ["", "axb", "1x2x3"])
def test_wrong_size_is_wrong_usage(size: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["generate", "--prompt", "a cat", "--size", size])
    assert exit_.value.code == 2
