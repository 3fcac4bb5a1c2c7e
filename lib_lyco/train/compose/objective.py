"""The loss and its terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import BaseModel, Cond, NoiseSchedule, Prediction
from lib_lyco.models.schedule import with_zero_terminal_snr
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.loss import LossSettings, WeightSettings
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.noise import NoiseSettings, TimestepSettings, balanced_offsets
from lib_lyco.train.objective import Objective, Preservation


def make_objective(
    config: TrainConfig,
    model: BaseModel,
    network: TrainableNetwork,
    encode: Callable[[Sequence[str]], Cond],
) -> Objective:
    """The loss of a run.

    Raises:
        ConfigError: An option means nothing for what this model predicts.
    """
    schedule = model.schedule
    _check_prediction(config, schedule.prediction)
    alphas = schedule.alphas_cumprod.float().cpu()
    unchanged = NoiseSchedule(alphas, schedule.prediction)
    changed = unchanged
    if config.zero_terminal_snr:
        changed = NoiseSchedule(with_zero_terminal_snr(alphas), schedule.prediction)
    preservation = None
    if config.prior_prediction_weight > 0:
        preservation = Preservation(config.prior_caption, config.prior_prediction_weight, encode)
    return Objective(
        loss=LossSettings(config.loss_type, config.huber_schedule, config.huber_c, config.huber_scale),
        weights=WeightSettings(
            min_snr_gamma=config.min_snr_gamma,
            debiased=config.debiased_estimation_loss,
            scale_v_pred=config.scale_v_pred_loss_like_noise_pred,
            v_pred_like=config.v_pred_like_loss,
            p2_gamma=config.p2_gamma,
        ),
        noise=NoiseSettings(
            offset=config.noise_offset,
            offset_random=config.noise_offset_random_strength,
            adaptive_scale=config.adaptive_noise_scale,
            offset_by_timestep=balanced_offsets(alphas) if config.noise_offset_by_timestep else None,
            multires_iterations=config.multires_noise_iterations,
            multires_discount=config.multires_noise_discount,
            ip_gamma=config.ip_noise_gamma,
            ip_random=config.ip_noise_gamma_random_strength,
        ),
        timesteps=TimestepSettings(
            first=config.min_timestep,
            end=config.max_timestep,
            sampling=config.timestep_sampling,
            mean=config.timestep_mean,
            scale=config.timestep_scale,
        ),
        schedule=changed,
        weighting=unchanged if config.zero_terminal_snr_weights == "kohya" else None,
        preservation=preservation,
        outside_mask=config.masked_prior_weight,
        without_network=network.muted,
        at_timesteps=network.at_timesteps,
    )


def _check_prediction(config: TrainConfig, prediction: Prediction) -> None:
    grows = config.debiased_estimation_loss or config.v_pred_like_loss > 0
    infinite = config.zero_terminal_snr and config.zero_terminal_snr_weights == "exact" and grows
    refused: tuple[tuple[str, bool, str], ...] = (
        ("scale_v_pred_loss_like_noise_pred", config.scale_v_pred_loss_like_noise_pred, "epsilon"),
        ("v_pred_like_loss", config.v_pred_like_loss > 0, "v"),
        ("zero_terminal_snr_weights", infinite, "epsilon"),
    )
    for name, is_set, of in refused:
        if is_set and prediction == of:
            raise ConfigError(
                f"The option {name} cannot be used with this base model.",
                where=name,
                got=f"a model that predicts {'noise' if of == 'epsilon' else of}",
                expected=_EXPECTED[name],
                remedy=f"Change {name}.",
            )


_EXPECTED = {
    "scale_v_pred_loss_like_noise_pred": "a model that predicts v",
    "v_pred_like_loss": "a model that predicts noise",
    "zero_terminal_snr_weights": "kohya: by the exact SNR, 0, the last timestep would count without limit",
}
