"""Where readers of the formats go wrong, one test each, with results worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lib_lyco.algos.boft import Boft
from lib_lyco.algos.dora import Dora
from lib_lyco.algos.dylora import DyLora
from lib_lyco.algos.extras import Extras
from lib_lyco.algos.glora import GLora
from lib_lyco.algos.hints import LYCORIS_3, Hints
from lib_lyco.algos.lora import Lora
from lib_lyco.algos.registry import decode
from lib_lyco.errors import AdapterError
from tests.oracles.layers import LayerCase, conv3x3, linear, noise
from tests.oracles.sd_scripts import dylora_delta, oft_weight

KOHYA_OFT = Hints.from_metadata({"ss_network_module": "networks.oft"})


def factors(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Noise under part names, `__` standing for a dot."""
    return {
        part.replace("__", "."): noise(*shape, seed=index, scale=0.3)
        for index, (part, shape) in enumerate(shapes.items())
    }


def delta(parts: dict[str, Tensor], weight: Tensor, hints: Hints | None = None) -> Tensor:
    """Decodes and applies."""
    return decode(parts, hints or Hints()).adapter.delta(weight)


def test_loha_with_four_dim_factors_of_one_trainer_equals_the_flat_one() -> None:
    flat = factors(hada_w1_a=(8, 2), hada_w1_b=(2, 27), hada_w2_a=(8, 2), hada_w2_b=(2, 27))
    folded = {
        part: tensor.reshape(8, 2, 1, 1) if part.endswith("_a") else tensor.reshape(2, 3, 3, 3)
        for part, tensor in flat.items()
    }
    weight = torch.zeros(8, 3, 3, 3)
    expected = (flat["hada_w1_a"] @ flat["hada_w1_b"]) * (flat["hada_w2_a"] @ flat["hada_w2_b"])
    torch.testing.assert_close(delta(flat, weight), expected.reshape(weight.shape))
    assert torch.equal(delta(folded, weight), delta(flat, weight))


@pytest.mark.parametrize("scale_alpha", [0.5, 1.0])
def test_loha_and_lokr_apply_the_scale_once(scale_alpha: float) -> None:
    alpha = {"alpha": torch.tensor(scale_alpha)}
    loha = factors(hada_w1_a=(4, 2), hada_w1_b=(2, 6), hada_w2_a=(4, 2), hada_w2_b=(2, 6))
    lokr = factors(lokr_w1=(2, 2), lokr_w2_a=(2, 2), lokr_w2_b=(2, 3))
    for parts in (loha, lokr):
        plain = delta(parts, torch.zeros(4, 6))
        torch.testing.assert_close(delta({**parts, **alpha}, torch.zeros(4, 6)), plain * scale_alpha / 2)


def test_lokr_by_hand_is_the_kronecker_product() -> None:
    w1, w2 = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [3.0, -1.0]])
    expected = torch.tensor([[1.0, 0.0, 2.0, 0.0], [3.0, -1.0, 6.0, -2.0]])
    assert torch.equal(delta({"lokr_w1": w1, "lokr_w2": w2}, torch.zeros(2, 4)), expected)


@pytest.mark.parametrize("alpha", [0.0, -3.0, 12345.0])
def test_lokr_of_whole_factors_ignores_alpha(alpha: float) -> None:
    parts = factors(lokr_w1=(2, 3), lokr_w2=(4, 5))
    adapter = decode({**parts, "alpha": torch.tensor(alpha)}, Hints()).adapter
    assert (adapter.rank, adapter.scale) == (None, 1.0)


def test_lokr_rank_of_split_w1_beside_whole_w2_comes_from_w1() -> None:
    parts = {**factors(lokr_w1_a=(4, 2), lokr_w1_b=(2, 4), lokr_w2=(3, 3)), "alpha": torch.tensor(1.0)}
    adapter = decode(parts, Hints()).adapter
    assert (adapter.rank, adapter.scale) == (2, 0.5)
    expected = torch.kron(parts["lokr_w1_a"] @ parts["lokr_w1_b"], parts["lokr_w2"]) * 0.5
    torch.testing.assert_close(adapter.delta(torch.zeros(12, 12)), expected)


def test_lokr_on_a_convolution_unrolls_the_kernel_of_w2() -> None:
    parts = factors(lokr_w1=(2, 3), lokr_w2=(4, 2, 3, 3))
    got = delta(parts, torch.zeros(8, 6, 3, 3))
    expected = torch.kron(parts["lokr_w1"][:, :, None, None], parts["lokr_w2"])
    torch.testing.assert_close(got, expected)


