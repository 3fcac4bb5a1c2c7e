"""The networks that the tags of a prompt ask for, on one model, from step to step of a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lib_lyco.apply.blocks import LayerFactors
from lib_lyco.apply.outcome import Outcome
from lib_lyco.apply.wanted import Mode, Report, Wanted
from lib_lyco.errors import LycoError, ModelError, NetworkNotFoundError
from lib_lyco.naming.detect import TITLES
from lib_lyco.naming.layer import Family
from lib_lyco.network.network import Network
from lib_lyco.prompt.block_weights import BlockWeights
from lib_lyco.prompt.request import NetworkRequest
from lib_lyco.prompt.schedule import Schedule


class Applier(Protocol):
    """Who puts networks on a model: `session.Session`, or whatever a host has in its place."""

    def apply(self, wanted: Sequence[Wanted], mode: Mode = "merge") -> Report:
        """See `Session.apply`."""
        ...

    def vary(self, wanted: Sequence[Wanted]) -> None:
        """See `Session.vary`."""
        ...

    def restore(self) -> Report:
        """See `Session.restore`."""
        ...


@dataclass(frozen=True, eq=False)
class _Asked:
    """One request with its network, in one pass."""

    network: Network
    te: float
    unet: Schedule
    rank: int | None
    factors: LayerFactors | None

    def wanted(self, unet: float) -> Wanted:
        return Wanted(
            self.network, self.te, unet, self.rank, self.factors, varies=not self.unet.is_constant
        )


class PromptNetworks:
    """Requests made to act on a model, and taken off again. Not thread-safe, as its session.

    Text encoders run once before a pass, so they have the strengths of step 0 throughout.
    """

    def __init__(self, session: Applier, family: Family | None, load: Callable[[str], Network]) -> None:
        """
        Args:
            session: Of the model.
            family: The model's, if it is one of ours; block weights need it.
            load: The network of a name in a tag; raises LycoError where there is none.
        """
        self._session = session
        self._family: Family | None = family
        self._load = load
        self._asked: tuple[_Asked, ...] = ()
        self._strengths: tuple[float, ...] = ()

    def begin(
        self,
        requests: Sequence[NetworkRequest],
        *,
        hires: bool = False,
        num_steps: int = 1,
        mode: Mode = "merge",
        errors: Sequence[LycoError] = (),
    ) -> Outcome:
        """Makes these the networks on the model, at the strengths of the first step.

        One bad request disables no other: its error is in the outcome.

        Args:
            requests: What the tags ask for; none takes everything off.
            hires: Whether this is the second pass of Hires fix.
            num_steps: Of the pass.
            mode: See `Session.apply`; networks that vary by step are bypassed in any mode.
            errors: Of tags that could not be read, to be told with the others.
        """
        requested: list[tuple[NetworkRequest, Network]] = []
        asked: list[_Asked] = []
        failed = list(errors)
        for request in requests:
            try:
                one = self._understand(request, hires)
            except LycoError as error:
                failed.append(_of_tag(error, request.tag))
            else:
                asked.append(one)
                requested.append((request, one.network))
        self._asked = ()
        strengths = tuple(one.unet.at(0, num_steps) for one in asked)
        wanted = [one.wanted(unet) for one, unet in zip(asked, strengths, strict=True)]
        report = self._session.apply(wanted, mode)
        self._asked, self._strengths = tuple(asked), strengths
        return Outcome(report, tuple(failed), tuple(requested), self._family)

    def step(self, step: int, num_steps: int) -> None:
        """Brings the denoiser's strengths to those of a step; returns at once if they are the same.

        Args:
            step: Counted as by the WebUI, see `prompt.schedule.counted`.
            num_steps: Of the pass.
        """
        if all(one.unet.is_constant for one in self._asked):
            return
        strengths = tuple(one.unet.at(step, num_steps) for one in self._asked)
        if strengths == self._strengths:
            return
        self._session.vary([one.wanted(unet) for one, unet in zip(self._asked, strengths, strict=True)])
        self._strengths = strengths

    def restore(self) -> None:
        """Takes everything off; steps do nothing until the next `begin`."""
        self._asked = ()
        self._session.restore()

    def _understand(self, request: NetworkRequest, hires: bool) -> _Asked:
        te, unet = request.strengths(hires)
        factors = None if request.blocks is None else self._factors(request.blocks)
        return _Asked(self._load(request.name), te.first, unet, request.rank, factors)

    def _factors(self, blocks: BlockWeights) -> LayerFactors:
        if self._family is None:
            raise ModelError(
                "Block weights need a base model whose blocks are known",
                expected=", ".join(TITLES.values()),
                remedy="Take the block weights out of the tag, or load such a model.",
            )
        return LayerFactors(blocks, self._family)


def _of_tag(error: LycoError, tag: str) -> LycoError:
    """The same error, told where the user can mend it: in the tag."""
    is_lost = isinstance(error, NetworkNotFoundError)
    where = tag if is_lost or not error.where else f"{tag}, {error.where}"
    return type(error)(error.what, where=where, got=error.got, expected=error.expected, remedy=error.remedy)
