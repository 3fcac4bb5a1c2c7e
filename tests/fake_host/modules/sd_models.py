"""Checkpoints, and the model that holds one. A model outlives the weights in it."""

from __future__ import annotations

import json
import struct
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from tests.fake_host.text_encoder import FrozenCLIPEmbedder
from tests.fake_host.unet import UNetModel, sizes

from . import extra_networks, hashes, paths_internal, script_callbacks, sd_hijack, shared

UNET = "model.diffusion_model."


class CheckpointInfo:
    """A file, and all the names it goes by."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.name = Path(filename).name
        self.name_for_extra = self.model_name = Path(filename).stem
        self.sha256 = hashes.sha256(filename, f"checkpoint/{self.name}")
        self.shorthash = self.sha256[:10]
        self.title = f"{self.name} [{self.shorthash}]"
        self.short_title = f"{self.name_for_extra} [{self.shorthash}]"
        self.metadata = read_metadata_from_safetensors(filename)
        self.ids = [self.title, self.name, self.name_for_extra, self.shorthash, self.sha256]


checkpoints_list: dict[str, CheckpointInfo] = {}
checkpoint_aliases: dict[str, CheckpointInfo] = {}


def list_models() -> None:
    """Reads the folder."""
    checkpoints_list.clear()
    checkpoint_aliases.clear()
    for path in sorted(Path(paths_internal.models_path, "Stable-diffusion").glob("*.safetensors")):
        info = CheckpointInfo(str(path))
        checkpoints_list[info.title] = info
        checkpoint_aliases.update(dict.fromkeys(info.ids, info))


def checkpoint_tiles(use_short: bool = False) -> list[str]:
    """The titles."""
    return [info.short_title if use_short else info.title for info in checkpoints_list.values()]


def get_closet_checkpoint_match(search_string: str | None) -> CheckpointInfo | None:
    """By any of its names, or a part of its title."""
    if not search_string:
        return None
    parts = (info for info in checkpoints_list.values() if search_string in info.title)
    return checkpoint_aliases.get(search_string) or next(parts, None)


def select_checkpoint() -> CheckpointInfo:
    """The one that the settings name, or the first."""
    chosen = checkpoint_aliases.get(shared.opts.sd_model_checkpoint)
    return chosen or next(iter(checkpoints_list.values()))


def read_metadata_from_safetensors(filename: str) -> dict[str, Any]:
    """The header's metadata; what looks like an object of json is read as one."""
    with Path(filename).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        metadata: dict[str, str] = json.loads(file.read(length)).get("__metadata__", {})
    return {key: json.loads(value) if value[:1] == "{" else value for key, value in metadata.items()}


def read_state_dict(checkpoint_file: str, **_: Any) -> dict[str, Tensor]:
    """The tensors of a file."""
    return safetensors.torch.load_file(checkpoint_file)


class SkipWritingToConfig:
    """While inside, a change of checkpoint does not become the setting."""

    skip = False

    def __enter__(self) -> None:
        type(self).skip = True

    def __exit__(self, *_: object) -> None:
        type(self).skip = False


class DiffusionWrapper(nn.Module):
    """ldm's holder of the denoiser."""

    def __init__(self, unet: UNetModel, conditioning_key: str) -> None:
        super().__init__()
        self.diffusion_model = unet
        self.conditioning_key = conditioning_key


class LatentDiffusion(nn.Module):
    """A Stable Diffusion 1 that predicts v; inpainting when its denoiser takes nine channels."""

    def __init__(self, state_dict: dict[str, Tensor]) -> None:
        super().__init__()
        shapes = {key.removeprefix(UNET): tuple(value.shape) for key, value in state_dict.items()}
        in_channels, width, context = sizes(shapes)
        unet = UNetModel(in_channels, width, context)
        self.model = DiffusionWrapper(unet, "hybrid" if in_channels == 9 else "crossattn")
        self.cond_stage_model: nn.Module = FrozenCLIPEmbedder(context).requires_grad_(False)
        self.used_config = f"{in_channels} channels"
        self.is_sd1, self.is_sd2, self.is_sdxl, self.is_ssd, self.is_sd3 = True, False, False, False, False
        self.is_sdxl_inpaint = self.lowvram = False
        self.cond_stage_key = "txt"
        self.parameterization = "v"
        self.latent_channels = 4
        self.sd_checkpoint_info: CheckpointInfo
        self.cond_stage_model_empty_prompt: Tensor
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        self.alphas_cumprod = self.alphas_cumprod_original = (1 - betas).cumprod(0)

    @property
    def sd_model_checkpoint(self) -> str:
        """The file whose weights it has."""
        return self.sd_checkpoint_info.filename

    @property
    def sd_model_hash(self) -> str:
        """The file's short hash."""
        return self.sd_checkpoint_info.shorthash

    def get_learned_conditioning(self, texts: list[str]) -> Tensor:
        """Prompts -> (b, 77, width)."""
        return self.cond_stage_model(texts)

    def apply_model(self, x: Tensor, timestep: int, text: Tensor) -> Tensor:
        """x: (b, c, h, w) -> v: (b, 4, h, w). The inpainting channels say that all of it is to be drawn."""
        rest = self.model.diffusion_model.input_blocks[0][0].in_channels - x.shape[1]  # type: ignore[index]
        x = torch.cat([x, torch.ones_like(x[:, :1]).repeat(1, rest, 1, 1)], dim=1) if rest else x
        return self.model.diffusion_model(x, torch.full((len(x),), timestep), text)

    def ema_scope(self) -> AbstractContextManager[None]:
        """No average is kept."""
        return nullcontext()


