"""What is wrong with a run, or should be known of it, by option."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from lib_lyco.errors import ConfigError, LycoError, one_line
from lib_lyco.train.forecast.content import Remark
from lib_lyco.train.layer_choice import is_spatial
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.notes import Note
from lib_lyco.train.options.network import USED_BY
from lib_lyco.train.plan import Plan
from lib_lyco.train.untagged import OPTION as UNTAGGED
from lib_lyco.train.untagged import demand_captions

_T = TypeVar("_T")


class Remarks:
    """Gathers errors and warnings while the parts of a run are tried one by one."""

    def __init__(self) -> None:
        self.found: list[Remark] = []

    def tried(self, option: str, make: Callable[[], _T]) -> _T | None:
        """What `make` makes; None if it cannot, and the error is a remark.

        Args:
            option: What the error is about, where it does not say so itself.
            make: One part of a run.
        """
        try:
            return make()
        except LycoError as error:
            named = error.where if isinstance(error, ConfigError) else ""
            remark = Remark("error", named or option, one_line(error, where=not named))
            if remark not in self.found:
                self.found.append(remark)
            return None

    def of_plan(self, plan: Plan, allow_untagged: bool) -> None:
        """Adds what is to be said of images: captions that lack are an error unless they are allowed to."""
        if not allow_untagged:
            self.tried(UNTAGGED, lambda: demand_captions(plan))
        self.warn("images", (*plan.notes, *length_notes(plan)))

    def warn(self, option: str, notes: Iterable[str]) -> None:
        """Adds warnings; a note that knows its option keeps it."""
        for note in notes:
            about = note.option if isinstance(note, Note) else option
            self.found.append(Remark("warning", about, str(note)))


def length_notes(plan: Plan) -> list[Note]:
    """A last epoch that is cut."""
    end, total = plan.epoch_ends[-1], plan.total_steps
    if total >= end:
        return []
    return [
        Note("max_steps", f"The last epoch, {plan.epochs}, is cut: the run ends {end - total} steps early.")
    ]


def alpha_notes(network: TrainableNetwork) -> list[Note]:
    """Layers whose alpha is above their rank, which makes their change, and with it what they learn in a
    step, larger than the learning rate says."""
    found: dict[str, Counter[tuple[float, int]]] = {}
    for layer in network:
        settings = layer.settings
        if settings.algo in USED_BY["alpha"] and settings.alpha > settings.rank:
            option = "conv_alpha" if is_spatial(layer.target.module) else "alpha"
            found.setdefault(option, Counter())[settings.alpha, settings.rank] += 1
    return [
        Note(
            option,
            f"{sum(sizes.values())} layers have an alpha above their rank ({alpha:g} over {rank}): their "
            f"change is multiplied by {alpha / rank:g}. Usual is an alpha of the rank or half of it.",
        )
        for option, sizes in found.items()
        for (alpha, rank) in [max(sizes, key=lambda pair: pair[0] / pair[1])]
    ]
