"""Which base model a network file was made for: what its shapes say first, its metadata second.

Four clues narrow the families down, the strongest first: in which family most layers have exactly
the shape that the file's tensors imply; which family knows most of its layers by name; what the
metadata claims; which tool writes such prefixes for which family. A clue that contradicts a
stronger one is overruled, and the evidence says so where it is the metadata: that is copied,
edited and guessed at (A1111 takes whatever it does not know for SD1), shapes are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lib_lyco.naming.claim import REFINER, Claim, read_claim
from lib_lyco.naming.dims import layer_dims
from lib_lyco.naming.foreign import EMBEDDING, foreign_by_names, is_embedding
from lib_lyco.naming.key import split_key
from lib_lyco.naming.layer import Family, LayerName
from lib_lyco.naming.resolve import flatten, resolve
from lib_lyco.naming.table import layer_table

FAMILIES: tuple[Family, ...] = ("sd1", "sd2", "sdxl", "sd3")
"""Likeliest first, where nothing tells them apart."""

TITLES: dict[Family, str] = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "Stable Diffusion XL",
    "sd3": "Stable Diffusion 3",
}

_REFINER_CONTEXT = 1280
_HABITS: tuple[tuple[str, frozenset[Family]], ...] = (
    # kohya's prefixes; sgm names in a UNet are kohya's for SDXL only
    ("lora_te_", frozenset({"sd1", "sd2"})),
    ("lora_te1_", frozenset({"sdxl", "sd3"})),
    ("lora_unet_input_blocks_", frozenset({"sdxl"})),
    ("lora_unet_middle_block_", frozenset({"sdxl"})),
    ("lora_unet_output_blocks_", frozenset({"sdxl"})),
)

_Stems = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Stem -> canonical part -> shape."""
_Layers = Mapping[str, Mapping[Family, LayerName]]
"""Stem -> the families that know it, and as what."""


@dataclass(frozen=True)
class Detection:
    """What a file was made for, and how we know."""

    family: Family | None
    """None if it was made for a base model that is none of ours, or nothing tells."""
    other: str | None
    """The name of that other base model, for "made for Flux"; None if unknown or one of ours."""
    evidence: str
    """One or more sentences for people."""
    alike: tuple[Family, ...] = ()
    """Families that nothing tells from `family`."""


@dataclass(frozen=True)
class _Clue:
    allowed: frozenset[Family]
    sentence: str


