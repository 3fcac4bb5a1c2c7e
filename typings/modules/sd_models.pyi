import threading

from torch import nn

class CheckpointInfo:
    title: str
    name: str
    filename: str
    short_title: str

class HostModel(nn.Module):
    """ldm's LatentDiffusion, sgm's DiffusionEngine or SD3Inferencer, as the host loads them."""

    sd_checkpoint_info: CheckpointInfo
    lowvram: bool
    first_stage_model: nn.Module

class SdModelData:
    sd_model: HostModel | None
    """The model in use; reading it loads nothing, unlike `shared.sd_model`."""
    loaded_sd_models: list[HostModel]
    was_loaded_at_least_once: bool
    lock: threading.Lock

model_data: SdModelData
checkpoints_list: dict[str, CheckpointInfo]
"""By title."""
checkpoint_aliases: dict[str, CheckpointInfo]
"""By everything a checkpoint may be called."""

def select_checkpoint() -> CheckpointInfo | None:
    """The one that the user has chosen; WebUIs raise FileNotFoundError without one, or give None."""

def reload_model_weights(
    sd_model: HostModel | None = None, info: CheckpointInfo | None = None, forced_reload: bool = False
) -> HostModel:
    """Loads a checkpoint unless it is the one in use; takes no lock."""

def send_model_to_cpu(m: HostModel | None) -> None: ...
def send_model_to_device(m: HostModel) -> None: ...
