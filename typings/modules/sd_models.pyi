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

class SdModelData:
    sd_model: HostModel | None
    """The model in use; reading it loads nothing, unlike `shared.sd_model`."""
    loaded_sd_models: list[HostModel]
    was_loaded_at_least_once: bool
    lock: threading.Lock

model_data: SdModelData
