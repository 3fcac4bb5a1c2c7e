"""The base model that the host has loaded, as training needs it: its own modules, no second copy.

Pictures may be drawn between two steps: what training does to the modules is put on and taken off again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from modules import devices
from modules.sd_models import CheckpointInfo
from torch import Tensor, nn

from lib_lyco.errors import ModelError
from lib_lyco.host.models import find_module, read_model
from lib_lyco.host.training_forward import Forward, training_forwards
from lib_lyco.host.training_loan import COARSE, loans
from lib_lyco.host.training_text import OpenClipEncoder, with_views
from lib_lyco.host.training_vae import decode_latents, encode_images
from lib_lyco.models.base import (
    LATENT_FACTOR,
    PLAIN_TEXT,
    Cond,
    NoiseSchedule,
    SizeCond,
    TextStyle,
    demand_latent_size,
)
from lib_lyco.models.plan import is_open_clip
from lib_lyco.models.presence import Presence
from lib_lyco.models.target import Targets
from lib_lyco.models.text import Encoder, TextEncoder, encode_pair, encode_single
from lib_lyco.models.tokenizer import EOS, clip_tokenizer
from lib_lyco.naming.layer import Component, Family
from lib_lyco.naming.table import layer_table
from lib_lyco.train.autograd.operation import autocasts

_OPEN_CLIP_PAD = 0
_LARGEST_PERIOD = 10000.0


@dataclass(frozen=True)
class _Part:
    """Something that is put on the host's modules; see `presence.Part`."""

    put_on: Callable[[], None]
    take_off: Callable[[], None]


def training_model(model: nn.Module) -> HostTrainingModel:
    """The host's model for training; nothing of it is changed before it is opened.

    Raises:
        ModelError: It is of no family that is trained here.
        MissingPackageError: CLIP's vocabulary is not installed.
    """
    found = read_model(model)
    if found.family is None or found.family == "sd3":
        raise ModelError(
            "The WebUI's model cannot be trained on",
            got=found.title,
            expected="Stable Diffusion 1, 2 or XL",
            remedy="Load another checkpoint.",
        )
    return HostTrainingModel(model, found.family, found.targets)


