"""Files hold anything: odd shapes end as an AdapterError or a misfit, never as another exception."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.errors import AdapterError
from tests.algos.samples import ALL
from tests.oracles.layers import noise

SIZES = st.sampled_from([0, 1, 2, 3, 4, 6, 12])
SHAPES = st.lists(SIZES, min_size=1, max_size=5).map(tuple)


@st.composite
def torn(draw: st.DrawFn) -> dict[str, Tensor]:
    """An adapter's parts with the shapes of some of them changed, and some taken away or added."""
    parts = ALL[draw(st.sampled_from(sorted(ALL)))]((24, 12, 3, 3), 2, 0)
    other = ALL[draw(st.sampled_from(sorted(ALL)))]((24, 12, 3, 3), 3, 1)
    for part in draw(st.sets(st.sampled_from(sorted(parts)))):
        change = draw(st.sampled_from(["shape", "transpose", "cut", "drop", "swap"]))
        tensor = parts[part]
        if change == "shape":
            parts[part] = draw(st.one_of(SHAPES.map(lambda dims: noise(*dims)), st.just(torch.tensor(1.0))))
        elif change == "transpose":
            parts[part] = tensor.permute(tuple(reversed(range(tensor.dim()))))
        elif change == "cut":
            parts[part] = tensor[:1] if tensor.dim() else tensor
        elif change == "drop":
            del parts[part]
        else:
            parts[part] = other.get(part, tensor)
    return parts | {part: other[part] for part in draw(st.sets(st.sampled_from(sorted(other)), max_size=2))}


@settings(max_examples=150, deadline=None)
@given(parts=torn(), shape=st.one_of(st.just((24, 12, 3, 3)), st.just((24, 12)), SHAPES))
def test_torn_parts_never_crash(parts: dict[str, Tensor], shape: tuple[int, ...]) -> None:
    try:
        decoded = decode(parts, Hints())
    except AdapterError:
        return
    adapter = decoded.adapter
    assert adapter.tensors().keys() | decoded.leftover.keys() == parts.keys()
    assert adapter.rank is None or adapter.rank > 0
    reason = adapter.misfit(shape)
    try:
        delta = adapter.delta(torch.zeros(shape))
    except AdapterError:
        return
    assert reason is None
    assert delta.shape == shape
    if adapter.additive:
        bias = adapter.bias_delta(torch.zeros(shape[0]))
        assert bias is None or bias.shape == shape[:1]
        adapter.truncated(1).delta(torch.zeros(shape))
        adapter.low_rank()
