"""`lyco xray`: how strongly networks act on each block, and where they fight."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from lib_lyco.entry.terminal import say
from lib_lyco.errors import NetworkFormatError
from lib_lyco.models.checkpoint import Checkpoint, open_checkpoint
from lib_lyco.naming.layer import Component, Family, LayerName
from lib_lyco.network.load import load_network
from lib_lyco.tools.xray import BlockStrength, Subject, WeightOf, Xray, xray
from lib_lyco.tools.xray_drawing import draw_xray


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the networks, their base model and how it is told."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="network files, used together")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="the base model, to set strengths in relation",
    )
    parser.add_argument("--json", action="store_true", help="tell as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw it into this file")


def run(arguments: argparse.Namespace) -> None:
    """Looks through the networks and tells what it saw."""
    subjects = [Subject(load_network(path)) for path in arguments.files]
    checkpoint = open_checkpoint(arguments.model) if arguments.model else None
    family = checkpoint.plan.family if checkpoint else _common_family(subjects, arguments.files)
    found = xray(subjects, family, _weights(checkpoint) if checkpoint else None)
    if arguments.svg:
        arguments.svg.write_text(draw_xray(found), encoding="utf-8")
    say(found.to_json() if arguments.json else "\n".join(_lines(found)))


def _common_family(subjects: list[Subject], files: list[Path]) -> Family:
    family = subjects[0].network.family
    if family is None or any(subject.network.family != family for subject in subjects):
        raise NetworkFormatError(
            "The networks are not all known to be for one base model",
            got=", ".join(f"{s.network.name}: {s.network.family or 'unknown'}" for s in subjects),
            remedy=f"Name the base model: lyco xray {files[0].name} ... --model FILE",
        )
    return family


def _weights(checkpoint: Checkpoint) -> WeightOf:
    """The base model's weights, one component in memory at a time; half precision is enough for norms."""
    kept: dict[Component, dict[str, Tensor]] = {}

    def weight_of(layer: LayerName) -> Tensor | None:
        if layer.component not in checkpoint.sources:
            return None
        if layer.component not in kept:
            kept.clear()
            kept[layer.component] = checkpoint.weights(layer.component, torch.float16)
        return kept[layer.component].get(f"{layer.path}.weight")

    return weight_of


def _lines(found: Xray) -> Iterator[str]:
    for network in found.networks:
        yield f"{network.name}: {_row(network.blocks)}"
        if network.unmeasured:
            yield f"  {network.unmeasured} layers depend on the weight itself: name the --model to see them"
        yield from (f"  {one.what}: {one.reason}" for one in network.homeless)
    if len(found.networks) > 1:
        yield f"together: {_row(found.together)}"
    yield from found.findings or ("Nothing remarkable was found.",)


def _row(strengths: tuple[BlockStrength, ...]) -> str:
    return "  ".join(
        f"{one.block} {one.norm:.3g}" if one.relative is None else f"{one.block} {one.relative:.1%}"
        for one in strengths
        if one.norm
    )