class HostTrainingModel:
    """A `BaseModel` on ldm's or sgm's modules; made by `training_model`."""

    def __init__(self, model: nn.Module, family: Family, targets: Targets) -> None:
        self.presence = Presence(lent=True)
        """What a run has put on the modules."""
        self._model: Any = model
        self.checkpoint: CheckpointInfo = self._model.sd_checkpoint_info
        """What the host had loaded when this was made; the host puts others into the same modules."""
        self._family: Family = family
        replaced, self._views = with_views(targets)
        self._targets = MappingProxyType(replaced)
        self._modules: dict[Component, nn.Module] = {
            component: module
            for component, root in layer_table(family).host_roots.items()
            if (module := find_module(model, root)) is not None
        }
        self._encoders = {
            component: self._encoder(component, module)
            for component, module in self._modules.items()
            if component != "unet"
        }
        self.loans = loans(self._model)
        """What makes the host's model whole while it is trained on."""
        self._checkpointing = False
        self._is_on = False
        self._forwards: dict[bool, list[tuple[nn.Module, Forward]]] = {}
        """What computes otherwise in training, without checkpointing and with."""
        self._planted: list[tuple[dict[str, Any], Forward | None]] = []
        self._planted_for: bool | None = None

    @property
    def name(self) -> str:
        return Path(self.checkpoint.filename).stem

    @property
    def family(self) -> Family:
        return self._family

    @property
    def schedule(self) -> NoiseSchedule:
        """In float32, as the model was made: the host may draw pictures with another one."""
        alphas = getattr(self._model, "alphas_cumprod_original", None)
        alphas = self._model.alphas_cumprod if alphas is None else alphas
        prediction = "v" if self._model.parameterization == "v" else "epsilon"
        return NoiseSchedule(alphas.detach().float(), prediction)

    @property
    def device(self) -> torch.device:
        return torch.device(devices.device)

    @property
    def dtype(self) -> torch.dtype:
        dtype = next(self._unet.parameters()).dtype
        return devices.dtype_unet if dtype in COARSE else dtype

    @property
    def vae(self) -> nn.Module:
        """The autoencoder; no network changes it."""
        return self._model.first_stage_model

    def component(self, component: Component) -> nn.Module | None:
        return self._modules.get(component)

    def targets(self) -> Targets:
        return self._targets

    @contextmanager
    def opened(self) -> Generator[None]:
        """Within it the modules compute as training needs it, whenever the run is present.

        Sample pictures are drawn as the host draws, but with everything that belongs to the base.
        """
        views = _Part(self._follow, self._leave)
        forwards = _Part(partial(self._compute, True), partial(self._compute, False))
        with ExitStack() as held:
            for loan in self.loans:
                held.enter_context(self.presence.holding(loan, of_base=True))
            held.enter_context(self.presence.holding(views, of_base=True))
            held.enter_context(self.presence.holding(forwards))
            yield

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `BaseModel.encode_images`; the latents are float32.

        Raises:
            ModelError: A side is not a multiple of 8.
        """
        demand_latent_size(images)
        return encode_images(self.vae, images, generator) * self._latent_scale

    def decode_latents(self, latents: Tensor) -> Tensor:
        """As `BaseModel.decode_latents`; the pictures are float32 and not clipped."""
        return decode_latents(self.vae, latents / self._latent_scale)

    def encode_prompts(
        self,
        prompts: Sequence[str],
        clip_skip: int = 1,
        style: TextStyle = PLAIN_TEXT,
        second: Sequence[str] | None = None,
    ) -> Cond:
        """As `BaseModel.encode_prompts`; textual inversions and the host's own options play no part."""
        encoders = tuple(self._encoders.values())
        with self._computing():
            if self._family == "sdxl":
                pair = (prompts, prompts if second is None else second)
                return encode_pair((encoders[0], encoders[1]), pair, style)
            return encode_single(encoders[0], prompts, clip_skip, style)

    def predict(self, noisy: Tensor, timesteps: Tensor, cond: Cond, size: SizeCond | None = None) -> Tensor:
        """As `BaseModel.predict`; the denoiser itself is asked, not the host's wrappers around it.

        For SDXL no `size` means pictures that were neither resized nor cropped.
        """
        vector = self._vector(noisy, cond, size) if self._family == "sdxl" else None
        inputs = noisy.to(self.dtype), timesteps, cond.states.to(self.dtype)
        with self._computing():
            return self._unet(*inputs, y=vector).to(noisy.dtype)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """As `BaseModel.set_gradient_checkpointing`."""
        self._checkpointing = enabled
        for encoder in self._encoders.values():
            if isinstance(encoder, OpenClipEncoder):
                encoder.checkpointing = enabled
        self._replant()

    @property
    def _unet(self) -> nn.Module:
        return self._modules["unet"]

    @property
    def _latent_scale(self) -> float:
        return float(self._model.scale_factor)

    def _encoder(self, component: Component, module: Any) -> Encoder:
        if not is_open_clip(self._family, component):
            return TextEncoder(module, clip_tokenizer(EOS))
        unread = 1 if self._family == "sd2" else 0
        return OpenClipEncoder(module, clip_tokenizer(_OPEN_CLIP_PAD), self._views, component, unread)

    def _computing(self) -> AbstractContextManager[object]:
        """ldm mixes dtypes where weights are half: outside of a run's own autocast, one of the model's."""
        if self.dtype == torch.float32 or autocasts(self.device):
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def _vector(self, noisy: Tensor, cond: Cond, size: SizeCond | None) -> Tensor:
        """SDXL's (b, p + 6 w): the pooled text, and w values for each of six numbers."""
        assert cond.pooled is not None, "SDXL's cond has a pooled state"
        b, _, h, w = noisy.shape
        if size is None:
            whole = torch.tensor([[h, w]], device=noisy.device).expand(b, 2) * LATENT_FACTOR
            size = SizeCond(original=whole, crop=torch.zeros_like(whole), target=whole)
        numbers = torch.cat([size.original, size.crop, size.target], dim=1).to(noisy.device)
        label: Any = self._unet.get_submodule("label_emb.0.0")
        width = (label.in_features - cond.pooled.shape[1]) // numbers.shape[1]
        waves = _waves(numbers.flatten(), width).reshape(b, -1)
        return torch.cat([cond.pooled.to(self.dtype), waves.to(self.dtype)], dim=1)

    def _follow(self) -> None:
        for view in self._views.values():
            view.follow()

    def _leave(self) -> None:
        for view in self._views.values():
            view.leave()

    def _compute(self, as_trained: bool) -> None:
        self._is_on = as_trained
        self._replant()

    def _replant(self) -> None:
        """Gives each module the forward function of the moment."""
        wanted = self._checkpointing if self._is_on or self._checkpointing else None
        if wanted == self._planted_for:
            return
        self._planted_for = wanted
        for attributes, before in reversed(self._planted):
            del attributes["forward"]
            if before is not None:
                attributes["forward"] = before
        self._planted.clear()
        for module, forward in [] if wanted is None else self._forwards_for(wanted):
            # past nn.Module's own, slow way to set an attribute: this is done for each turn beside pictures
            attributes = vars(module)
            self._planted.append((attributes, attributes.get("forward")))
            attributes["forward"] = forward

    def _forwards_for(self, checkpointing: bool) -> list[tuple[nn.Module, Forward]]:
        """Found once: a run ends where the host's model becomes another."""
        if checkpointing not in self._forwards:
            texts = [module for component, module in self._modules.items() if component != "unet"]
            self._forwards[checkpointing] = list(training_forwards(self._unet, texts, checkpointing))
        return self._forwards[checkpointing]


def _waves(numbers: Tensor, width: int) -> Tensor:
    """Numbers (n,) as cosines and sines of falling frequency, (n, width) float32: SDXL's size embedding."""
    half = width // 2
    frequencies = torch.exp(-math.log(_LARGEST_PERIOD) * torch.arange(half, device=numbers.device) / half)
    angles = numbers[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
