"""Options of captions and images in whole runs: what the text encoders are asked, what is learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import PLAIN_TEXT, Cond, TextStyle
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


@dataclass(frozen=True)
class Asked:
    prompts: tuple[str, ...]
    clip_skip: int
    style: TextStyle


class Listening(TinyModel):
    """Remembers what its text encoder was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        self.asked.append(Asked(tuple(prompts), clip_skip, style))
        return super().encode_prompts(prompts, clip_skip, style, second)

    @property
    def prompts(self) -> list[str]:
        return [prompt for asked in self.asked for prompt in asked.prompts]


@pytest.fixture
def one_image(photographs: Path) -> Path:
    """A folder with one captioned image."""
    folder = photographs / "2_chelsea cat"
    (folder / "astronaut.png").unlink()
    return folder


def run(config: TrainConfig) -> Listening:
    model = Listening()
    for _ in train(config, model, clock=lambda: 0.0):
        pass
    return model


def test_captions_are_varied_and_read_as_the_options_say(make_config: Make, one_image: Path) -> None:
    (one_image / "chelsea.txt").write_text("k, a, b, c\nother", encoding="utf-8")
    model = run(
        make_config(
            images=str(one_image),
            epochs=6,
            algo="ia3",
            caption_prefix="x,",
            keep_tokens=2,
            shuffle_caption=True,
            caption_dropout_every_n_epochs=3,
            clip_skip=2,
            max_token_length=150,
            long_captions="kohya",
            weighted_captions="kohya",
        )
    )
    assert [prompt == "" for prompt in model.prompts] == [False] * 4 + [True] * 2 + [False] * 4 + [True] * 2
    texts = [prompt for prompt in model.prompts if prompt]
    assert len(set(texts)) > 2
    assert all(text.startswith("x, k, ") and sorted(text[6:].split(", ")) == list("abc") for text in texts)
    assert {(one.clip_skip, one.style) for one in model.asked} == {(2, TextStyle("kohya", "kohya", 150))}


def test_tags_come_in_by_the_steps_of_the_run(make_config: Make, one_image: Path) -> None:
    (one_image / "chelsea.txt").write_text("a, b, c, d", encoding="utf-8")
    config = make_config(images=str(one_image), epochs=3, algo="ia3", token_warmup_step=0.5)
    # by hand: half of 6 steps; floor(step * (4 - 1) / 3) + 1 tags
    assert run(config).prompts == ["a", "a, b", "a, b, c", "a, b, c, d", "a, b, c, d", "a, b, c, d"]


def test_any_line_of_the_caption_file_with_wildcards(make_config: Make, one_image: Path) -> None:
    (one_image / "chelsea.txt").write_text("one\n\ntwo\nthree", encoding="utf-8")
    config = make_config(images=str(one_image), epochs=8, algo="ia3", enable_wildcard=True)
    assert set(run(config).prompts) == {"one", "two", "three"}


