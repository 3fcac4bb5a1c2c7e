"""Texts into chunks of 75 tokens, with a weight for each token.

sd-scripts cuts after every 75 tokens and leaves out what is over the limit; the WebUI moves the words
after a comma into the next chunk where the cut would tear them apart, and has no limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_lyco.models.base import TextStyle
from lib_lyco.models.emphasis import BREAK, weighted_pieces
from lib_lyco.models.tokenizer import BOS, CHUNK, EOS, ClipTokenizer

COMMA = 267
"""CLIP's token for a comma that ends a word."""
BACKTRACK = 20
"""The WebUI's `comma_padding_backtrack`: how near the end of a chunk its last comma must stand."""

_Token = tuple[int, float]


@dataclass(frozen=True)
class Chunks:
    """The tokens of b texts in n chunks each."""

    tokens: Tensor
    """(b, n, 77) int64: BOS, tokens, EOS, padding."""
    weights: Tensor | None
    """(b, n, 77) float32; None if all are 1."""


def make_chunks(tokenizer: ClipTokenizer, texts: Sequence[str], style: TextStyle) -> Chunks:
    """Each text in as many chunks as the longest needs, as many as the limit allows in kohya's way; a
    text that is shorter ends in empty chunks."""
    rows = [list(_chunked(tokenizer, text, style)) for text in texts]
    count = max(len(row) for row in rows)
    if style.chunks == "kohya" and style.max_tokens:
        count = style.max_tokens // CHUNK
    for row in rows:
        row.extend([[]] * (count - len(row)))
    tokens = torch.tensor([[_framed(tokenizer, chunk) for chunk in row] for row in rows])
    weights = torch.tensor([[_framed_weights(chunk) for chunk in row] for row in rows])
    return Chunks(tokens, None if bool((weights == 1).all()) else weights)


def count_tokens(tokenizer: ClipTokenizer, text: str, style: TextStyle) -> int:
    """How many tokens a text has that count against the limit."""
    return sum(len(tokens) for tokens in _runs(tokenizer, text, style))


def _chunked(tokenizer: ClipTokenizer, text: str, style: TextStyle) -> Iterator[list[_Token]]:
    """The chunks of one text, each of up to 75 tokens: at least one, at most the limit."""
    chunks = [chunk for run in _runs(tokenizer, text, style) for chunk in _cut(run, style)]
    if len(chunks) > 1 and not chunks[-1]:
        chunks.pop()  # a BREAK at the very end begins nothing
    limit = style.max_tokens // CHUNK if style.max_tokens else len(chunks)
    yield from chunks[:limit] or [[]]


def _runs(tokenizer: ClipTokenizer, text: str, style: TextStyle) -> Iterator[list[_Token]]:
    """The tokens between one BREAK and the next; all of them where that word means nothing."""
    if style.weights == "off":
        yield [(token, 1.0) for token in tokenizer.words(text)]
        return
    run: list[_Token] = []
    for piece, weight in weighted_pieces(text, breaks=style.chunks == "webui"):
        first, *others = piece.split(BREAK)
        run += [(token, weight) for token in tokenizer.words(first)]
        for part in others:
            yield run
            run = [(token, weight) for token in tokenizer.words(part)]
    yield run


def _cut(tokens: Iterable[_Token], style: TextStyle) -> list[list[_Token]]:
    chunks: list[list[_Token]] = []
    chunk: list[_Token] = []
    after_comma: int | None = None
    for token in tokens:
        if len(chunk) == CHUNK:
            torn = token[0] != COMMA and after_comma is not None and CHUNK - after_comma < BACKTRACK
            end = after_comma if style.chunks == "webui" and torn else CHUNK
            chunks.append(chunk[:end])
            chunk, after_comma = chunk[end:], None
        chunk.append(token)
        if token[0] == COMMA:
            after_comma = len(chunk)
    return [*chunks, chunk]


def _framed(tokenizer: ClipTokenizer, chunk: Sequence[_Token]) -> list[int]:
    return [BOS, *(token for token, _ in chunk), EOS] + [tokenizer.pad] * (CHUNK - len(chunk))


def _framed_weights(chunk: Sequence[_Token]) -> list[float]:
    return [1.0, *(weight for _, weight in chunk)] + [1.0] * (CHUNK + 1 - len(chunk))
