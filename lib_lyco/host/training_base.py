"""Which base models can be trained on in the WebUI, and how a run gets its one.

Best is the checkpoint that is loaded. Another one from the list the host loads itself, in the place of
the first, which comes back at the end. Where the host's model cannot be trained on (Forge, reForge), we
load the file a second time, if diffusers is there to run it, and the host's model is off the GPU meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from modules import call_queue, devices, sd_models, sd_unet
from torch import nn

from lib_lyco.errors import ConfigError, ModelError
from lib_lyco.host.base import base_in_use
from lib_lyco.host.forge import is_patched
from lib_lyco.host.models import find_family, find_module
from lib_lyco.host.training_hollow import HollowModels
from lib_lyco.host.training_loan import COARSE, bring_back, is_unloaded, put_away
from lib_lyco.host.training_model import training_model
from lib_lyco.models.base import BaseModel
from lib_lyco.studio.workplace import Base
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.precision import DTYPES, choose_precision

NEEDS = (
    ("modules.devices", "device"),
    ("modules.sd_models", "model_data"),
    ("modules.sd_models", "checkpoints_list"),
    ("modules.sd_models", "reload_model_weights"),
    ("modules.sd_unet", "current_unet"),
)

_FINE = (torch.float32, torch.float16, torch.bfloat16)
_LATENT_CHANNELS = 4
_OTHER = "Load a checkpoint of Stable Diffusion 1, 2 or XL."


def bases(hollow: HollowModels) -> Sequence[Base]:
    """The loaded checkpoint, then all that the host lists. Loads nothing.

    Args:
        hollow: What a run on the loaded one would take.
    """
    model = sd_models.model_data.sd_model
    info = _info(model)
    loaded = Base(
        name="",
        title=info.title if info else "No checkpoint is loaded",
        family=base_in_use().family,
        path=Path(info.filename) if info else None,
        problem="" if info and can_load_ourselves() else why_not(model),
        hollow=hollow.of_loaded,
    )
    problem = "" if model is None or can_load_ourselves() else _for_any(model)
    others = list(sd_models.checkpoints_list.values())
    return (loaded, *(Base(one.filename, one.title, None, Path(one.filename), problem) for one in others))


def why_not(model: sd_models.HostModel | None) -> str:
    """Why the host's model cannot be trained on, as a sentence with what to do; "" if it can."""
    if model is None:
        return "No checkpoint is loaded. Choose one at the top of the page."
    return _for_any(model) or _for_this(model)


def _for_any(model: sd_models.HostModel) -> str:
    """What stands in the way of every checkpoint that the host loads."""
    if _is_of_forge(model):
        return (
            "This WebUI runs its model in a way of its own (Forge, reForge), without gradients. "
            "Install diffusers, with which training loads the checkpoint itself."
        )
    if sd_unet.current_unet is not None:
        return "Something else draws in the denoiser's place. Set SD Unet to None in the settings."
    return ""


def _for_this(model: sd_models.HostModel) -> str:
    family = find_family(model)
    if family is None or family == "sd3":
        return f"The checkpoint is of no kind that can be trained on here. {_OTHER}"
    weights = [one for one in model.parameters() if one.dtype not in (*_FINE, *COARSE)]
    if weights:
        return f"Weights of the checkpoint are {weights[0].dtype}. {_OTHER}"
    unet: Any = find_module(model, "model.diffusion_model")
    if is_unloaded(model):
        return "The checkpoint has been unloaded. Load it again (Settings, Actions)."
    if unet.input_blocks[0][0].in_channels != _LATENT_CHANNELS:
        return "The checkpoint is for inpainting, depth or instructions. Train on the one it was made from."
    return _for_its_noise(model)


def _for_its_noise(model: Any) -> str:
    scaling = type(getattr(getattr(model, "denoiser", None), "scaling", None)).__name__
    known = scaling in ("NoneType", "EpsScaling", "VScaling")
    if not known or model.parameterization not in ("eps", "v"):
        return f"The checkpoint predicts neither noise nor velocity. {_OTHER}"
    return ""


def can_load_ourselves() -> bool:
    """Whether diffusers is installed, which runs base models without the host."""
    return find_spec("diffusers") is not None


@contextmanager
def opened_base(config: TrainConfig) -> Generator[BaseModel]:
    """The base model of a run. The host's lock is taken to begin and to end, not in between.

    Within it the host has the run's checkpoint in use, as if the user had chosen it; or, where the host's
    model cannot be trained on, the run has one that is nobody else's.

    Raises:
        ModelError: There is no such checkpoint, or it cannot be trained on.
        ConfigError: An option is not for a model that the host has loaded.
    """
    with ExitStack() as opened:
        with call_queue.queue_lock:
            model = opened.enter_context(_base(config))
        try:
            yield model
        finally:
            with call_queue.queue_lock:
                opened.close()


