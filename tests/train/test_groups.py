"""Learning rates by component, block and factor; frozen parts; limited norms: on the tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lib_lyco.errors import ConfigError
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.compose.optimisation import make_factor, make_optimisation
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.events import Event, Started, Step
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.optim import Optimisation
from lib_lyco.train.precision import make_precision
from tests.train.test_run import equal, final_file, run
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def optimised(config: TrainConfig) -> tuple[TrainableNetwork, Optimisation]:
    model = TinyModel()
    network = make_network(config, model)
    precision = make_precision("fp32", model.device, model.dtype)
    return network, make_optimisation(config, model, network, plan_run(config), precision)


def rates_of(config: TrainConfig) -> dict[str, float]:
    """The learning rate that every parameter gets, by layer and name."""
    network, optimisation = optimised(config)
    by_parameter = {
        id(parameter): group.learning_rate
        for group in optimisation.groups
        for parameter in group.parameters
    }
    found = {
        f"{layer.layer}/{name}": by_parameter.pop(id(parameter))
        for layer in network
        for name, parameter in layer.module.named_parameters()
    }
    assert not by_parameter
    return found


def test_components_have_their_own_rates(make_config: Make) -> None:
    rates = rates_of(make_config(learning_rate=1e-3, te_learning_rate=(5e-4,)))
    assert {(name[:3], rate) for name, rate in rates.items()} == {("te1", 5e-4), ("une", 1e-3)}


def test_as_many_rates_as_text_encoders(make_config: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        optimised(make_config(te_learning_rate=(5e-4, 1e-4)))
    assert caught.value.where == "te_learning_rate"


@pytest.mark.parametrize(
    ("algo", "ups"),
    [
        ("lora", ("lora_up",)),
        ("locon", ("lora_up",)),
        ("dylora", ("up_list",)),
        ("loha", ("hada_w1_a", "hada_w2_a")),
    ],
)
def test_lora_plus_multiplies_the_upper_factors_rate(
    make_config: Make, algo: str, ups: tuple[str, ...]
) -> None:
    config = make_config(
        algo=algo, learning_rate=1e-3, loraplus_lr_ratio=16.0, loraplus_text_encoder_lr_ratio=4.0
    )
    for name, rate in rates_of(config).items():
        parameter = name.split("/")[1]
        ratio = (4 if name.startswith("te1") else 16) if parameter.startswith(ups) else 1
        assert rate == pytest.approx(1e-3 * ratio), name


def test_lora_plus_is_refused_where_no_factor_is_the_upper_one(make_config: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(algo="lokr", loraplus_unet_lr_ratio=16.0)
    assert caught.value.where == "loraplus_unet_lr_ratio"


def test_blocks_have_their_weights(make_config: Make) -> None:
    config = make_config(
        learning_rate=1e-3, te_learning_rate=(1e-4,), down_lr_weight="0.5,0.25", mid_lr_weight="2"
    )
    rates = rates_of(config)
    # the first attention is in input block 1, the second in 2
    expected = {"down_blocks.0.attentions.0": 0.25, "down_blocks.0.attentions.1": 1.0, "mid_block": 2.0}
    for place, weight in expected.items():
        found = {rate for name, rate in rates.items() if place in name}
        assert len(found) == 1 and found.pop() == pytest.approx(1e-3 * weight), place
    assert {rate for name, rate in rates.items() if name.startswith("te1")} == {1e-4}


def up_norms(path: Path) -> dict[str, float]:
    return {key: float(tensor.norm()) for key, tensor in load_file(path).items() if "lora_up" in key}


@pytest.mark.parametrize(
    ("option", "component"), [("te_stop_share", "lora_te"), ("unet_stop_share", "lora_unet")]
)
def test_component_is_frozen_after_its_share_of_the_steps(
    make_config: Make, option: str, component: str
) -> None:
    config = make_config(epochs=2, save_every_n_steps=3, name="stops", **{option: 0.3})
    events = run(config)
    at_three = load_file(Path(config.output) / "stops-step00000003.safetensors")
    at_six = load_file(Path(config.output) / "stops-step00000006.safetensors")
    final = load_file(final_file(config))
    stopped = [key for key in final if key.startswith(component)]
    going = [key for key in final if not key.startswith(component) and "lora_up" in key]
    assert stopped and going
    assert all(torch.equal(at_three[key], final[key]) for key in stopped)
    assert any(at_three[key].abs().max() > 0 for key in stopped)
    assert all(not torch.equal(at_six[key], final[key]) for key in going)
    rates = [step.learning_rates for step in events if isinstance(step, Step)]
    group = component.removeprefix("lora_").replace("te", "te1")
    assert [step[group] > 0 for step in rates] == [True] * 3 + [False] * 7


@pytest.mark.parametrize(
    ("option", "value", "group", "stop"),
    [
        ("te_stop_steps", 3, "te1", 3),
        ("te_stop_epochs", 1, "te1", 5),
        ("unet_stop_epochs", 1, "unet", 5),
        ("unet_stop_steps", 8, "unet", 8),
        ("unet_stop_epochs", 7, "unet", 10),  # there are two
    ],
)
def test_component_is_frozen_after_epochs_or_steps(
    make_config: Make, option: str, value: int, group: str, stop: int
) -> None:
    events = run(make_config(epochs=2, **{option: value}))
    rates = [step.learning_rates[group] for step in events if isinstance(step, Step)]
    assert [rate > 0 for rate in rates] == [True] * stop + [False] * (10 - stop)


def test_run_that_learns_nothing_at_its_end_is_refused(make_config: Make) -> None:
    config = make_config(epochs=2, te_stop_epochs=1, unet_stop_steps=9)
    with pytest.raises(ConfigError, match="Everything is frozen") as caught:
        run(config)
    assert caught.value.where == "unet_stop_steps" and "unet from step 9" in caught.value.got
    run(config.replaced(unet_stop_steps=10))


def test_run_that_was_resumed_after_the_stop_makes_the_same_file(make_config: Make) -> None:
    config = make_config(epochs=2, te_stop_share=0.3, name="whole", save_every_n_steps=5)
    run(config)
    whole = load_file(final_file(config))
    state = next(Path(config.output).glob("whole-step00000010.state"))
    state.unlink()
    part = config.replaced(name="part", save_state=True)
    run(part)
    (Path(config.output) / "part-step00000010.state").unlink()
    again = run(part.replaced(resume=str(Path(config.output) / "part-step00000005.state")))
    assert isinstance(again[0], Started) and again[0].step == 5
    assert equal(load_file(final_file(part)), whole)


@pytest.mark.parametrize(
    "values",
    [
        {"te_stop_share": 0.5, "te_learning_rate": 0.0},
        {"te_stop_share": 0.5, "unet_stop_share": 0.5},
        {"unet_stop_share": 0.5, "te_learning_rate": 0.0},
        {"te_stop_epochs": 1, "te_learning_rate": 0.0},
        {"te_stop_epochs": 1, "te_stop_steps": 5},
        {"unet_stop_share": 0.5, "unet_stop_steps": 5},
    ],
)
def test_stop_that_leaves_nothing_or_had_nothing_is_refused(
    make_config: Make, values: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(**values)
    assert caught.value.where in values


def deltas(config: TrainConfig) -> dict[str, Tensor]:
    network = make_network(config, TinyModel())
    return {str(layer.layer): layer.delta() for layer in network}


@pytest.mark.parametrize(
    ("algo", "values"),
    [
        ("lora", {}),
        ("locon", {"tucker": True}),
        ("loha", {}),
        ("lokr", {"factor": 4}),
        ("lokr", {"factor": 4, "decompose_both": True, "rank": 1}),
        ("dylora", {}),
        ("full", {}),
    ],
)
def test_norms_are_limited_to_kohyas(make_config: Make, algo: str, values: dict[str, Any]) -> None:
    """norm = max(|dW|, m / 2); if it exceeds m the change becomes m / norm of itself."""
    limit, layers = 0.05, 0
    network, optimisation = optimised(make_config(algo=algo, scale_weight_norms=limit, **values))
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for index, layer in enumerate(network):
            for parameter in layer.module.parameters():
                parameter.add_(
                    torch.randn(parameter.shape, generator=chance) * (0.2 if index % 2 else 1e-4)
                )
    before = [layer.delta() for layer in network]
    shorten = optimisation.limits.after_update
    assert shorten is not None
    shorten()
    for layer, delta in zip(network, before, strict=True):
        norm = delta.norm().clamp(min=limit / 2)
        layers += int(norm > limit)
        expected = delta * (limit / norm if norm > limit else 1.0)
        torch.testing.assert_close(layer.delta(), expected, rtol=1e-4, atol=1e-7)
    assert layers > 0


def test_limited_run_has_no_longer_changes(make_config: Make) -> None:
    free, limited = make_config(name="free"), make_config(name="limited", scale_weight_norms=0.02)
    norms: list[list[float]] = []
    for config in (free, limited):
        run(config)
        file = load_file(final_file(config))
        norms.append(
            [
                float(
                    (file[key].flatten(1) @ file[key.replace("lora_up", "lora_down")].flatten(1)).norm()
                    * 0.5
                )
                for key in file
                if "lora_up" in key
            ]
        )
    assert max(norms[0]) > 0.02
    assert max(norms[1]) <= 0.02 * 1.001


def test_self_tuning_optimiser_wants_one_rate_of_about_one(make_config: Make) -> None:
    pytest.importorskip("prodigyopt")
    with pytest.raises(ConfigError, match="one learning rate"):
        optimised(make_config(optimizer_type="Prodigy", learning_rate=1.0, te_learning_rate=(0.5,)))
    _, low = optimised(make_config(optimizer_type="Prodigy", learning_rate=1e-4))
    assert any("1 is usual" in note for note in low.notes)
    _, usual = optimised(make_config(optimizer_type="Prodigy", learning_rate=1.0))
    assert usual.notes == ()


def test_notes_of_the_optimiser_are_told_at_the_start(make_config: Make) -> None:
    pytest.importorskip("prodigyopt")
    events: list[Event] = run(make_config(optimizer_type="Prodigy", learning_rate=1e-2))
    started = events[0]
    assert isinstance(started, Started)
    assert any("Prodigy" in note for note in started.plan.notes)


def test_adafactor_finds_its_rates_or_takes_them(make_config: Make) -> None:
    _, own = optimised(make_config(optimizer_type="AdaFactor", scheduler="adafactor"))
    assert own.learning_rates(0) == {"te1": 0.01, "unet": 0.01}
    assert own.learning_rates(39_999)["unet"] == pytest.approx(1 / 200)
    assert [settings["lr"] for settings in own.optimiser.param_groups] == [None, None]
    _, given = optimised(
        make_config(optimizer_type="AdaFactor", scheduler="constant", te_learning_rate=(1e-3,))
    )
    assert given.learning_rates(0) == {"te1": 1e-3, "unet": 1e-2}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"scheduler": "adafactor"}, "scheduler"),
        ({"optimizer_type": "adafactor", "optimizer_args": ("relative_step=True",)}, "scheduler"),
        ({"optimizer_type": "AdamWScheduleFree"}, "scheduler"),
        ({"optimizer_type": "Adamw9"}, "optimizer_type"),
        ({"optimizer_args": ("weight_decay=0.1",), "weight_decay": 0.1}, "weight_decay"),
        ({"scheduler_cycles": 3}, "scheduler_cycles"),
        ({"scheduler": "piecewise_constant"}, "scheduler_rules"),
        ({"scheduler": "warmup_stable_decay"}, "decay_steps"),
        ({"warmup_steps": 3, "warmup_share": 0.1}, "warmup_share"),
        ({"scale_weight_norms": 1.0, "algo": "ia3"}, "scale_weight_norms"),
    ],
)
def test_contradictions_are_errors(make_config: Make, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(**values)
    assert caught.value.where == field


def test_warmup_as_a_share_is_of_all_steps(make_config: Make) -> None:
    by_share = make_factor(make_config(warmup_share=0.1), 50)
    by_steps = make_factor(make_config(warmup_steps=5), 50)
    assert [by_share(step) for step in range(50)] == [by_steps(step) for step in range(50)]
    assert by_share(2) == pytest.approx(0.4)
    with pytest.raises(ConfigError, match="longer than the run"):
        make_factor(make_config(warmup_steps=51), 50)


def test_polynomial_ends_at_the_rate_of_transformers(make_config: Make) -> None:
    factor = make_factor(make_config(scheduler="polynomial", learning_rate=1e-3), 50)
    assert factor(50) * 1e-3 == pytest.approx(1e-7)
