"""LoRA, LoCon and Tucker: the product, its scale, its shapes."""

from __future__ import annotations

import pytest
import torch
from lycoris.modules.locon import LoConModule
from torch import Tensor

from lib_lyco.algos.hints import Hints
from lib_lyco.algos.lora import Lora
from lib_lyco.algos.registry import decode
from lib_lyco.errors import AdapterError
from tests.oracles.layers import LayerCase, all_cases, conv3x3, grouped, linear, noise
from tests.oracles.lycoris import change, fill


def lora_parts(
    case: LayerCase, rank: int = 4, alpha: Tensor | None = None, dims4: bool = True
) -> dict[str, Tensor]:
    """Made-up parts for a layer, with the conv's dims where the layer has them."""
    o, *rest = case.layer.weight.shape
    ones = [1] * (len(rest) - 1) if dims4 else []
    down = noise(rank, *rest, seed=5, scale=0.3)
    parts = {"lora_up.weight": noise(o, rank, *ones, seed=6, scale=0.3), "lora_down.weight": down}
    return parts if alpha is None else {**parts, "alpha": alpha}


def lora(parts: dict[str, Tensor], hints: Hints | None = None) -> Lora:
    """Decodes parts that must be a LoRA with nothing left over."""
    decoded = decode(parts, hints or Hints())
    assert isinstance(decoded.adapter, Lora)
    assert not decoded.leftover
    return decoded.adapter


def test_delta_by_hand_is_up_times_down_times_alpha_over_rank() -> None:
    parts = {
        "lora_up.weight": torch.tensor([[1.0, 0.0], [2.0, 1.0]]),
        "lora_down.weight": torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]]),
        "alpha": torch.tensor(1.0),
    }
    expected = torch.tensor([[0.5, 1.0, 1.5], [1.0, 1.5, 3.5]])
    assert torch.equal(lora(parts).delta(torch.zeros(2, 3)), expected)


@pytest.mark.parametrize("case", [*all_cases(), grouped()], ids=str)
def test_delta_and_bypass_agree_with_change(case: LayerCase) -> None:
    module = LoConModule("m", case.layer, lora_dim=4, alpha=2)
    adapter = lora(fill(module))
    assert adapter.scale == 0.5
    torch.testing.assert_close(
        adapter.bypass(case.x, case.layer), change(module, case), atol=2e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        adapter.delta(case.layer.weight), module.get_diff_weight()[0], atol=1e-6, rtol=1e-5
    )


def test_tucker_agrees_with_change() -> None:
    case = conv3x3()
    module = LoConModule("m", case.layer, lora_dim=4, alpha=1, use_tucker=True)
    parts = fill(module)
    assert "lora_mid.weight" in parts
    adapter = lora(parts)
    torch.testing.assert_close(
        adapter.bypass(case.x, case.layer), change(module, case), atol=2e-5, rtol=1e-4
    )
    low = adapter.low_rank()
    product = (low.up @ low.down).reshape(case.layer.weight.shape)
    torch.testing.assert_close(product, adapter.delta(case.layer.weight))
    assert low.down.shape[0] == 4


@pytest.mark.parametrize("up_dims", [2, 4])
@pytest.mark.parametrize("down_dims", [2, 4])
def test_factors_of_either_rank_fit_linear_and_pointwise_conv(up_dims: int, down_dims: int) -> None:
    up, down = noise(6, 2, seed=1), noise(2, 5, seed=2)
    adapter = lora(
        {
            "lora_up.weight": up.reshape(6, 2, *[1] * (up_dims - 2)),
            "lora_down.weight": down.reshape(2, 5, *[1] * (down_dims - 2)),
        }
    )
    for shape in ((6, 5), (6, 5, 1, 1)):
        assert adapter.misfit(shape) is None
        assert torch.equal(adapter.delta(torch.zeros(shape)), (up @ down).reshape(shape))


@pytest.mark.parametrize(
    ("alpha", "scale"),
    [
        (None, 1.0),
        (torch.tensor(0.0), 0.0),
        (torch.tensor(-2.0), -0.5),
        (torch.tensor(2.0, dtype=torch.float16), 0.5),
        (torch.tensor(2.0, dtype=torch.bfloat16), 0.5),
        (torch.tensor(2, dtype=torch.int64), 0.5),
        (torch.tensor([2.0]), 0.5),
    ],
)
def test_scale_reads_any_alpha(alpha: Tensor | None, scale: float) -> None:
    assert lora(lora_parts(linear(), rank=4, alpha=alpha)).scale == scale


def test_scale_part_overrides_alpha() -> None:
    parts = {**lora_parts(linear(), alpha=torch.tensor(2.0)), "scale": torch.tensor(0.75)}
    assert lora(parts).scale == 0.75


def test_alpha_of_peft_configuration_counts_only_where_none_is_stored() -> None:
    hints = Hints(alpha=8.0)
    assert lora(lora_parts(linear(), rank=4), hints=hints).scale == 2.0
    assert lora(lora_parts(linear(), rank=4, alpha=torch.tensor(2.0)), hints=hints).scale == 0.5


def test_rs_lora_file_of_lycoris_reads_as_trained() -> None:
    case = linear()
    module = LoConModule("m", case.layer, lora_dim=9, alpha=3, rs_lora=True)
    adapter = lora(fill(module))
    assert adapter.scale == pytest.approx(module.scale)
    torch.testing.assert_close(
        adapter.bypass(case.x, case.layer), change(module, case), atol=2e-5, rtol=1e-4
    )


def test_truncated_keeps_scale_and_uses_the_first_ranks() -> None:
    parts = lora_parts(linear(), rank=4, alpha=torch.tensor(2))
    cut = lora(parts).truncated(3)
    assert (cut.rank, cut.scale) == (3, pytest.approx(0.5))
    expected = 0.5 * parts["lora_up.weight"][:, :3] @ parts["lora_down.weight"][:3]
    torch.testing.assert_close(cut.delta(torch.zeros(18, 12)), expected)
    assert lora(parts).truncated(9).rank == 4


def test_misfit_names_both_shapes_and_delta_refuses() -> None:
    adapter = lora(lora_parts(linear()))
    assert adapter.misfit((18, 13)) == "the factors make 18x12, the weight is 18x13"
    with pytest.raises(AdapterError, match="18x13"):
        adapter.delta(torch.zeros(18, 13))
    assert adapter.misfit((216,)) is not None


def test_incomplete_or_torn_parts_are_refused() -> None:
    parts = lora_parts(linear())
    with pytest.raises(AdapterError, match=r"lora_down\.weight is missing"):
        decode({"lora_up.weight": parts["lora_up.weight"]}, Hints())
    with pytest.raises(AdapterError, match="do not fit each other"):
        decode({**parts, "lora_down.weight": parts["lora_down.weight"][:3]}, Hints())
    with pytest.raises(AdapterError, match="alpha is not a single number"):
        decode({**parts, "alpha": torch.ones(2)}, Hints())


def test_truncated_tucker_uses_the_first_ranks_of_the_core() -> None:
    up, mid, down = noise(6, 4), noise(4, 4, 3, 3, seed=1), noise(4, 5, seed=2)
    parts = {"lora_up.weight": up, "lora_mid.weight": mid, "lora_down.weight": down}
    got = lora(parts).truncated(2).delta(torch.zeros(6, 5, 3, 3))
    expected = torch.einsum("om,mnxy,ni->oixy", up[:, :2], mid[:2, :2], down[:2])
    torch.testing.assert_close(got, expected)