@contextmanager
def _base(config: TrainConfig) -> Generator[BaseModel]:
    before = sd_models.model_data.sd_model
    wanted = _wanted(config.base_model, before)
    general = "" if before is None else _for_any(before)
    own = _is_in_use(wanted)
    if before is not None and (general or (own and _for_this(before))) and can_load_ourselves():
        put_away(before)
        try:
            model = _load(config, wanted.filename)
        finally:
            bring_back(before)  # until the run's first turn
        yield model
        return
    if general:
        raise _refused(wanted, general)
    _demand_lent(config)
    with _in_use(wanted) as model:
        problem = why_not(model)
        if problem:
            raise _refused(wanted, problem)
        lent = training_model(model)
        lent.presence.leave()  # until the run's first turn
        with lent.opened():
            yield lent


@contextmanager
def _in_use(wanted: sd_models.CheckpointInfo) -> Generator[sd_models.HostModel]:
    """The host's model with a checkpoint's weights; the one before is loaded again at the end, unless the
    user has chosen another meanwhile."""
    before = sd_models.model_data.sd_model
    if before is not None and _is_in_use(wanted):
        if is_unloaded(before):
            sd_models.send_model_to_device(before)
        yield before
        return
    former = _info(before)
    try:
        yield _reload(wanted)
    finally:
        if former is not None and _is_in_use(wanted):
            _reload(former)


def _info(model: object) -> sd_models.CheckpointInfo | None:
    """What a model was loaded from, or will be: Forge loads it for the first picture."""
    if model is not None and not isinstance(model, nn.Module):
        return sd_models.select_checkpoint()
    return getattr(model, "sd_checkpoint_info", None)


def _is_of_forge(model: object) -> bool:
    """Whether it is Forge's or reForge's, or what Forge has in its place before the first use."""
    return is_patched(model) or not isinstance(model, nn.Module)


def _is_in_use(info: sd_models.CheckpointInfo) -> bool:
    loaded = _info(sd_models.model_data.sd_model)
    return loaded is not None and loaded.filename == info.filename


def _reload(info: sd_models.CheckpointInfo) -> sd_models.HostModel:
    """Has the host load a checkpoint in the place of the one in use.

    Raises:
        ModelError: It cannot.
    """
    try:
        return sd_models.reload_model_weights(info=info)
    # a file that is gone or damaged, no memory: whatever the host says of it
    except Exception as error:  # noqa: BLE001
        raise ModelError(
            "The WebUI cannot load the checkpoint",
            where=info.title,
            got=f"{type(error).__name__}: {error}",
            remedy="Choose it at the top of the page to see what is wrong.",
        ) from error


def _load(config: TrainConfig, path: str) -> BaseModel:
    from lib_lyco.models.load import load_model  # it imports diffusers, which few WebUIs have

    device = torch.device(devices.device)
    dtype = DTYPES[choose_precision(config.precision, device)]
    return load_model(path, device, dtype, vae=config.vae or None)


def _wanted(name: str, loaded: sd_models.HostModel | None) -> sd_models.CheckpointInfo:
    """The checkpoint that `base_model` names: a file, or a title of the host's list."""
    if not name:
        info = _info(loaded)
        if info is None:
            raise ModelError("No checkpoint is loaded", remedy="Choose one at the top of the page.")
        return info
    for info in sd_models.checkpoints_list.values():
        if name in (info.title, info.name, info.filename) or Path(info.filename) == Path(name):
            return info
    raise ModelError(
        "The WebUI has no such checkpoint",
        where="base_model",
        got=name,
        remedy="Put it into models/Stable-diffusion and press Refresh, or choose another.",
    )


def _demand_lent(config: TrainConfig) -> None:
    """Refuses what would change the model under whoever draws with it."""
    if config.vae:
        raise ConfigError(
            "The WebUI's own model is trained on with the WebUI's VAE.",
            where="vae",
            got=config.vae,
            remedy="Leave it empty, and choose the VAE in the WebUI (SD VAE).",
        )
    if config.fp8_base:
        raise ConfigError(
            "The WebUI's own model keeps its weights while it is trained on.",
            where="fp8_base",
            got="true",
            remedy="Switch it off.",
        )


def _refused(info: sd_models.CheckpointInfo, problem: str) -> ModelError:
    what, _, remedy = problem.partition(". ")
    return ModelError(what, where=info.title, remedy=remedy)
