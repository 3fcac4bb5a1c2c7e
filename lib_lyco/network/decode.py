"""Tensors by key become a network: keys by layer, layers by algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.errors import AdapterError
from lib_lyco.files.tensors import Content, PendingContent
from lib_lyco.naming.claim import Claim, read_claim
from lib_lyco.naming.detect import Detection, detect_beside
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.network.check import all_finite, num_not_finite
from lib_lyco.network.group import Groups, group_keys
from lib_lyco.network.network import Network, UnknownKey

_DIFFUSERS_NAMES: Mapping[Component, str] = MappingProxyType(
    {"unet": "unet", "te1": "text_encoder", "te2": "text_encoder_2", "te3": "text_encoder_3"}
)
"""The components as diffusers' adapter metadata calls them."""

_DIFFUSERS_NAMES_SD3: Mapping[Component, str] = MappingProxyType(
    {**_DIFFUSERS_NAMES, "unet": "transformer"}
)


_NUM_REMEMBERED = 16
"""Outlines."""


@dataclass(frozen=True)
class Outline:
    """What a file's names, shapes and metadata say, before any value is looked at."""

    detection: Detection
    groups: Groups
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class _Layers:
    adapters: Mapping[LayerName, Adapter]
    unknown: tuple[UnknownKey, ...]


def outline_network(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> Outline:
    """Finds the base-model family, and each key's place in it."""
    return Outline(*_understand(tuple(shapes.items()), read_claim(metadata)), metadata)


@lru_cache(_NUM_REMEMBERED)
def _understand(
    shapes: tuple[tuple[str, tuple[int, ...]], ...], claim: Claim | None
) -> tuple[Detection, Groups]:
    """Files of one trainer's settings have the same names and shapes."""
    detection = detect_beside(dict(shapes), claim)
    return detection, group_keys((key for key, _ in shapes), detection)


def decode_network(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], name: str, content_id: str
) -> Network:
    """Understands a file's tensors. One layer's fault never costs another its adapter.

    Args:
        tensors: By key. Tensors on the meta device do: no value is needed to decode.
        metadata: The file's metadata.
        name: What the network is called: its file name without extension.
        content_id: As `files.tensors.Content.content_id`.

    Returns:
        The network; it may be empty. Each key is in exactly one of its three groups.
    """
    outline = outline_network({key: tuple(tensor.shape) for key, tensor in tensors.items()}, metadata)
    content = Content(dict(tensors), dict(metadata), content_id, ())
    return _network(outline, content, name, _decode_layers(outline, tensors, is_finite=False))


def decode_pending(outline: Outline, pending: PendingContent, name: str) -> Network:
    """As `decode_network`, for a file on its way into memory, which was outlined already.

    Raises:
        FileError: As `PendingContent.content`.
    """
    layers = None if pending.views is None else _decode_layers(outline, pending.views, is_finite=True)
    content = pending.content()
    # which values are bad is asked only if one is
    if layers is None or not all_finite(content.stretches):
        layers = _decode_layers(outline, content.tensors, is_finite=False)
    return _network(outline, content, name, layers)


def _network(outline: Outline, content: Content, name: str, layers: _Layers) -> Network:
    embeddings = {
        embedding: {tensor_name: content.tensors[key] for tensor_name, key in keys.items()}
        for embedding, keys in outline.groups.embeddings.items()
    }
    return Network(
        name=name,
        content_id=content.content_id,
        family=outline.detection.family,
        adapters=layers.adapters,
        embeddings=embeddings,
        unknown=layers.unknown,
        metadata=content.metadata,
    )


def _decode_layers(outline: Outline, tensors: Mapping[str, Tensor], *, is_finite: bool) -> _Layers:
    """Decodes every layer; if `is_finite`, no value is looked at."""
    names = _DIFFUSERS_NAMES_SD3 if outline.detection.family == "sd3" else _DIFFUSERS_NAMES
    hints = {
        component: Hints.from_metadata(outline.metadata, prefix) for component, prefix in names.items()
    }
    adapters: dict[LayerName, Adapter] = {}
    unknown = list(outline.groups.unknown)
    for layer, keys in outline.groups.layers.items():
        parts = {part: tensors[key] for part, key in keys.items()}
        adapter, faults = None, {} if is_finite else _not_finite(parts)
        if not faults:
            adapter, faults = _decode_layer(parts, hints[layer.component].at(layer.path))
        if adapter is not None:
            adapters[layer] = adapter
        unknown += [UnknownKey(keys[part], reason) for part, reason in faults.items()]
    return _Layers(adapters, tuple(unknown))


def _not_finite(parts: Mapping[str, Tensor]) -> dict[str, str]:
    """All parts with the reason, if a value of one is NaN or infinite; else nothing."""
    for part, tensor in parts.items():
        bad = num_not_finite(tensor)
        if bad:
            reason = f"{bad} of {tensor.numel()} values of the layer's {part} are NaN or infinite"
            return dict.fromkeys(parts, reason)
    return {}


def _decode_layer(parts: Mapping[str, Tensor], hints: Hints) -> tuple[Adapter | None, Mapping[str, str]]:
    """The layer's adapter and the parts left over with their reasons; no adapter, all left over."""
    try:
        decoded = decode(parts, hints)
    except AdapterError as error:
        return None, dict.fromkeys(parts, _sentence(error))
    return decoded.adapter, decoded.leftover


def _sentence(error: AdapterError) -> str:
    """An error in one line: what, and what was found instead of what."""
    sentence = error.what.rstrip(".")
    if error.got:
        sentence += f": {error.got}"
    if error.expected:
        sentence += f" (expected {error.expected})"
    return sentence
