"""The training script: pieces give what one run gives, and latents come out white."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lib_lyco.demo.photographs import HELD_OUT, TRAINED, crops, photograph_path
from lib_lyco.demo.pretrain import denoiser
from lib_lyco.demo.pretrain.autoencoder import SCALE, build_vae, encode_all, to_tensor, whiten
from lib_lyco.demo.pretrain.data import drawn_pictures
from lib_lyco.demo.pretrain.denoiser import Examples, Trainer, cumulative_alphas, rate_at
from lib_lyco.demo.pretrain.tokens import tokenise


def some_examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    return Examples(torch.randn((3, 4, 8, 8), generator=generator), tokenise(["a", "red star", "blue", ""]))


def steps(trainer: Trainer, count: int) -> list[float]:
    return [trainer.update(some_examples(), cumulative_alphas()) for _ in range(count)]


def test_pieces_give_what_one_run_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoiser, "BATCH", 2)
    whole = Trainer(tmp_path / "whole", 10)
    losses = steps(whole, 4)
    (tmp_path / "pieces").mkdir()
    first = Trainer(tmp_path / "pieces", 10)
    assert steps(first, 2) == losses[:2]
    first.save()
    second = Trainer(tmp_path / "pieces", 10)
    assert second.step == 2
    assert steps(second, 2) == losses[2:]
    for one, two in zip(whole.average, second.average, strict=True):
        assert torch.equal(one, two)
    assert [path.name for path in (tmp_path / "pieces").iterdir()] == ["denoiser_state.pt"]


def test_rate_is_constant_until_its_decay_and_ends_at_zero() -> None:
    early = range(0, 1500, 100)
    assert [rate_at(step, 5_500) for step in early] == [rate_at(step, 9_000) for step in early]
    assert rate_at(5_499, 5_500) < 1e-6 * denoiser.LEARNING_RATE + 1e-9
    falling = [rate_at(step, 5_500) for step in range(3_100, 5_500, 100)]
    assert falling == sorted(falling, reverse=True)


def test_whitening_changes_no_picture_and_gives_unit_latents() -> None:
    torch.manual_seed(0)
    vae = build_vae().eval().requires_grad_(False)
    pictures = drawn_pictures(12, seed=1)
    images = to_tensor(pictures.pixels)
    before = vae.decode(vae.encode(images).latent_dist.mode()).sample
    whiten(vae, pictures)
    after = vae.decode(vae.encode(images).latent_dist.mode()).sample
    assert torch.allclose(before, after, atol=1e-4)
    latents = encode_all(vae, pictures.pixels) * SCALE
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=0.05)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=0.05)


def test_held_out_photographs_are_not_trained_on() -> None:
    assert not set(HELD_OUT) & set(TRAINED)
    assert {"chelsea.png", "astronaut.png"} == set(HELD_OUT)
    assert all(photograph_path(name).is_file() for name in {**TRAINED, **HELD_OUT})
    pixels, captions = crops(22, np.random.default_rng(0))
    assert pixels.shape == (22, 64, 64, 3)
    assert all(any(words in caption for words in TRAINED.values()) for caption in captions)


def test_a_photograph_that_is_not_bundled_says_so() -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        photograph_path("nothing.png")