def test_dylora_of_kohya_has_the_trained_scale_at_every_sub_rank() -> None:
    parts = {**factors(lora_up__weight=(6, 8), lora_down__weight=(8, 5)), "alpha": torch.tensor(4.0)}
    hints = Hints.from_metadata(
        {"ss_network_module": "networks.dylora", "ss_network_args": '{"unit": "2"}'}
    )
    adapter = decode(parts, hints).adapter
    assert isinstance(adapter, DyLora)
    assert adapter.scale == 0.5, "at full rank it is a plain LoRA"
    for asked, used in ((1, 2), (2, 2), (3, 2), (6, 6), (7, 6), (8, 8), (99, 8)):
        cut = adapter.truncated(asked)
        expected = dylora_delta(parts["lora_up.weight"], parts["lora_down.weight"], 4.0, used)
        assert cut.rank == used
        torch.testing.assert_close(cut.delta(torch.zeros(6, 5)).double(), expected, atol=1e-6, rtol=1e-5)
    assert isinstance(decode(parts, Hints()).adapter, Lora), "nothing but metadata tells DyLoRA from LoRA"


def test_dylora_of_lycoris_at_full_rank_is_block_size_times_a_lora() -> None:
    parts = {**factors(lora_up__weight=(6, 8), lora_down__weight=(8, 5, 3, 3)), "alpha": torch.tensor(1.0)}
    hints = Hints.from_metadata({"ss_network_args": '{"algo": "dylora", "block_size": "2"}'})
    weight = torch.zeros(6, 5, 3, 3)
    torch.testing.assert_close(delta(parts, weight, hints), 2 * delta(parts, weight))


def test_truncating_a_dylora_twice_keeps_its_rule() -> None:
    parts = {**factors(lora_up__weight=(6, 8), lora_down__weight=(8, 5)), "alpha": torch.tensor(4.0)}
    adapter = decode(parts, Hints(network_module="networks.dylora")).adapter
    once, twice = adapter.truncated(2), adapter.truncated(5).truncated(2)
    assert torch.equal(once.delta(torch.zeros(6, 5)), twice.delta(torch.zeros(6, 5)))


@pytest.mark.parametrize("case", [linear(), conv3x3()], ids=str)
@pytest.mark.parametrize("constraint", [0.0, 0.01, 1e3])
def test_kohya_oft_clamps_q_to_constraint_times_out(case: LayerCase, constraint: float) -> None:
    layer = case.layer
    parts = {**factors(oft_blocks=(3, 6, 6)), "alpha": torch.tensor(constraint)}
    expected = oft_weight(layer.weight, parts["oft_blocks"], constraint) - layer.weight.double()
    got = delta(parts, layer.weight, KOHYA_OFT)
    torch.testing.assert_close(got.double(), expected, atol=1e-6, rtol=1e-5)


def test_constraint_of_zero_is_off_for_lycoris_and_the_identity_for_kohya() -> None:
    weight = noise(18, 4)
    parts = {**factors(oft_blocks=(3, 6, 6)), "alpha": torch.tensor(0.0)}
    unlimited = oft_weight(weight, parts["oft_blocks"], 1e9) - weight.double()
    torch.testing.assert_close(delta(parts, weight).double(), unlimited, atol=1e-6, rtol=1e-5)
    assert torch.equal(delta(parts, weight, KOHYA_OFT), torch.zeros(18, 4))


@pytest.mark.parametrize("store", ["R", "R - I"])
def test_historic_oft_diag_stores_r_or_r_minus_i(store: str) -> None:
    angle = torch.tensor(0.1)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(1, 2, 2)
    stored = turn if store == "R" else turn - torch.eye(2)
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    got = delta({"oft_diag": stored}, weight)
    torch.testing.assert_close(got, turn[0].T @ weight - weight)


def test_boft_blocks_are_told_from_oft_blocks_by_their_dims() -> None:
    assert isinstance(decode(factors(oft_blocks=(2, 4, 4, 4)), Hints()).adapter, Boft)


def test_rotations_of_nan_are_refused() -> None:
    with pytest.raises(AdapterError, match="not finite"):
        delta({"oft_blocks": torch.full((3, 6, 6), float("nan"))}, noise(18, 4))


@pytest.mark.parametrize(("o", "i"), [(6, 5), (3, 8), (8, 3), (6, 6)])
def test_old_glora_layout_is_told_by_shape(o: int, i: int) -> None:
    parts = factors(a1__weight=(3, i), a2__weight=(i, 3), b1__weight=(3, i), b2__weight=(o, 3))
    weight = noise(o, i, seed=9)
    expected = parts["b2.weight"] @ parts["b1.weight"] + weight @ parts["a2.weight"] @ parts["a1.weight"]
    adapter = decode({**parts, "alpha": torch.tensor(1.5)}, Hints()).adapter
    assert isinstance(adapter, GLora) and adapter.old and adapter.rank == 3
    torch.testing.assert_close(adapter.delta(weight), expected / 2)


