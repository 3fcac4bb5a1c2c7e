"""The base model as the options want it, and the options as the base model settles them."""

from __future__ import annotations

from typing import Any, cast

from lib_lyco.errors import ConfigError
from lib_lyco.models.base import BaseModel, NoiseSchedule
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.precision import DTYPES, choose_precision


def settle(config: TrainConfig, model: BaseModel) -> tuple[TrainConfig, BaseModel]:
    """The config with what was left to the model filled in, and the model that predicts what it says.

    Raises:
        ConfigError: The model is of another family than expected, or an option needs half precision.
    """
    if config.base_family not in ("auto", model.family):
        raise ConfigError(
            "The base model is of another family.",
            where="base_family",
            got=model.family,
            expected=config.base_family,
            remedy="Choose another base_model, or set base_family to auto.",
        )
    precision = choose_precision(config.precision, model.device, model.dtype)
    predicting = model
    if config.prediction not in ("auto", model.schedule.prediction):
        predicting = cast(BaseModel, _Repredicted(model, config.prediction))
    return config.replaced(precision=precision), predicting


class _Repredicted:
    """A base model whose file says, wrongly, that it predicts something else."""

    def __init__(self, model: BaseModel, prediction: Any) -> None:
        self._model = model
        self.schedule = NoiseSchedule(model.schedule.alphas_cumprod, prediction)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


_LARGE = ("dora_scale", "rescale", "lambda_layer")
"""Parameters that start far from 0. In half precision their small changes would be rounded away, and with
DoRA's magnitudes the norms, which lycoris computes in their dtype."""


def halve(config: TrainConfig, network: TrainableNetwork) -> None:
    """Keeps trained weights in the compute dtype, if that is asked for, but for `_LARGE`."""
    if not config.full_half:
        return
    dtype = DTYPES[config.precision]
    for layer in network:
        for name, parameter in layer.module.named_parameters():
            if parameter.requires_grad and name not in _LARGE:
                parameter.data = parameter.data.to(dtype)
        for trained, start in layer.algo.frozen.items():
            # where training starts is rounded as what starts there is: no change is still none
            held, parameter = getattr(layer.module, start), layer.module.get_parameter(trained)
            held.copy_(held.to(parameter.dtype))
