"""Networks on Forge and reForge, where weights belong to patchers.

A patcher is a list of patches over modules that it shares with its clones; before one runs, the host
puts the originals back and merges its patches. So a set of networks is one clone with our patches,
kept where the builtin keeps its own (`forge_objects_after_applying_lora`), and taking it off is putting
back the patcher that was cloned: no weight is touched here.

There is one patch for each parameter, for all networks on it. It is of a kind of our own: the host
hands over the weight in float32 and rounds what it gets, and between the two is the arithmetic of
`apply.merge`. The host's own kinds know fewer algorithms, and take one delta after the other.

What cannot work: the host merges once, before the first step, and always into the weights.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor

from lib_lyco.apply.wanted import Mode, Report, Wanted
from lib_lyco.errors import ModelError
from lib_lyco.host.forge_model import PatchedLayers, Roots, find_family, read_layers
from lib_lyco.host.forge_patches import Patch, PatchMaker, PatchSet
from lib_lyco.naming.layer import Family
from lib_lyco.prompt.request import NetworkRequest

KIND = "lyco"
"""What our kind of patch is called."""

LIMITS = (
    "This WebUI merges networks once, before the first step: a strength that changes by step keeps its "
    "first value, and the bypass is a merge."
)
"""For people: what cannot work."""

_FINE = (torch.float32, torch.float16, torch.bfloat16)


class PatchedModel(Protocol):
    """Their model. Its two `forge_objects` hold the patcher of the denoiser as `unet`, and as `clip` what
    holds the patcher of the text encoders."""

    forge_objects: Any
    """What runs now; replaced by a copy of the next one before every pass."""
    forge_objects_after_applying_lora: Any


class PatchKind(Protocol):
    """How patches of ours become patches of theirs."""

    def put(self, patcher: Any, name: str, patches: Mapping[str, Patch], *, coarse: bool) -> None:
        """Adds patches to a patcher.

        Args:
            patcher: Of the denoiser or of the text encoders.
            name: Another for another set.
            patches: By the parameter's name below the patcher's root.
            coarse: Whether the model's weights have so few bits that a merge loses much of a delta.
        """
        ...


class ForgeKind:
    """Forge: a table of functions by kind, called with the weight and what a patch holds."""

    def __init__(self) -> None:
        """
        Raises:
            ImportError, AttributeError: This is not Forge, or not as we know it.
        """
        self._options: Mapping[str, object] = importlib.import_module("backend.args").dynamic_args
        calculators: dict[str, Callable[[Tensor, float, Patch], Tensor]]
        calculators = importlib.import_module("backend.patcher.lora").extra_weight_calculators
        calculators[KIND] = _calculate

    def put(self, patcher: Any, name: str, patches: Mapping[str, Patch], *, coarse: bool) -> None:
        """See `PatchKind`. Where the user wants it, coarse weights are left alone and merged anew, in
        fine ones, whenever a layer runs ("LoRA in fp16")."""
        online = coarse and bool(self._options.get("online_lora"))
        theirs = {key: (KIND, patch) for key, patch in patches.items()}
        patcher.add_patches(filename=name, patches=theirs, online_mode=online)


def _calculate(weight: Tensor, strength: float, patch: Patch) -> Tensor:
    return patch.merge(weight, strength)


class ReForgeKind:
    """reForge: a base class of patches that are asked to calculate the weight."""

    def __init__(self) -> None:
        """
        Raises:
            ImportError, AttributeError: This is not reForge, or not as we know it.
        """
        base = importlib.import_module("ldm_patched.modules.weight_adapter").WeightAdapterBase
        self._class: Callable[[], Any] = type(
            "LycoPatch", (base,), {"name": KIND, "calculate_weight": _calculate_by_class}
        )

    def put(self, patcher: Any, name: str, patches: Mapping[str, Patch], *, coarse: bool) -> None:
        """See `PatchKind`. It numbers its sets itself, and treats coarse weights as it thinks fit."""
        del name, coarse
        theirs: dict[str, Any] = {}
        for key, patch in patches.items():
            theirs[key] = self._class()
            theirs[key].patch = patch
        patcher.add_patches(theirs)


def _calculate_by_class(
    self: Any, weight: Tensor, key: str, strength: float, *rest: object, **more: object
) -> Tensor:
    del key, rest, more
    return self.patch.merge(weight, strength)


def is_patched(model: object) -> TypeGuard[PatchedModel]:
    """Whether patchers run the model. Before its first use Forge has only a stand-in for it."""
    return hasattr(model, "forge_objects_after_applying_lora")


def patched_family(model: PatchedModel) -> Family | None:
    """The family of a model that patchers run, if it is one of ours."""
    return find_family(_roots(model))


def is_beyond_us(model: object) -> bool:
    """Whether it is a base model that the builtin knows and we do not: Flux, Chroma, the refiner."""
    return is_patched(model) and patched_family(model) is None


def limits(model: object, requests: Sequence[NetworkRequest], hires: bool, mode: Mode) -> list[str]:
    """What to tell about requests that ask for more than can work on this model."""
    varies = any(not strength.is_constant for one in requests for strength in one.strengths(hires))
    return [LIMITS] if is_patched(model) and requests and (varies or mode == "bypass") else []


def find_kind() -> PatchKind:
    """What the patchers of this host take.

    Raises:
        ModelError: No patches of ours.
    """
    kinds: tuple[Callable[[], PatchKind], ...] = (ForgeKind, ReForgeKind)
    for kind in kinds:
        try:
            return kind()
        except (ImportError, AttributeError):
            continue
    raise ModelError(
        "The patchers of this WebUI take no patches of ours",
        expected="`extra_weight_calculators` as in Forge or `WeightAdapterBase` as in reForge",
        remedy="Update the WebUI, or give <lora:> to its builtin (Settings, Lyco).",
    )


@dataclass(frozen=True, eq=False)
class _Worn:
    """A patcher with our patches on it, and the one that it was cloned from."""

    bare: Any
    ours: Any
    name: str


class PatcherSession:
    """What `apply.session.Session` is elsewhere: the wanted set against the applied one, on one model."""

    def __init__(self, model: PatchedModel, kind: PatchKind) -> None:
        """
        Args:
            model: Fully loaded.
            kind: What its patchers take.
        """
        self._model = weakref.ref(model)  # whoever keeps us by model would keep it alive through us
        self._kind = kind
        self._roots = _roots(model)
        self._layers = read_layers(self._roots)
        self._maker = PatchMaker(self._layers)
        self._worn: dict[str, _Worn] = {}

    @property
    def layers(self) -> PatchedLayers:
        """What networks can change."""
        return self._layers

    def apply(self, wanted: Sequence[Wanted], mode: Mode = "merge") -> Report:
        """Makes `wanted` what is applied from the next pass on.

        Args:
            wanted: The networks, in any order; none takes everything off.
            mode: Of no effect, see `LIMITS`.

        Raises:
            LycoError: A network has several strengths at once, by image.
        """
        del mode
        model = self._model()
        if model is None:
            return Report()
        with torch.inference_mode(False):
            self._look_underneath(model)
            patches = self._maker.make(wanted)
        if patches.unet or patches.texts or self._worn:
            self._put(model, patches)
        return patches.report

    def vary(self, wanted: Sequence[Wanted]) -> None:
        """Of no effect, see `LIMITS`."""
        del wanted

    def restore(self) -> Report:
        """Takes everything off."""
        return self.apply(())

    def _put(self, model: PatchedModel, patches: PatchSet) -> None:
        after = model.forge_objects_after_applying_lora.shallow_copy()
        after.unet = self._dress("unet", after.unet, patches.name, patches.unet)
        after.clip = self._dress("clip", after.clip, patches.name, patches.texts)
        model.forge_objects_after_applying_lora = after
        # a pass begins with a copy of `after`; text may be encoded, or a refiner run, without a copy
        model.forge_objects.unet = after.unet
        model.forge_objects.clip = after.clip

    def _dress(self, place: str, present: Any, name: str, patches: Mapping[str, Patch]) -> Any:
        """Returns a patcher with these patches of ours and no others, in place of the present one."""
        worn = self._worn.pop(place, None)
        bare = present
        if worn is not None and present is worn.ours:
            if worn.name == name:
                self._worn[place] = worn
                return present
            bare = worn.bare
        if not patches:
            return bare
        ours = bare.clone()
        storage = getattr(self._roots.unet, "storage_dtype", torch.float32)
        self._kind.put(ours, name, patches, coarse=storage not in _FINE)
        self._worn[place] = _Worn(bare, ours, name)
        return ours

    def _look_underneath(self, model: PatchedModel) -> None:
        """Reads the layers anew where other modules have come: the text encoders can be exchanged."""
        roots = _roots(model)
        if not roots.is_same(self._roots):
            self._roots = roots
            self._layers = read_layers(roots)
            self._maker = PatchMaker(self._layers)


def _roots(model: PatchedModel) -> Roots:
    objects = model.forge_objects_after_applying_lora
    return Roots(objects.unet.model, objects.clip.cond_stage_model)
