"""Which base model a network file was made for: what its shapes say first, its metadata second.

Four clues narrow the families down, the strongest first: in which family most layers have exactly
the shape that the file's tensors imply; which family knows most of its layers by name; what the
metadata claims; which tool writes such prefixes for which family. A clue that contradicts a
stronger one is overruled, and the evidence says so where it is the metadata: that is copied,
edited and guessed at (A1111 takes whatever it does not know for SD1), shapes are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lib_lyco.naming.claim import REFINER, Claim, read_claim
from lib_lyco.naming.dims import layer_dims
from lib_lyco.naming.foreign import EMBEDDING, foreign_by_names, is_embedding
from lib_lyco.naming.layer import Family
from lib_lyco.naming.resolve import flatten
from lib_lyco.naming.signature import FAMILIES, HABITS, Kinds, count_kinds

TITLES: dict[Family, str] = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "Stable Diffusion XL",
    "sd3": "Stable Diffusion 3",
}

_REFINER_CONTEXT = 1280


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


def detect_beside(
    shapes: Mapping[str, tuple[int, ...]], claim: Claim | None, kinds: Kinds | None = None
) -> Detection:
    """As `detect_family`, with the metadata's claim; `kinds`: the layers, if they are counted already."""
    if is_embedding(shapes):
        return Detection(None, None, EMBEDDING)
    return _detect(kinds or count_kinds(shapes), claim)


def _detect(kinds: Kinds, claim: Claim | None) -> Detection:
    # what one of our families knows gives no other model away (tested)
    foreign = foreign_by_names(flatten(stem) for stem, role in kinds.roles.items() if not role.shapes)
    if foreign is not None:
        name, stem = foreign
        return _foreign(name, f"It has the layer {stem}.", claim)
    if _is_refiners(kinds):
        return _foreign(REFINER, f"Its cross-attention reads text of width {_REFINER_CONTEXT}.", claim)
    by_shapes, by_names = _by_shapes(kinds), _by_names(kinds)
    if by_names is None:
        return _by_metadata(claim, num_stems=len(kinds.roles))
    if by_shapes is None and claim is not None and claim.other is not None:
        return Detection(None, claim.other, f"Its metadata says {claim.entry}; no shape speaks against it.")
    clues = (by_shapes, by_names, _by_claim(claim), _by_habit(kinds))
    return _narrow([clue for clue in clues if clue is not None], claim)


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


def _by_shapes(kinds: Kinds) -> _Clue | None:
    """The families in which most layers fit; None unless more than half of them do."""
    num_fitting: dict[Family, int] = dict.fromkeys(FAMILIES, 0)
    num_sized = 0
    for (role, signature), count in kinds.counts.items():
        dims = layer_dims(dict(signature))
        num_sized += count * bool(dims.out or dims.into)
        for family, shape in role.shapes.items():
            if dims.fits(shape):
                num_fitting[family] += count
    if 2 * max(num_fitting.values()) <= num_sized:
        return None
    return _most(num_fitting, f"of {num_sized} layers have the shapes of")


def _by_names(kinds: Kinds) -> _Clue | None:
    """The families that know most of the layers; None if none knows any."""
    known: dict[Family, int] = dict.fromkeys(FAMILIES, 0)
    for (role, _), count in kinds.counts.items():
        for family in role.shapes:
            known[family] += count
    return _most(known, f"of {len(kinds.roles)} layers have names of") if any(known.values()) else None


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


def _by_habit(kinds: Kinds) -> _Clue | None:
    places = {role.habit for role, _ in kinds.counts if role.habit is not None}
    if not places:
        return None
    prefix, families = HABITS[min(places)]
    titles = " or ".join(TITLES[family] for family in FAMILIES if family in families)
    return _Clue(families, f"Names with {prefix} are usual for {titles}.")


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


def _is_refiners(kinds: Kinds) -> bool:
    reading = (signature for role, signature in kinds.counts if role.reads_text)
    return {layer_dims(dict(signature)).into for signature in reading} == {_REFINER_CONTEXT}


def _foreign(name: str, sentence: str, claim: Claim | None) -> Detection:
    contradicted = claim is not None and claim.other != name
    return Detection(None, name, f"{sentence} {_overruled(claim)}" if claim and contradicted else sentence)


def _overruled(claim: Claim) -> str:
    return f"Its metadata says {claim.entry}, which that contradicts."
