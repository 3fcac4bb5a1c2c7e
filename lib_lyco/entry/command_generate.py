"""`lyco generate`: pictures from a prompt with network tags."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from lib_lyco.apply.session import Session
from lib_lyco.demo import embedded
from lib_lyco.entry.device import add_device_flag, pick_device
from lib_lyco.entry.standalone import networks_of
from lib_lyco.entry.terminal import complain, progress_bar, say
from lib_lyco.models.generate import GenerateRequest, generate
from lib_lyco.models.load import load_model
from lib_lyco.models.png import parameters_text, save_png
from lib_lyco.models.sampling import SAMPLERS
from lib_lyco.naming.layer import Family
from lib_lyco.network.cache import NetworkCache
from lib_lyco.prompt.schedule import counted
from lib_lyco.prompt.tags import parse_prompt
from lib_lyco.train.precision import DTYPES

CACHE_BYTES = 4 << 30
SIDES: dict[Family, int] = {"sd1": 512, "sd2": 768, "sdxl": 1024, "sd3": 1024}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the request's arguments."""
    add = parser.add_argument
    add("--prompt", required=True, help='may hold tags: "a cat <lora:name:0.8>"')
    add("--negative", default="", help="what the picture should not show")
    add(
        "--model",
        type=Path,
        help="checkpoint file of the base model; default: the small one that comes along",
    )
    add(
        "--networks",
        type=Path,
        action="append",
        default=[],
        help="folder of network files; may be repeated",
    )
    add("--sampler", default="Euler a", choices=SAMPLERS, help="default: %(default)s")
    add("--steps", type=int, default=20, help="default: %(default)s")
    add("--cfg", type=float, help="guidance; default: 7, or 3 for the small model")
    add("--clip-skip", type=int, default=1, help="default: %(default)s")
    add("--seed", type=int, default=0, help="of the first picture; the next has the next. Default: 0")
    add("--size", type=parse_size, metavar="WIDTHxHEIGHT", help="default: what the base model was made for")
    add("--batch", type=int, default=1, help="how many pictures; default: 1")
    add("--precision", default="fp32", choices=DTYPES, help="compute dtype; default: %(default)s")
    add("--out", type=Path, default=Path("pictures"), help="folder; default: %(default)s")
    add_device_flag(parser)


def parse_size(text: str) -> tuple[int, int]:
    """`512x768`, or one number for a square."""
    sides = [int(side) for side in text.lower().split("x")]
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError("one number, or WIDTHxHEIGHT")
    return sides[0], sides[-1]


def run(arguments: argparse.Namespace) -> None:
    """Draws, and tells where the pictures are and what became of each tag."""
    parsed = parse_prompt(arguments.prompt)
    device = pick_device(arguments.device)
    model = load_model(arguments.model or embedded.checkpoint(), device, DTYPES[arguments.precision])
    small = arguments.model is None
    side = embedded.SIZE if small else SIDES[model.family]
    cfg = arguments.cfg if arguments.cfg is not None else embedded.GUIDANCE if small else 7.0
    request = GenerateRequest(
        prompts=[parsed.text] * arguments.batch,
        seeds=range(arguments.seed, arguments.seed + arguments.batch),
        negative=arguments.negative,
        steps=arguments.steps,
        guidance=cfg,
        sampler=arguments.sampler,
        size=arguments.size or (side, side),
        clip_skip=arguments.clip_skip,
    )
    with Session(model.targets()) as session:
        networks = networks_of(model, session, arguments.networks, NetworkCache(CACHE_BYTES))
        outcome = networks.begin(parsed.requests, num_steps=request.steps, errors=parsed.problems)
        problems = outcome.problems()
        for line in outcome.lines():
            (complain if line in problems else say)(line)
        with progress_bar(arguments.batch, "draw", "picture") as bar:
            images: list[Tensor] = []
            for part in parts(request):
                images += generate(model, part, lambda step, total: networks.step(counted(step), total))
                bar.update(len(part.seeds))
    shown = replace(request, prompts=[arguments.prompt] * arguments.batch)
    for index, path in enumerate(free_paths(arguments.out, request.seeds)):
        save_png(path, images[index], parameters_text(shown, index, model.name))
        say(str(path))


def parts(request: GenerateRequest) -> Iterator[GenerateRequest]:
    """The request in pieces of one batch, so that a bar can move."""
    for start in range(0, len(request.seeds), request.batch):
        piece = slice(start, start + request.batch)
        yield replace(request, prompts=request.prompts[piece], seeds=request.seeds[piece])


def free_paths(folder: Path, seeds: Sequence[int]) -> list[Path]:
    """A new file name for each picture: running number and seed, as in the WebUI."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(path.stem.split("-")[0]) for path in folder.glob("[0-9]*-*.png")]
    first = max(taken, default=-1) + 1
    return [folder / f"{first + index:05}-{seed}.png" for index, seed in enumerate(seeds)]