def detect_family(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> Detection:
    """Reads a file's header: key -> shape, and its metadata.

    Raises nothing: a file that nobody can place has `family` None, and the evidence says why.
    """
    return detect_beside(shapes, read_claim(metadata))


def detect_beside(shapes: Mapping[str, tuple[int, ...]], claim: Claim | None) -> Detection:
    """As `detect_family`, with the metadata's claim."""
    if is_embedding(shapes):
        return Detection(None, None, EMBEDDING)
    stems = _parts_by_stem(shapes)
    layers = _layers_by_stem(stems)
    # what one of our families knows gives no other model away (tested)
    foreign = foreign_by_names(flatten(stem) for stem in stems if not layers[stem])
    if foreign is not None:
        name, stem = foreign
        return _foreign(name, f"It has the layer {stem}.", claim)
    if _is_refiners(stems):
        return _foreign(REFINER, f"Its cross-attention reads text of width {_REFINER_CONTEXT}.", claim)
    by_shapes, by_names = _by_shapes(stems, layers), _by_names(layers)
    if by_names is None:
        return _by_metadata(claim, num_stems=len(stems))
    if by_shapes is None and claim is not None and claim.other is not None:
        return Detection(None, claim.other, f"Its metadata says {claim.entry}; no shape speaks against it.")
    clues = (by_shapes, by_names, _by_claim(claim), _by_habit(stems))
    return _narrow([clue for clue in clues if clue is not None], claim)


def _parts_by_stem(shapes: Mapping[str, tuple[int, ...]]) -> _Stems:
    stems: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for key, shape in shapes.items():
        split = split_key(key)
        if split is not None:
            stems[split.stem][split.part] = tuple(shape)
    return stems


def _narrow(clues: list[_Clue], claim: Claim | None) -> Detection:
    allowed = frozenset(FAMILIES)
    sentences: list[str] = []
    for clue in clues:
        if allowed & clue.allowed and not allowed <= clue.allowed:
            allowed &= clue.allowed
            sentences.append(clue.sentence)
    left: list[Family] = [family for family in FAMILIES if family in allowed]
    family, others = left[0], left[1:]
    if others:
        sentences.append(f"Nothing tells it from {' or '.join(TITLES[other] for other in others)}.")
    if claim is not None and claim.family != family:
        sentences.append(_overruled(claim))
    return Detection(family, None, " ".join(sentences), tuple(others))


def _layers_by_stem(stems: Iterable[str]) -> _Layers:
    layers: dict[str, dict[Family, LayerName]] = {}
    for stem in stems:
        found = layers[stem] = {}
        for family in FAMILIES:
            layer = resolve(stem, family)
            if layer is not None:
                found[family] = layer
    return layers


def _by_shapes(stems: _Stems, layers: _Layers) -> _Clue | None:
    """The families in which most layers fit; None unless more than half of them do."""
    tables = {family: layer_table(family) for family in FAMILIES}
    num_fitting: dict[Family, int] = dict.fromkeys(FAMILIES, 0)
    num_sized = 0
    for stem, parts in stems.items():
        dims = layer_dims(parts)
        num_sized += bool(dims.out or dims.into)
        for family, layer in layers[stem].items():
            if dims.fits(tables[family].shape(layer)):
                num_fitting[family] += 1
    if 2 * max(num_fitting.values()) <= num_sized:
        return None
    return _most(num_fitting, f"of {num_sized} layers have the shapes of")


def _by_names(layers: _Layers) -> _Clue | None:
    """The families that know most of the layers; None if none knows any."""
    known: dict[Family, int] = {
        family: sum(family in found for found in layers.values()) for family in FAMILIES
    }
    return _most(known, f"of {len(layers)} layers have names of") if any(known.values()) else None


def _most(votes: Mapping[Family, int], verdict: str) -> _Clue:
    most = max(votes.values())
    winners: list[Family] = [family for family in FAMILIES if votes[family] == most]
    titles = " or ".join(TITLES[family] for family in winners)
    losers = ", ".join(f"{TITLES[family]}: {n}" for family, n in votes.items() if 0 < n < most)
    return _Clue(frozenset(winners), f"{most} {verdict} {titles}" + (f" ({losers})." if losers else "."))


def _by_claim(claim: Claim | None) -> _Clue | None:
    if claim is None or claim.family is None:
        return None
    return _Clue(frozenset({claim.family}), f"Its metadata says {claim.entry}.")


def _by_habit(stems: _Stems) -> _Clue | None:
    for prefix, families in _HABITS:
        if any(stem.startswith(prefix) for stem in stems):
            titles = " or ".join(TITLES[family] for family in FAMILIES if family in families)
            return _Clue(families, f"Names with {prefix} are usual for {titles}.")
    return None


def _by_metadata(claim: Claim | None, num_stems: int) -> Detection:
    """For a file of which no family knows a single layer."""
    reason = (
        f"None of its {num_stems} layers has a name that we know." if num_stems else "It has no layers."
    )
    if claim is None:
        return Detection(None, None, reason)
    # without a single layer, embeddings perhaps, the metadata is all there is; layers that no
    # family knows speak against every family
    family = None if num_stems else claim.family
    return Detection(family, claim.other, f"{reason} Its metadata says {claim.entry}.")


def _is_refiners(stems: _Stems) -> bool:
    widths = {
        layer_dims(parts).into
        for stem, parts in stems.items()
        if flatten(stem).endswith(("attn2_to_k", "attn2_to_v"))
    }
    return widths == {_REFINER_CONTEXT}


def _foreign(name: str, sentence: str, claim: Claim | None) -> Detection:
    contradicted = claim is not None and claim.other != name
    return Detection(None, name, f"{sentence} {_overruled(claim)}" if claim and contradicted else sentence)


def _overruled(claim: Claim) -> str:
    return f"Its metadata says {claim.entry}, which that contradicts."
