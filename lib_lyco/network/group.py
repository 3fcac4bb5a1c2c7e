"""The keys of a file, sorted by what they are about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lib_lyco.naming.detect import TITLES, Detection
from lib_lyco.naming.key import PARTS, split_embedding_key, split_key, why_unknown
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.resolve import resolve
from lib_lyco.network.network import UnknownKey
from lib_lyco.prompt.problems import did_you_mean


@dataclass
class Groups:
    """Each key of a file in exactly one place."""

    layers: dict[LayerName, dict[str, str]] = field(default_factory=dict[LayerName, dict[str, str]])
    """Layer -> canonical part -> key, in the file's order."""
    embeddings: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Embedding -> tensor name -> key."""
    unknown: list[UnknownKey] = field(default_factory=list[UnknownKey])


def group_keys(keys: Iterable[str], detection: Detection) -> Groups:
    """Sorts keys by layer of the detected base-model family."""
    groups = Groups()
    layers: dict[str, LayerName | None] = {}
    for key in keys:
        embedding = split_embedding_key(key)
        if embedding is not None:
            _put(groups, groups.embeddings.setdefault(embedding.name, {}), embedding.tensor, key)
            continue
        split = split_key(key)
        if split is None:
            groups.unknown.append(UnknownKey(key, _why_no_part(key, detection) or why_unknown(key)))
            continue
        if split.stem not in layers:
            layers[split.stem] = resolve(split.stem, detection.family) if detection.family else None
        layer = layers[split.stem]
        if layer is None:
            reason = _why_no_part(key, detection) or _why_no_layer(detection)
            groups.unknown.append(UnknownKey(key, reason))
        else:
            _put(groups, groups.layers.setdefault(layer, {}), split.part, key)
    return groups


def _put(groups: Groups, group: dict[str, str], part: str, key: str) -> None:
    """Adds a key, unless another spelling of the same tensor was there first."""
    if part in group:
        groups.unknown.append(UnknownKey(key, f"the file has this tensor already, as {group[part]}"))
    else:
        group[part] = key


def _why_no_part(key: str, detection: Detection) -> str | None:
    """The reason for a key whose beginning names a layer, and whose end no part; None for another key."""
    families: tuple[Family, ...] = (detection.family,) if detection.family else tuple(TITLES)
    at = key.rfind(".")
    while at > 0:
        if any(resolve(key[:at], family) for family in families):
            part = key[at + 1 :]
            hint = did_you_mean(part, PARTS)
            return f"no algorithm that we know has a part {part!r}" + (f" ({hint})" if hint else "")
        at = key.rfind(".", 0, at)
    return None


def _why_no_layer(detection: Detection) -> str:
    if detection.family is not None:
        return f"{TITLES[detection.family]} has no layer of this name"
    if detection.other is not None:
        return f"it was made for {detection.other}"
    return "it names a layer of no known base model"
