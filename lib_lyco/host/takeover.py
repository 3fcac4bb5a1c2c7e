"""Who acts on `<lora:>`: we, or the builtin extension, as an option says, while the WebUI runs.

Two programs that merge into the same weights, each with its own copies of the originals, destroy them.
So only one of both is ever at work: whoever hands over restores first. The builtin restores a layer
when that is next used; we have it do so at once, with its own function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from modules import call_queue, sd_models, shared
from modules.extra_networks import (
    ExtraNetwork,
    ExtraNetworkParams,
    extra_network_aliases,
    extra_network_registry,
)
from modules.processing import StableDiffusionProcessing, StableDiffusionProcessingTxt2Img

from lib_lyco.errors import LycoError, PromptError
from lib_lyco.host.app import HostApp
from lib_lyco.host.forge import is_beyond_us

OPTION = "lyco_own_lora"
OURS, SHARED = "lyco", "lora"
"""The kind of tag that is always ours, and the one that may be the builtin's."""
FORGES = "sd_forge_lora"
"""Forge's builtin."""


class Builtin(Protocol):
    """The builtin extension's module `networks`."""

    loaded_networks: Sequence[object]
    """What it applies, layer by layer as they are used."""
    extra_network_lora: ExtraNetwork
    load_networks: Callable[[Sequence[str], Sequence[float], Sequence[float]], None]
    """Names and their multipliers in text encoders and UNet."""
    __file__: str


class Takeover:
    """The entries of the host's registry that are ours.

    Args:
        app: Whose option decides.
    """

    def __init__(self, app: HostApp) -> None:
        self._app = app
        self._network: ExtraNetwork | None = None

    def settle(self, network: ExtraNetwork) -> None:
        """Makes the registry what the option says, now and whenever it is set."""
        self._network = network
        self._switch()
        shared.opts.onchange(OPTION, call_queue.wrap_queued_call(self._switch), call=False)

    def withdraw(self) -> None:
        """Leaves the registry as if we had never been there. Weights are the caller's matter."""
        self._network = None
        extra_network_registry.pop(OURS, None)
        self._return_lora()

    def leave(self, p: StableDiffusionProcessing, given: list[ExtraNetworkParams]) -> bool:
        """Leaves tags to the builtin where only it knows the base model; says whether it did."""
        builtin = find_builtin()
        if builtin is None or not _is_active(builtin) or not self._app.options.own_lora:
            return False
        if not is_beyond_us(sd_models.model_data.sd_model):
            return False
        builtin.extra_network_lora.activate(p, given)
        return True

    def hand_over(
        self, ours: ExtraNetwork, p: StableDiffusionProcessing, given: list[ExtraNetworkParams]
    ) -> list[ExtraNetworkParams]:
        """Passes `<lora:>` on where the option is off for this picture alone; returns the tags left to us.

        `override_settings` set an option without a word to anybody, so the registry is as before. It
        stays: the host goes through it, and would call the builtin again, with nothing.
        """
        if self._app.options.own_lora or extra_network_registry.get(SHARED) is not ours:
            return given
        theirs = _tags_of(p, SHARED)
        builtin = find_builtin()
        if builtin is not None and _is_active(builtin):
            builtin.extra_network_lora.activate(p, theirs)
        return [tag for tag in given if not any(tag is other for other in theirs)]

    def refusal(self, p: StableDiffusionProcessing) -> LycoError | None:
        """Why our tags cannot act in a picture, where the builtin owns `<lora:>` and acts in it too."""
        builtin = find_builtin()
        if self._app.options.own_lora or builtin is None or not _is_active(builtin):
            return None
        default = getattr(shared.opts, "sd_lora", "None")
        if not _tags_of(p, SHARED) and default in ("None", "", None):
            return None
        return PromptError(
            "<lyco:> does nothing in this picture, since its prompt has <lora:> too",
            got="<lora:> is the builtin's (Settings, Lyco), and only one of both can act on a model",
            remedy="Write <lyco:> for all, or let Lyco own <lora:>.",
        )

    def tags(
        self, ours: ExtraNetwork, p: StableDiffusionProcessing, given: Sequence[ExtraNetworkParams]
    ) -> Sequence[ExtraNetworkParams]:
        """The tags to act on, once the builtin is out of the way."""
        builtin = find_builtin()
        if not self._app.options.own_lora:
            if given and builtin is not None:
                quiet(builtin)
            return given
        if builtin is not None and builtin.loaded_networks:
            quiet(builtin)
        if self._network is ours and extra_network_registry.get(SHARED) is not ours:
            # somebody (loractl) put another in our place for this picture; its tags are ours still
            extra_network_registry[SHARED] = ours
            return [*given, *_tags_of(p, SHARED)]
        return given

    def _switch(self) -> None:
        if self._network is None:
            return
        if self._app.options.own_lora:
            builtin = find_builtin()
            if builtin is not None:
                quiet(builtin)
            # in this order: the host goes through them, see `tags`
            extra_network_registry[SHARED] = self._network
        else:
            self._app.engine.restore()
            self._return_lora()
        extra_network_registry[OURS] = self._network

    @staticmethod
    def _return_lora() -> None:
        builtin = find_builtin()
        if builtin is not None and _is_active(builtin):
            extra_network_registry[SHARED] = builtin.extra_network_lora
        else:
            extra_network_registry.pop(SHARED, None)


def find_builtin() -> Builtin | None:
    """The builtin extension's module, if this process has ever loaded it."""
    module: Any = sys.modules.get("networks")
    names = ("loaded_networks", "extra_network_lora", "load_networks")
    return cast(Builtin, module) if all(hasattr(module, name) for name in names) else None


def _is_active(builtin: Builtin) -> bool:
    """Whether it is enabled: it registers this alias at every start, and nobody else does.

    Forge's has no alias.
    """
    if extra_network_aliases.get(OURS) is builtin.extra_network_lora:
        return True
    folder = Path(builtin.__file__).parent.name
    return folder == FORGES and folder not in shared.opts.disabled_extensions


def quiet(builtin: Builtin) -> None:
    """Has the builtin take off, now, whatever it has on any resident model."""
    if builtin.loaded_networks:
        builtin.load_networks([], [], [])
    apply_weights = getattr(builtin, "network_apply_weights", None)
    if apply_weights is None:
        return  # Forge's: its patchers are bare from now on
    with torch.no_grad():
        for model in list(sd_models.model_data.loaded_sd_models):
            for module in model.modules():
                if getattr(module, "network_current_names", ()):
                    apply_weights(module)


def _tags_of(p: StableDiffusionProcessing, kind: str) -> list[ExtraNetworkParams]:
    """The tags of a kind in the pass at hand."""
    data = p.extra_network_data
    if p.is_hr_pass and isinstance(p, StableDiffusionProcessingTxt2Img):
        data = p.hr_extra_network_data
    return list((data or {}).get(kind, ()))