@pytest.mark.parametrize(("cache", "first", "second"), [("memory", 2, 2), ("disk", 3, 1), ("off", 4, 4)])
def test_how_often_captions_are_encoded(
    make_config: Make, one_image: Path, cache: str, first: int, second: int
) -> None:
    """Two epochs of an image shown twice, with and without its caption; disk asks a probe besides."""
    config = make_config(
        images=str(one_image),
        epochs=2,
        algo="ia3",
        te_learning_rate=0.0,
        text_cache=cache,
        caption_dropout_every_n_epochs=2,
    )
    assert len(run(config).asked) == first
    assert len(run(config.replaced(name="again")).asked) == second


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"text_cache": "disk"}, "text_cache"),
        ({"text_cache": "disk", "te_learning_rate": 0.0, "shuffle_caption": True}, "text_cache"),
        ({"caption_dropout_rate_te1": 0.1}, "caption_dropout_rate_te1"),
        ({"caption_dropout_rate_te2": 0.1}, "caption_dropout_rate_te2"),
    ],
)
def test_options_that_cannot_work_with_the_model_name_themselves(
    make_config: Make, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(make_config(**values))
    assert caught.value.where == field


def learnt(config: TrainConfig) -> bool:
    """Whether training changed anything: up weights start at zero."""
    run(config)
    tensors = load_file(Path(config.output) / f"{config.name}.safetensors")
    return any(bool(value.any()) for key, value in tensors.items() if "lora_up" in key)


@pytest.mark.parametrize(("level", "learns"), [(0, False), (255, True)])
def test_what_a_mask_hides_is_not_learnt(
    make_config: Make, one_image: Path, tmp_path: Path, level: int, learns: bool
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    with Image.open(one_image / "chelsea.png") as image:
        size = image.size
    Image.new("L", size, level).save(masks / "chelsea.png")
    config = make_config(images=str(one_image), mask_folder=str(masks), flip=True)
    assert learnt(config) == learns


def test_places_outside_of_a_mask_keep_the_base_models_answer(
    make_config: Make, one_image: Path, tmp_path: Path
) -> None:
    (tmp_path / "masks").mkdir()
    with Image.open(one_image / "chelsea.png") as image:
        mask = Image.new("L", image.size)
    mask.paste(255, (0, 0, mask.width // 2, mask.height))
    mask.save(tmp_path / "masks" / "chelsea.png")
    config = make_config(images=str(one_image), mask_folder=str(tmp_path / "masks"), epochs=4)
    found: list[dict[str, torch.Tensor]] = []
    for weight in (0.0, 5.0):
        run(config.replaced(masked_prior_weight=weight))
        found.append(load_file(Path(config.output) / f"{config.name}.safetensors"))
    assert not equal(*found)


def test_transparent_places_are_not_learnt_with_alpha_mask(make_config: Make, one_image: Path) -> None:
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(one_image / "chelsea.png")
    config = make_config(images=str(one_image))
    assert learnt(config)
    assert not learnt(config.replaced(alpha_mask=True, name="masked"))


def test_augmented_images_are_the_same_with_any_number_of_workers(
    make_config: Make, one_image: Path
) -> None:
    (one_image / "chelsea.png").rename(one_image / "chelsea_40_50_20_20.png")
    found: list[dict[str, torch.Tensor]] = []
    for values in ({}, {"workers": 3}, {"color_aug": "off"}, {"face_crop_aug_range": None}):
        options: dict[str, Any] = {
            "latent_cache": "off",
            "color_aug": "corrected",
            "face_crop_aug_range": (2.0, 3.0),
            "random_crop": True,
            "epochs": 3,
        }
        config = make_config(images=str(one_image), algo="ia3", **(options | values))
        run(config)
        found.append(load_file(Path(config.output) / f"{config.name}.safetensors"))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])
    assert not equal(found[0], found[3])


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_half_precision_autoencoder_is_near_full(make_config: Make, one_image: Path) -> None:
    config = make_config(images=str(one_image), algo="ia3")
    found: list[dict[str, torch.Tensor]] = []
    for precision in ("fp32", "bf16"):
        run(config.replaced(vae_precision=precision))
        found.append(load_file(Path(config.output) / f"{config.name}.safetensors"))
    assert any(not torch.equal(found[0][key], found[1][key]) for key in found[0])
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=0.2, atol=0.05)


def test_file_says_how_captions_and_images_were_read(
    make_config: Make, one_image: Path, tmp_path: Path
) -> None:
    vae = tmp_path / "some.vae.pt"
    vae.write_bytes(bytes(range(256)) * 8)
    config = make_config(
        images=str(one_image),
        vae=str(vae),
        latent_cache="off",
        max_steps=1,
        shuffle_caption=True,
        keep_tokens=1,
        caption_dropout_rate=0.25,
        caption_dropout_every_n_epochs=4,
        caption_tag_dropout_rate=0.5,
        max_token_length=150,
        color_aug="corrected",
        face_crop_aug_range=(2.0, 4.0),
    )
    run(config)
    with safe_open(Path(config.output) / f"{config.name}.safetensors", "pt") as file:
        metadata = file.metadata()
    expected = {
        "ss_shuffle_caption": "True",
        "ss_keep_tokens": "1",
        "ss_caption_dropout_rate": "0.25",
        "ss_caption_dropout_every_n_epochs": "4",
        "ss_caption_tag_dropout_rate": "0.5",
        "ss_max_token_length": "150",
        "ss_color_aug": "True",
        "ss_face_crop_aug_range": "(2.0, 4.0)",
        "ss_cache_latents": "False",
        "ss_vae_name": "some.vae.pt",
        "ss_new_vae_hash": hashlib.sha256(vae.read_bytes()).hexdigest(),
        # of the 64 KiB after the first MiB: nothing
        "ss_vae_hash": hashlib.sha256(b"").hexdigest()[:8],
    }
    assert {key: metadata.get(key) for key in expected} == expected


def test_state_of_a_run_with_another_autoencoder_is_refused(
    make_config: Make, one_image: Path, tmp_path: Path
) -> None:
    vae = tmp_path / "some.vae.pt"
    vae.write_bytes(b"one")
    config = make_config(images=str(one_image), vae=str(vae), max_steps=1)
    run(config)
    (state,) = Path(config.output).glob("*.state")
    vae.write_bytes(b"two")
    with pytest.raises(ConfigError, match="base model"):
        run(config.replaced(resume=str(state)))


def test_captions_of_which_not_all_is_read_are_told(make_config: Make, one_image: Path) -> None:
    pytest.importorskip("tokenizers")
    for count, told in ((75, False), (76, True)):
        (one_image / "chelsea.txt").write_text("short\n" + "cat " * count, encoding="utf-8")
        config = make_config(images=str(one_image), max_token_length=75, enable_wildcard=True)
        notes = [note for note in plan_run(config).notes if "max_token_length" in note]
        assert [("chelsea" in note) for note in notes] == [True] * told
