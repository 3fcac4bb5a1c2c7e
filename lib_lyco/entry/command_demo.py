"""`lyco demo`: the sample run, shown as one bar, one table and one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from lib_lyco.demo.export import export
from lib_lyco.demo.page import MEGABYTE, Result
from lib_lyco.demo.recipe import DEFAULT_ALGOS, Length
from lib_lyco.demo.run import Advanced, Demo, run_demo
from lib_lyco.entry.terminal import fraction_bar, say, table
from lib_lyco.train.options.network import ALGOS

TITLES = ("algo", "file KB", "training s", "all s", "peak MB", "final loss", "distance before", "after")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the demo's arguments."""
    parser.add_argument(
        "--algo",
        action="append",
        choices=ALGOS,
        help=f"algorithm to try; may be given several times; default: {', '.join(DEFAULT_ALGOS)}",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("demo-output"),
        help="where the results go; default: demo-output",
    )
    parser.add_argument("--epochs", type=int, default=Length.epochs, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="decides the training; default: 0")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FOLDER",
        help="write the embedded model as a checkpoint that a WebUI loads, and do nothing else",
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs the demo, or exports its model."""
    if arguments.export:
        for path in export(arguments.export):
            say(str(path))
        return
    demo = Demo(
        folder=arguments.folder,
        algos=tuple(dict.fromkeys(arguments.algo or DEFAULT_ALGOS)),
        length=Length(epochs=arguments.epochs),
        seed=arguments.seed,
    )
    results, page = _watched(demo)
    say()
    say(table(TITLES, [_row(result) for result in results]))
    say()
    say(f"Pictures, curves and every setting: {page}")


def _watched(demo: Demo) -> tuple[list[Result], Path]:
    results: list[Result] = []
    page = demo.folder
    with fraction_bar() as bar:
        for event in run_demo(demo):
            if isinstance(event, Advanced):
                bar.set_description_str(event.what, refresh=False)
                bar.update(event.fraction - bar.n)
            elif isinstance(event, Result):
                results.append(event)
            else:
                page = event.path
    return results, page


def _row(result: Result) -> list[str]:
    outcome = result.outcome
    return [
        outcome.algo,
        f"{outcome.file_bytes / 1024:.0f}",
        f"{outcome.train_seconds:.1f}",
        f"{outcome.seconds:.1f}",
        f"{result.peak_bytes / MEGABYTE:.0f}",
        f"{outcome.final_loss:.4f}",
        f"{outcome.distance_before:.3f}",
        f"{outcome.distance_after:.3f}",
    ]