def test_glora_of_square_weight_at_full_rank_goes_by_date() -> None:
    parts = factors(a1__weight=(4, 4), a2__weight=(4, 4), b1__weight=(4, 4), b2__weight=(4, 4))
    weight = noise(4, 4, seed=9)
    a1, a2, b1, b2 = parts.values()
    old = Hints(trained_at=LYCORIS_3 - 1)
    torch.testing.assert_close(delta(parts, weight), b1 @ b2 + weight @ a1 @ a2)
    torch.testing.assert_close(delta(parts, weight, Hints(trained_at=LYCORIS_3)), delta(parts, weight))
    torch.testing.assert_close(delta(parts, weight, old), b2 @ b1 + weight @ a2 @ a1)


def test_glora_with_rs_lora_divides_by_the_root_of_the_rank() -> None:
    parts = factors(a1__weight=(5, 4), a2__weight=(4, 5), b1__weight=(6, 4), b2__weight=(4, 5))
    hints = Hints.from_metadata({"ss_network_args": '{"algo": "glora", "rs_lora": "True"}'})
    assert decode({**parts, "alpha": torch.tensor(3.0)}, hints).adapter.scale == 1.5


def test_ia3_leaves_the_bias_unless_the_trainer_scaled_it() -> None:
    parts = {"weight": torch.tensor([0.5, -1.0]), "on_input": torch.tensor(0)}
    bias = torch.tensor([2.0, 3.0])
    assert decode(parts, Hints()).adapter.bias_delta(bias) is None
    for hints in (Hints(bypass_mode=True), Hints(trained_at=LYCORIS_3 - 1)):
        scaled = decode(parts, hints).adapter
        change = scaled.bias_delta(bias)
        assert change is not None
        assert torch.equal(change, torch.tensor([1.0, -3.0]))
        assert scaled.bias_delta(None) is None
    on_input = {**parts, "on_input": torch.tensor(1.0, dtype=torch.bfloat16)}
    assert decode(on_input, Hints(bypass_mode=True)).adapter.bias_delta(bias) is None


def test_full_changes_weight_and_bias_and_either_may_be_alone() -> None:
    diff, diff_b = noise(4, 3), noise(4, seed=1)
    both = decode({"diff": diff, "diff_b": diff_b}, Hints()).adapter
    assert torch.equal(both.delta(torch.zeros(4, 3)), diff)
    alone = decode({"diff_b": diff_b}, Hints()).adapter
    assert torch.equal(alone.delta(torch.zeros(4, 3)), torch.zeros(4, 3))
    for adapter in (both, alone):
        change = adapter.bias_delta(None)
        assert change is not None
        assert torch.equal(change, diff_b)
    assert decode({"diff": diff}, Hints()).adapter.bias_delta(None) is None


def test_full_of_a_pointwise_conv_fits_linear_but_not_a_transposed_weight() -> None:
    adapter = decode({"diff": noise(4, 3, 1, 1)}, Hints()).adapter
    assert adapter.misfit((4, 3)) is None
    assert adapter.misfit((3, 4)) is not None


def test_set_weight_replaces_the_weight() -> None:
    new, weight = noise(4, 3), noise(4, 3, seed=1)
    adapter = decode({"set_weight": new}, Hints()).adapter
    torch.testing.assert_close(weight + adapter.delta(weight), new)
    assert not adapter.additive


def test_norm_without_bias_changes_the_weight_only() -> None:
    adapter = decode({"w_norm": noise(6)}, Hints()).adapter
    assert adapter.bias_delta(torch.zeros(6)) is None
    assert adapter.misfit((7,)) is not None
    x, layer = noise(2, 6, seed=1), nn.LayerNorm(6)
    expected = torch.nn.functional.layer_norm(x, [6]) * noise(6)
    torch.testing.assert_close(adapter.bypass(x, layer), expected)


def test_residual_is_added_before_the_scale_dense_and_sparse() -> None:
    parts = {**factors(lora_up__weight=(4, 2), lora_down__weight=(2, 3)), "alpha": torch.tensor(1.0)}
    residual = torch.zeros(4, 3)
    residual[1, 2], residual[3, 0] = 5.0, -7.0
    sparse = {
        "bias_indices": torch.tensor([[1, 3], [2, 0]], dtype=torch.int16),
        "bias_values": torch.tensor([5.0, -7.0], dtype=torch.float16),
        "bias_size": torch.tensor([4, 3], dtype=torch.int16),
    }
    expected = 0.5 * (parts["lora_up.weight"] @ parts["lora_down.weight"] + residual)
    for extra in ({"bias": residual}, sparse):
        decoded = decode({**parts, **extra}, Hints())
        assert isinstance(decoded.adapter, Extras) and not decoded.leftover
        torch.testing.assert_close(decoded.adapter.delta(torch.zeros(4, 3)), expected)
        assert decoded.adapter.algo == "lora"


