"""Sample pictures of `lyco train` are what `lyco generate` draws with the saved file."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_lyco.demo.concepts import CAT, write_training_folder
from lib_lyco.entry.cli import main

LOOK = ("--steps", "3", "--cfg", "5", "--seed", "4", "--size", "64", "--sampler", "DDIM")


@pytest.mark.slow
def test_sample_is_the_saved_files_picture(tmp_path: Path, small_model: Path) -> None:
    write_training_folder(tmp_path / "images", [CAT], size=64)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat --s 3 --l 5 --d 4 --ss ddim", encoding="utf-8")
    options = {
        **{"base-model": small_model, "images": tmp_path / "images", "output": tmp_path / "out"},
        **{"resolution": 64, "bucket-min": 64, "max-steps": 2, "learning-rate": 0.05, "name": "cat"},
        **{"sample-prompts": prompts, "sample-every-n-steps": 2},
    }
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert main(["train", *flags, "--sample-without-network", "--no-buckets"]) == 0
    pictures = sorted((tmp_path / "out" / "sample").glob("cat_*.png"), key=lambda path: len(path.name))
    assert [("_without" in path.name, "_4" in path.name) for path in pictures] == [
        (False, True),
        (True, True),
    ]
    for path, tag in zip(pictures, (" <lora:cat:1>", ""), strict=True):
        folder = tmp_path / f"generated{len(tag)}"
        request = ["generate", "--model", str(small_model), "--prompt", f"a cat{tag}", "--out", str(folder)]
        assert main([*request, "--networks", str(tmp_path / "out"), *LOOK]) == 0
        (expected,) = folder.glob("*.png")
        with Image.open(path) as drawn, Image.open(expected) as wanted:
            assert drawn.tobytes() == wanted.tobytes()
    with Image.open(pictures[0]) as one, Image.open(pictures[1]) as other:
        assert one.tobytes() != other.tobytes()
