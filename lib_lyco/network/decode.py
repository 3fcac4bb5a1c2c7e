"""Tensors by key become a network: keys by layer, layers by algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.algos.hints import Hints
from lib_lyco.algos.registry import decode
from lib_lyco.errors import AdapterError
from lib_lyco.naming.detect import detect_family
from lib_lyco.naming.layer import Component, LayerName
from lib_lyco.network.check import num_not_finite
from lib_lyco.network.group import group_keys
from lib_lyco.network.network import Network, UnknownKey

_DIFFUSERS_NAMES: Mapping[Component, str] = MappingProxyType(
    {"unet": "unet", "te1": "text_encoder", "te2": "text_encoder_2", "te3": "text_encoder_3"}
)
"""The components as diffusers' adapter metadata calls them."""

_DIFFUSERS_NAMES_SD3: Mapping[Component, str] = MappingProxyType(
    {**_DIFFUSERS_NAMES, "unet": "transformer"}
)


def decode_network(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], name: str, content_id: str
) -> Network:
    """Understands a file's tensors. One layer's fault never costs another its adapter.

    Args:
        tensors: By key. Tensors on the meta device do: whatever needs no values is then decoded.
        metadata: The file's metadata.
        name: What the network is called: its file name without extension.
        content_id: As `files.hashes.content_id`.

    Returns:
        The network; it may be empty. Each key is in exactly one of its three groups.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    detection = detect_family(shapes, metadata)
    groups = group_keys(tensors, detection)
    names = _DIFFUSERS_NAMES_SD3 if detection.family == "sd3" else _DIFFUSERS_NAMES
    hints = {component: Hints.from_metadata(metadata, prefix) for component, prefix in names.items()}
    adapters: dict[LayerName, Adapter] = {}
    unknown = groups.unknown
    for layer, keys in groups.layers.items():
        parts = {part: tensors[key] for part, key in keys.items()}
        adapter, faults = _decode_layer(parts, hints[layer.component].at(layer.path))
        if adapter is not None:
            adapters[layer] = adapter
        unknown += [UnknownKey(keys[part], reason) for part, reason in faults.items()]
    embeddings = {
        embedding: {tensor_name: tensors[key] for tensor_name, key in keys.items()}
        for embedding, keys in groups.embeddings.items()
    }
    return Network(
        name=name,
        content_id=content_id,
        family=detection.family,
        adapters=adapters,
        embeddings=embeddings,
        unknown=tuple(unknown),
        metadata=dict(metadata),
    )


def _decode_layer(parts: Mapping[str, Tensor], hints: Hints) -> tuple[Adapter | None, Mapping[str, str]]:
    """The layer's adapter and the parts left over with their reasons; no adapter, all left over."""
    for part, tensor in parts.items():
        bad = num_not_finite(tensor)
        if bad:
            reason = f"{bad} of {tensor.numel()} values of the layer's {part} are NaN or infinite"
            return None, dict.fromkeys(parts, reason)
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
