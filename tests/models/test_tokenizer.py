"""Our tokenizer against OpenAI's own, whose source lies in the package that carries the vocabulary."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("ftfy")
pytest.importorskip("tokenizers")

from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lyco.errors import FileError, MissingPackageError
from lib_lyco.models import tokenizer as module
from lib_lyco.models.tokenizer import clip_tokenizer

TEXTS = (
    "",
    "a photo of a cat",
    "It's 2024!!! 'quoted' don't we'll they're",
    "masterpiece, best quality, 1girl, ((blue:1.2)), [a|b], <x>",
    "  spaced   out\n\ttabs ",
    "ünïcode façade 日本語のテキスト 🎉🎈 Ωmega",
    "x_y-z a.b.c 3.14159 50% #1 @you https://example.org/?q=1",
    "<|endoftext|> foo <|startoftext|>",
    "supercalifragilisticexpialidocious",
)


@pytest.fixture(scope="module")
def original() -> Callable[[str], list[int]]:
    """The encode method of clip's SimpleTokenizer, loaded without clip itself (which wants setuptools)."""
    found = importlib.util.find_spec("clip")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the clip package is not installed")
    path = Path(found.submodule_search_locations[0]) / "simple_tokenizer.py"
    spec = importlib.util.spec_from_file_location("clip_simple_tokenizer", path)
    assert spec and spec.loader
    loaded: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.SimpleTokenizer().encode


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_those_of_the_original(text: str, original: Callable[[str], list[int]]) -> None:
    assert clip_tokenizer().words(text) == original(text)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=40))
def test_any_latin_text_has_the_words_of_the_original(
    original: Callable[[str], list[int]], text: str
) -> None:
    # the original also mends broken encodings (ftfy) and HTML entities, which transformers leaves alone
    ftfy = pytest.importorskip("ftfy")
    if "&" in text or ftfy.fix_text(text) != text:
        return
    assert clip_tokenizer().words(text) == original(text)


def test_vocabulary_is_found_without_importing_the_package() -> None:
    before = "clip" in sys.modules
    clip_tokenizer.__wrapped__()
    assert ("clip" in sys.modules) == before


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_spec(_: str) -> None:
        return None

    monkeypatch.setattr(module, "find_spec", no_spec)
    with pytest.raises(MissingPackageError, match="pip install openai-clip"):
        clip_tokenizer.__wrapped__()


def test_damaged_vocabulary_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(b"\x1f\x8b not gzip")
    (tmp_path / "__init__.py").touch()
    spec = importlib.util.spec_from_file_location(
        "clip", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )

    def this_spec(_: str) -> object:
        return spec

    monkeypatch.setattr(module, "find_spec", this_spec)
    with pytest.raises(FileError, match="damaged"):
        clip_tokenizer.__wrapped__()
