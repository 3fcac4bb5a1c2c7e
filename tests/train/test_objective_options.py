"""Every option of the objective reaches the loss: a config's loss is that of the settings it names.

What the settings compute is compared with others' formulas in `test_noise`, `test_loss` and
`test_objective`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lib_lyco.models.base import Cond, NoiseSchedule, Prediction, SizeCond
from lib_lyco.models.schedule import with_zero_terminal_snr
from lib_lyco.train.compose.network import make_network
from lib_lyco.train.compose.objective import make_objective
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.loss import LossSettings, WeightSettings
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.noise import NoiseSettings, TimestepSettings
from lib_lyco.train.objective import Objective
from lib_lyco.train.option import declarations
from tests.train.test_objective import Predicts, batch_of, generators, sd_scheduler

ELSEWHERE = {
    "noise_offset_by_timestep",
    "prior_prediction_weight",
    "prior_caption",
    "masked_prior_weight",
}
"""Options that `test_objective` and `test_text_run` show out of a config."""


def unchanged(prediction: Prediction) -> NoiseSchedule:
    return NoiseSchedule(sd_scheduler().alphas_cumprod, prediction)


def shifted(prediction: Prediction) -> NoiseSchedule:
    return NoiseSchedule(with_zero_terminal_snr(sd_scheduler().alphas_cumprod), prediction)


V_WEIGHTS = WeightSettings(min_snr_gamma=5.0)
CASES: tuple[tuple[Prediction, dict[str, Any], dict[str, Any], dict[str, Any]], ...] = (
    # what the model predicts; options beside it; the options shown; the settings that they are
    ("epsilon", {}, {"noise_offset": 0.1}, {"noise": NoiseSettings(offset=0.1)}),
    (
        "epsilon",
        {"noise_offset": 0.1},
        {"noise_offset_random_strength": True},
        {"noise": NoiseSettings(offset=0.1, offset_random=True)},
    ),
    (
        "epsilon",
        {"noise_offset": 0.1},
        {"adaptive_noise_scale": 0.5},
        {"noise": NoiseSettings(offset=0.1, adaptive_scale=0.5)},
    ),
    ("epsilon", {}, {"multires_noise_iterations": 3}, {"noise": NoiseSettings(multires_iterations=3)}),
    (
        "epsilon",
        {"multires_noise_iterations": 3},
        {"multires_noise_discount": 0.8},
        {"noise": NoiseSettings(multires_iterations=3, multires_discount=0.8)},
    ),
    # both types of the GUI at once, as sd-scripts' command line allows
    (
        "epsilon",
        {"noise_offset": 0.1},
        {"multires_noise_iterations": 3},
        {"noise": NoiseSettings(offset=0.1, multires_iterations=3)},
    ),
    ("v", {}, {"ip_noise_gamma": 0.3}, {"noise": NoiseSettings(ip_gamma=0.3)}),
    (
        "v",
        {"ip_noise_gamma": 0.3},
        {"ip_noise_gamma_random_strength": True},
        {"noise": NoiseSettings(ip_gamma=0.3, ip_random=True)},
    ),
    ("v", {}, {"min_timestep": 900}, {"timesteps": TimestepSettings(first=900)}),
    ("v", {}, {"max_timestep": 10}, {"timesteps": TimestepSettings(end=10)}),
    ("v", {}, {"timestep_sampling": "mode"}, {"timesteps": TimestepSettings(sampling="mode")}),
    (
        "v",
        {"timestep_sampling": "logit_normal"},
        {"timestep_mean": 2.0},
        {"timesteps": TimestepSettings(sampling="logit_normal", mean=2.0)},
    ),
    (
        "v",
        {"timestep_sampling": "logit_normal"},
        {"timestep_scale": 0.5},
        {"timesteps": TimestepSettings(sampling="logit_normal", scale=0.5)},
    ),
    ("v", {}, {"zero_terminal_snr": True}, {"schedule": shifted("v")}),
    (
        "v",
        {"zero_terminal_snr": True, "min_snr_gamma": 5.0},
        {"zero_terminal_snr_weights": "kohya"},
        {"schedule": shifted("v"), "weighting": unchanged("v"), "weights": V_WEIGHTS},
    ),
    ("epsilon", {}, {"loss_type": "l1"}, {"loss": LossSettings("l1")}),
    ("epsilon", {}, {"loss_type": "smooth_l1"}, {"loss": LossSettings("smooth_l1")}),
    (
        "epsilon",
        {"loss_type": "huber"},
        {"huber_schedule": "exponential"},
        {"loss": LossSettings("huber", "exponential")},
    ),
    ("epsilon", {"loss_type": "huber"}, {"huber_c": 0.5}, {"loss": LossSettings("huber", huber_c=0.5)}),
    (
        "epsilon",
        {"loss_type": "huber", "huber_schedule": "constant"},
        {"huber_scale": 3.0},
        {"loss": LossSettings("huber", "constant", huber_scale=3.0)},
    ),
    ("epsilon", {}, {"min_snr_gamma": 0.01}, {"weights": WeightSettings(min_snr_gamma=0.01)}),
    ("v", {}, {"debiased_estimation_loss": True}, {"weights": WeightSettings(debiased=True)}),
    (
        "v",
        {},
        {"scale_v_pred_loss_like_noise_pred": True},
        {"weights": WeightSettings(scale_v_pred=True)},
    ),
    ("epsilon", {}, {"v_pred_like_loss": 0.5}, {"weights": WeightSettings(v_pred_like=0.5)}),
    ("epsilon", {}, {"p2_gamma": 1.0}, {"weights": WeightSettings(p2_gamma=1.0)}),
)


class Echo(Predicts):
    """Answers with half of what it sees, so that everything done to it shows."""

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        return noisy / 2


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[Echo, TrainableNetwork]]:
    made = {"epsilon": Echo("epsilon"), "v": Echo("v")}
    return {name: (model, make_network(make_config({"rank": 1}), model)) for name, model in made.items()}


def losses(options: dict[str, Any], model: Echo, network: TrainableNetwork) -> Tensor:
    objective = make_objective(make_config(options), model, network, lambda texts: batch_of().cond)
    return objective.losses(model, batch_of((1.0, 1.0)), generators(2))


@pytest.mark.parametrize(("prediction", "beside", "shown", "settings"), CASES)
def test_loss_of_a_config_is_that_of_its_settings(
    prediction: Prediction,
    beside: dict[str, Any],
    shown: dict[str, Any],
    settings: dict[str, Any],
    models: dict[str, tuple[Echo, TrainableNetwork]],
) -> None:
    model, network = models[prediction]
    found = losses({**beside, **shown}, model, network)
    values: dict[str, Any] = {"schedule": unchanged(prediction), **settings}
    expected = Objective(**values).losses(model, batch_of((1.0, 1.0)), generators(2))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, losses(beside, model, network), rtol=1e-4, atol=1e-6)


def test_no_option_of_the_objective_is_forgotten() -> None:
    declared = {one.name for one in declarations(TrainConfig) if one.option.group == "objective"}
    assert {name for _, _, shown, _ in CASES for name in shown} | ELSEWHERE == declared