class SdModelData:
    """The model in use, and those that stay resident."""

    def __init__(self) -> None:
        self.sd_model: LatentDiffusion | None = None
        self.loaded_sd_models: list[LatentDiffusion] = []

    def get_sd_model(self) -> LatentDiffusion:
        """Loads at the first call."""
        return self.sd_model or load_model()

    def set_sd_model(self, v: LatentDiffusion) -> None:
        """Makes it the one in use."""
        self.sd_model = v
        self.loaded_sd_models = [v, *(model for model in self.loaded_sd_models if model is not v)]


model_data = SdModelData()


def load_model(checkpoint_info: CheckpointInfo | None = None) -> LatentDiffusion:
    """A new object; an old one in use is emptied."""
    info = checkpoint_info or select_checkpoint()
    if model_data.sd_model is not None:
        send_model_to_trash(model_data.sd_model)
    state_dict = read_state_dict(info.filename)
    sd_model = LatentDiffusion(state_dict)
    load_model_weights(sd_model, info, state_dict)
    sd_hijack.model_hijack.hijack(sd_model)
    model_data.set_sd_model(sd_model.eval())
    sd_hijack.model_hijack.embedding_db.load_textual_inversion_embeddings(force_reload=True)
    script_callbacks.model_loaded_callback(sd_model)
    with torch.no_grad():
        sd_model.cond_stage_model_empty_prompt = get_empty_cond(sd_model)
    sys.stdout.write(f"Model loaded in 0.0s: {info.title}\n")
    return sd_model


def get_empty_cond(sd_model: LatentDiffusion) -> Tensor:
    """What no words mean. Networks are told that nothing is wanted, with a `p` that has no prompts."""
    from . import processing

    extra_networks.activate(processing.StableDiffusionProcessingTxt2Img(), {})
    return sd_model.get_learned_conditioning([""])


def load_model_weights(
    model: LatentDiffusion, checkpoint_info: CheckpointInfo, state_dict: dict[str, Tensor]
) -> None:
    """Into the parameters that are there."""
    model.load_state_dict(state_dict, strict=False)
    model.sd_checkpoint_info = checkpoint_info
    if not SkipWritingToConfig.skip:
        shared.opts.data["sd_model_checkpoint"] = checkpoint_info.title


def send_model_to_trash(m: nn.Module) -> None:
    """Frees its memory; whoever still holds it holds nothing."""
    m.to(device="meta")


def send_model_to_cpu(m: Any) -> None:
    """It lies there already."""


def send_model_to_device(m: Any) -> None:
    """There is no other."""


def _resident(info: CheckpointInfo) -> LatentDiffusion | None:
    """The model that has these weights already; over the limit, the others are thrown away."""
    found = [
        model for model in model_data.loaded_sd_models if model.sd_checkpoint_info.filename == info.filename
    ]
    limit = shared.opts.sd_checkpoints_limit
    for model in reversed(model_data.loaded_sd_models):
        if model not in found and len(model_data.loaded_sd_models) > limit > 0:
            model_data.loaded_sd_models.remove(model)
            send_model_to_trash(model)
    return found[0] if found else None


def reload_model_weights(
    sd_model: LatentDiffusion | None = None, info: CheckpointInfo | None = None, forced_reload: bool = False
) -> LatentDiffusion:
    """Changes the checkpoint: a resident model, a new object, or other weights in the same one."""
    info = info or select_checkpoint()
    sd_model = sd_model or shared.sd_model
    if sd_model.sd_model_checkpoint == info.filename and not forced_reload:
        return sd_model
    resident = _resident(info)
    if resident is not None and not forced_reload:
        model_data.set_sd_model(resident)  # nobody is told
        if not SkipWritingToConfig.skip:
            shared.opts.data["sd_model_checkpoint"] = info.title
        return resident
    if len(model_data.loaded_sd_models) < shared.opts.sd_checkpoints_limit:
        model_data.sd_model = None
        return load_model(info)
    sd_model = model_data.loaded_sd_models.pop()
    model_data.sd_model = sd_model
    state_dict = read_state_dict(info.filename)
    if LatentDiffusion(state_dict).used_config != sd_model.used_config:
        return load_model(info)
    sd_hijack.model_hijack.undo_hijack(sd_model)
    load_model_weights(sd_model, info, state_dict)
    sd_hijack.model_hijack.hijack(sd_model)
    script_callbacks.model_loaded_callback(sd_model)
    model_data.set_sd_model(sd_model)
    return sd_model
