"""CLIP's tokenizer, from the byte-pair file that packages on PyPI carry: nothing is downloaded.

The vocabulary follows from the merges by CLIP's published rule (Radford et al. 2021; OpenAI's
`simple_tokenizer.py`): 256 bytes, the same 256 ending a word, one piece for each merge, and the
two marks. The `tokenizers` library does the work; text is prepared as transformers' tokenizer does.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import NFC, Lowercase, Replace
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from lib_lyco.errors import FileError, MissingPackageError

BOS, EOS = 49406, 49407
CHUNK = 75
"""Tokens of text in one chunk; with BOS and EOS it fills the text encoder's 77 positions."""

_PACKAGES = ("clip", "open_clip")
_FILE = "bpe_simple_vocab_16e6.txt.gz"
_NUM_MERGES = 49152 - 256 - 2
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
_WORD_END = "</w>"
_MARKS = ("<|startoftext|>", "<|endoftext|>")


@dataclass(frozen=True)
class ClipTokenizer:
    """Text to token numbers for one text encoder."""

    tokenizer: Tokenizer
    pad: int = EOS
    """What fills a chunk up: EOS for CLIP, 0 for OpenCLIP."""

    def words(self, text: str) -> list[int]:
        """The text's tokens, without marks."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids


@cache
def clip_tokenizer(pad: int = EOS) -> ClipTokenizer:
    """CLIP's tokenizer with its real vocabulary.

    Raises:
        MissingPackageError: No installed package carries the byte-pair file.
        FileError: The file is damaged.
    """
    return ClipTokenizer(_build(_merges(_find())), pad)


def _find() -> Path:
    """The byte-pair file, without importing the package that carries it."""
    for package in _PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (path := Path(folder) / _FILE).is_file():
                return path
    raise MissingPackageError(
        "CLIP's vocabulary is not installed",
        expected=f"{_FILE} in one of the packages {', '.join(_PACKAGES)}",
        remedy="pip install openai-clip",
    )


def _merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    pairs = [line.split() for line in lines[1 : _NUM_MERGES + 1]]
    if len(pairs) != _NUM_MERGES or any(len(pair) != 2 for pair in pairs):
        raise _damaged(path, f"{len(pairs)} merges")
    return [(first, second) for first, second in pairs]


def _damaged(path: Path, got: str) -> FileError:
    return FileError(
        "CLIP's vocabulary is damaged",
        where=str(path),
        got=got,
        expected=f"a gzip file of {_NUM_MERGES} merges",
        remedy="Install the package again that it belongs to.",
    )


def _build(merges: list[tuple[str, str]]) -> Tokenizer:
    letters = _byte_letters()
    pieces = [*letters, *(letter + _WORD_END for letter in letters), *(a + b for a, b in merges), *_MARKS]
    model = BPE(
        vocab={piece: number for number, piece in enumerate(pieces)},
        merges=merges,
        continuing_subword_prefix="",
        end_of_word_suffix=_WORD_END,
        unk_token=_MARKS[1],
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = Normalizers([NFC(), Replace(Regex(r"\s+"), " "), Lowercase()])
    words = Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = PreTokenizers([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.add_special_tokens(list(_MARKS))
    return tokenizer


def _byte_letters() -> list[str]:
    """The letter that stands for each byte: itself if it prints (these first), else one from U+0100."""
    printing = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    return [chr(byte) for byte in printing] + [chr(256 + n) for n in range(256 - len(printing))]
