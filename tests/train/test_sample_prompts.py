"""Sample prompts in kohya's syntax; expected values by reading sd-scripts' `line_to_prompt_dict`."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lyco.errors import DataError
from lib_lyco.train.sample_prompts import KOHYA_SAMPLERS, Picture, read_prompts

DEFAULT = Picture("", size=(512, 512), sampler="Euler a")
LINES = """# a comment
masterpiece, 1girl --n low quality, worst -- bad --w 775 --h 512 --d 1 --l 7.5 --s 28 --ss dpm_2_a

  a cat, sitting --d 0 --s 5000
--n only a negative
"""
EXPECTED = [
    Picture("masterpiece, 1girl", "low quality, worst -- bad", (768, 512), 28, 7.5, "DPM2 a", 1),
    Picture("a cat, sitting", steps=1000, seed=0),
    Picture("", "only a negative"),
]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_are_read_as_kohya_reads_them(tmp_path: Path) -> None:
    assert read_prompts(written(tmp_path, "a.txt", LINES), DEFAULT) == EXPECTED


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    table = '[prompt]\nwidth = 640\nscale = 5\n[[prompt.subset]]\nprompt = "a"\nseed = 3\n'
    table += '[[prompt.subset]]\nprompt = "b"\nnegative_prompt = "c"\nsample_sampler = "ddim"\n'
    wide = Picture("", size=(640, 512), guidance=5.0)
    expected = [
        Picture("a", size=wide.size, guidance=5.0, seed=3),
        Picture("b", "c", size=wide.size, guidance=5.0, sampler="DDIM"),
    ]
    assert read_prompts(written(tmp_path, "a.toml", table), DEFAULT) == expected
    listed = '[{"prompt": "a", "width": 640, "scale": 5, "seed": 3}, "b --n c --w 640 --l 5 --ss ddim"]'
    assert read_prompts(written(tmp_path, "a.json", listed), DEFAULT) == expected


def test_what_a_prompt_does_not_say_is_the_runs(tmp_path: Path) -> None:
    default = Picture("", size=(64, 96), sampler="Heun", clip_skip=2)
    (picture,) = read_prompts(written(tmp_path, "a.txt", "a --d 4"), default)
    assert picture == Picture("a", size=(64, 96), sampler="Heun", clip_skip=2, seed=4)


@pytest.mark.parametrize(
    ("name", "text", "got"),
    [
        ("a.txt", "a --g 3.5", "--g"),
        ("a.txt", "a\nb --cn image.png", "--cn"),
        ("a.txt", "a --w wide", "wide"),
        ("a.json", "{", "Expecting"),
        ("a.toml", "a = 1", "prompt"),
        ("a.json", '[{"prompt": "a", "colour": 1}]', "colour"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_with_its_place(
    tmp_path: Path, name: str, text: str, got: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_prompts(written(tmp_path, name, text), DEFAULT)
    assert got in caught.value.got and name in caught.value.where
    with pytest.raises(DataError, match="cannot be read"):
        read_prompts(tmp_path / "gone.txt", DEFAULT)


def test_every_sampler_of_kohyas_has_one_that_draws() -> None:
    sampling = pytest.importorskip("lib_lyco.models.sampling")
    # sd-scripts, add_sample arguments: the choices of --sample_sampler
    kohyas = "ddim pndm lms euler euler_a heun dpm_2 dpm_2_a dpmsolver dpmsolver++ dpmsingle"
    kohyas += " k_lms k_euler k_euler_a k_dpm_2 k_dpm_2_a"
    assert set(KOHYA_SAMPLERS) == set(kohyas.split())
    assert set(KOHYA_SAMPLERS.values()) <= set(sampling.SAMPLERS)