def test_sparse_residual_outside_its_size_is_refused() -> None:
    parts = factors(lora_up__weight=(4, 2), lora_down__weight=(2, 3))
    sparse = {
        "bias_indices": torch.tensor([[1, 4], [2, 0]]),
        "bias_values": torch.ones(2),
        "bias_size": torch.tensor([4, 3]),
    }
    with pytest.raises(AdapterError, match="outside bias_size, 4x3"):
        delta({**parts, **sparse}, torch.zeros(4, 3))
    huge = {**sparse, "bias_size": torch.tensor([10**6, 10**6])}
    with pytest.raises(AdapterError, match="1000000x1000000"):
        delta({**parts, **huge}, torch.zeros(4, 3))


def test_bias_difference_beside_a_lora_is_kept() -> None:
    parts = {**factors(lora_up__weight=(4, 2), lora_down__weight=(2, 3)), "diff_b": noise(4, seed=8)}
    decoded = decode(parts, Hints())
    change = decoded.adapter.bias_delta(torch.zeros(4))
    assert change is not None and not decoded.leftover
    assert torch.equal(change, parts["diff_b"])


def test_dora_by_hand_scales_rows_or_columns_to_the_magnitude() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    lora = {"lora_up.weight": torch.tensor([[0.0], [1.0]]), "lora_down.weight": torch.tensor([[3.0, 0.0]])}
    # V = [[3, 0], [3, 4]]: rows of length 3 and 5, columns of length 3 sqrt(2) and 4.
    rows = delta({**lora, "dora_scale": torch.tensor([[6.0], [10.0]])}, weight)
    torch.testing.assert_close(weight + rows, torch.tensor([[6.0, 0.0], [6.0, 8.0]]))
    columns = delta({**lora, "dora_scale": torch.tensor([[6.0 * 2**0.5, 2.0]])}, weight)
    torch.testing.assert_close(weight + columns, torch.tensor([[6.0, 0.0], [6.0, 2.0]]))


@pytest.mark.parametrize("shape", [(6,), (1, 6, 1, 1), (6, 1)])
def test_peft_magnitude_is_per_row_in_every_shape(shape: tuple[int, ...]) -> None:
    parts = factors(lora_up__weight=(6, 2, 1, 1), lora_down__weight=(2, 6, 1, 1))
    magnitude, weight = noise(6, seed=5).abs() + 1, noise(6, 6, 1, 1, seed=6)
    adapter = decode({**parts, "lora_magnitude_vector": magnitude.reshape(shape)}, Hints()).adapter
    trained = weight + adapter.delta(weight)
    torch.testing.assert_close(trained.flatten(1).norm(dim=1), magnitude)


def test_dora_of_a_zero_row_stays_zero() -> None:
    parts = factors(lora_up__weight=(2, 1), lora_down__weight=(1, 2))
    parts["lora_up.weight"][0] = 0
    weight = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    change = delta({**parts, "dora_scale": torch.ones(2, 1)}, weight)
    assert torch.equal(change[0], torch.zeros(2)) and torch.isfinite(change).all()


def test_dora_around_a_residual_norms_everything() -> None:
    parts = factors(lora_up__weight=(4, 2), lora_down__weight=(2, 3), bias=(4, 3))
    adapter = decode({**parts, "dora_scale": torch.full((4, 1), 2.0)}, Hints()).adapter
    assert isinstance(adapter, Dora) and not adapter.additive
    weight = noise(4, 3, seed=7)
    torch.testing.assert_close((weight + adapter.delta(weight)).norm(dim=1), torch.full((4,), 2.0))


def test_tlora_that_did_not_move_changes_nothing() -> None:
    weight = noise(6, 5)
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    parts = {"p_layer.weight": -u[:, :2], "q_layer.weight": -v[:2], "lambda_layer": s[None, :2]}
    assert delta(parts, weight).abs().max() < 1e-5


def test_tlora_with_more_ranks_than_the_weight_has_takes_all_there_are() -> None:
    weight = noise(3, 5)
    parts = factors(p_layer__weight=(3, 4), q_layer__weight=(4, 5), lambda_layer=(1, 4))
    trained = parts["p_layer.weight"] * parts["lambda_layer"] @ parts["q_layer.weight"]
    torch.testing.assert_close(delta(parts, weight), trained - weight, atol=1e-5, rtol=1e-4)


def test_lokr_with_two_inner_dims_is_scaled_by_that_of_w2() -> None:
    parts = factors(lokr_w1_a=(4, 2), lokr_w1_b=(2, 4), lokr_w2_a=(3, 1), lokr_w2_b=(1, 3))
    adapter = decode({**parts, "alpha": torch.tensor(3.0)}, Hints()).adapter
    assert (adapter.rank, adapter.scale) == (1, 3.0)
