"""Conds: kept by content, encoded once, never stale, the same as without being kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from lib_lyco.demo.madeup import write_checkpoint
from lib_lyco.models.base import PLAIN_TEXT, Cond, TextStyle
from lib_lyco.models.diffusers_model import DiffusersModel
from lib_lyco.models.load import load_model
from lib_lyco.train.data.variation import Caption
from lib_lyco.train.text import TextEncoding, Texts
from lib_lyco.train.world import World

SHORT, LONG = Caption("a cat", "a cat"), Caption("a dog " * 50, "a dog " * 50)


class Counting:
    """A base model that counts the captions it encodes."""

    def __init__(self, model: DiffusersModel) -> None:
        self.model = model
        self.seen: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        self.seen += prompts
        return self.model.encode_prompts(prompts, clip_skip, style, second)


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DiffusersModel:
    place = tmp_path_factory.mktemp("model") / "model.safetensors"
    return load_model(write_checkpoint(place, request.param))


@pytest.fixture
def model(loaded: DiffusersModel) -> Counting:
    return Counting(loaded)


def encoding(model: Counting, clip_skip: int = 1, style: TextStyle = PLAIN_TEXT) -> TextEncoding:
    return TextEncoding(model, clip_skip, style)  # type: ignore[arg-type]


def assert_same(one: Cond, two: Cond) -> None:
    torch.testing.assert_close(one.states, two.states, rtol=1e-4, atol=1e-5)
    assert (one.pooled is None) == (two.pooled is None)
    if one.pooled is not None and two.pooled is not None:
        torch.testing.assert_close(one.pooled, two.pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("on_disk", [False, True])
def test_kept_conds_are_those_of_the_whole_batch(model: Counting, tmp_path: Path, on_disk: bool) -> None:
    texts = Texts(encoding(model), learning=False, folder=tmp_path if on_disk else None)
    batch = [SHORT, LONG, SHORT]
    with torch.no_grad():
        expected = encoding(model).encode(batch)
    model.seen.clear()
    for _ in range(2):
        assert_same(texts.conds(batch), expected)
    assert model.seen == [SHORT.first, LONG.first, ""]
    assert not texts.conds(batch).states.requires_grad


def test_second_run_reads_what_the_first_encoded(model: Counting, tmp_path: Path) -> None:
    first = Texts(encoding(model), learning=False, folder=tmp_path).conds([SHORT])
    texts = Texts(encoding(model), learning=False, folder=tmp_path)
    model.seen.clear()
    found = texts.conds([SHORT])
    assert model.seen == []
    assert torch.equal(found.states, first.states)
    if first.pooled is not None and found.pooled is not None:
        assert torch.equal(found.pooled, first.pooled)


def test_other_captions_settings_or_encoders_never_meet_an_old_file(
    model: Counting, tmp_path: Path
) -> None:
    def asks(encoding: TextEncoding, caption: Caption = SHORT) -> bool:
        texts = Texts(encoding, learning=False, folder=tmp_path)
        model.seen.clear()
        texts.conds([caption])
        return bool(model.seen)

    assert asks(encoding(model))
    assert not asks(encoding(model))
    assert asks(encoding(model), Caption("a cat,", "a cat,"))
    assert asks(encoding(model), Caption("a cat", ""))
    assert asks(encoding(model, clip_skip=2))
    assert asks(encoding(model, style=TextStyle("kohya", max_tokens=150)))
    assert asks(encoding(model, style=TextStyle(weights="kohya")))
    encoder = model.model.component("te1")
    assert encoder is not None
    trained = encoder.get_parameter("text_model.encoder.layers.0.self_attn.q_proj.weight")
    with torch.no_grad():
        before = trained.clone()
        trained.add_(0.01)
    try:
        assert asks(encoding(model))
    finally:
        with torch.no_grad():
            trained.copy_(before)
    assert not asks(encoding(model))


def test_damaged_file_is_made_anew(model: Counting, tmp_path: Path) -> None:
    first = Texts(encoding(model), learning=False, folder=tmp_path).conds([SHORT])
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:20])
    texts = Texts(encoding(model), learning=False, folder=tmp_path)
    assert torch.equal(texts.conds([SHORT]).states, first.states)


def test_captions_that_vary_are_not_kept(model: Counting, tmp_path: Path) -> None:
    once = Caption("once", "once", lasting=False)
    for folder in (None, tmp_path):
        texts = Texts(encoding(model), learning=False, folder=folder)
        model.seen.clear()
        for _ in range(2):
            texts.conds([once])
            texts.conds([once, SHORT])
        assert model.seen.count("once") == 4
        assert model.seen.count(SHORT.first) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_is_kept_while_a_text_encoder_learns_or_when_off(model: Counting) -> None:
    parameter = torch.nn.Parameter(torch.zeros(()))

    def add(_module: object, _inputs: object, output: object) -> object:
        output.hidden_states = tuple(state + parameter for state in output.hidden_states)  # type: ignore[attr-defined]
        return output

    encoder = model.model.component("te1")
    assert encoder is not None
    hook = encoder.register_forward_hook(add)
    try:
        texts = Texts(encoding(model), learning=True)
        for _ in range(2):
            assert texts.conds([SHORT]).states.requires_grad
        assert model.seen == [SHORT.first] * 2
        off = Texts(encoding(model), learning=False, keep=False)
        for _ in range(2):
            assert not off.conds([SHORT]).states.requires_grad
        assert model.seen == [SHORT.first] * 4
    finally:
        hook.remove()


def test_fixed_texts_are_read_by_both_encoders(model: Counting) -> None:
    texts = Texts(encoding(model), learning=False)
    assert_same(texts.of(["a cat"]), texts.conds([SHORT]))


class Second(World):
    """The second of two processes on a machine of its own, whose folder has nothing of the first's."""

    rank, size = 1, 2


def test_captions_that_another_machine_has_kept_are_read_here_too(model: Counting, tmp_path: Path) -> None:
    captions = [Caption(text, text) for text in ("one", "two", "three")]
    texts = Texts(encoding(model), learning=False, folder=tmp_path)
    model.seen.clear()
    told = list(texts.prepare(captions, Second()))
    assert told == [(1, 1), (1, 2), (2, 2)] and model.seen == ["two", "one", "three"]
    model.seen.clear()
    texts.conds(captions)
    assert list(texts.prepare(captions, Second())) == [(1, 1)] and not model.seen
