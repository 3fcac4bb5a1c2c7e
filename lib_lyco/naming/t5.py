"""The layers of the T5-XXL text encoder (transformers' `T5EncoderModel`), by rule."""

from __future__ import annotations

from collections.abc import Iterator

from lib_lyco.naming.layer import LayerName
from lib_lyco.naming.place import HostPlace, Layer

NUM_BLOCKS = 24
WIDTH = 4096
_FEED_FORWARD = 10240
_VOCABULARY = 32128
_NUM_BUCKETS = 32
_NUM_HEADS = 64


def t5_layers() -> Iterator[Layer]:
    """Every parametrised layer; `encoder.embed_tokens` is `shared` and does not count twice."""
    for path, shape in _shapes().items():
        yield Layer(LayerName("te3", path), shape, HostPlace(path))


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"shared": (_VOCABULARY, WIDTH)}
    for block in range(NUM_BLOCKS):
        attention, feed_forward = (f"encoder.block.{block}.layer.{n}" for n in (0, 1))
        for leaf in ("q", "k", "v", "o"):
            shapes[f"{attention}.SelfAttention.{leaf}"] = (WIDTH, WIDTH)
        if block == 0:
            shapes[f"{attention}.SelfAttention.relative_attention_bias"] = (_NUM_BUCKETS, _NUM_HEADS)
        shapes[f"{attention}.layer_norm"] = (WIDTH,)
        shapes[f"{feed_forward}.DenseReluDense.wi_0"] = (_FEED_FORWARD, WIDTH)
        shapes[f"{feed_forward}.DenseReluDense.wi_1"] = (_FEED_FORWARD, WIDTH)
        shapes[f"{feed_forward}.DenseReluDense.wo"] = (WIDTH, _FEED_FORWARD)
        shapes[f"{feed_forward}.layer_norm"] = (WIDTH,)
    shapes["encoder.final_layer_norm"] = (WIDTH,)
    return shapes
