"""From a picture's tags to networks on the host's model, pass by pass and step by step.

A pass is what one activation asked for. It holds until the next one, also when the host swaps the
model underneath: a refiner comes in the middle of sampling, without a word to extensions, and its text
is encoded at once. So whoever is about to encode text or to compute a step calls `follow` first.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from modules import devices, sd_models
from modules import errors as host_errors
from modules.extra_networks import ExtraNetworkParams
from modules.processing import StableDiffusionProcessing, StableDiffusionProcessingTxt2Img

from lib_lyco.apply.outcome import Outcome
from lib_lyco.errors import LycoError, PromptError, one_line
from lib_lyco.host.applied import AppliedState
from lib_lyco.host.forge import limits
from lib_lyco.host.options import Options
from lib_lyco.host.sessions import Load, Sessions, WeightOf
from lib_lyco.naming.layer import Family
from lib_lyco.network.network import Network
from lib_lyco.prompt.edit import find_tags
from lib_lyco.prompt.presets import Presets
from lib_lyco.prompt.request import NetworkRequest
from lib_lyco.prompt.tags import KINDS, parse_prompt, parse_request

Companion = Callable[[Sequence[Network]], list[str]]
"""Called with the networks of each activation; returns problems."""

Adviser = Callable[[NetworkRequest], "str | None"]
"""Called with each tag whose network was found; returns what to say of it."""

Listener = Callable[[StableDiffusionProcessing, AppliedState], None]
"""Called after each activation for a picture."""


@dataclass(frozen=True)
class _Pass:
    """What one activation asked for."""

    p: weakref.ref[StableDiffusionProcessing]
    requests: tuple[NetworkRequest, ...] = ()
    errors: tuple[LycoError, ...] = ()
    hires: bool = False
    num_steps: int = 1
    notes: tuple[str, ...] = ()
    """For the comment, once."""


class Engine:
    """The networks of the picture at hand. Called by one thread at a time, the one that draws.

    Args:
        options: Read live.
        presets: The block presets as they are now.
        load: Finds and reads a network.
    """

    def __init__(self, options: Options, presets: Callable[[], Presets], load: Load) -> None:
        self._options = options
        self._presets = presets
        self._sessions = Sessions(load, lambda: options.memory_bytes, lambda: devices.device)
        self._pass: _Pass | None = None
        self._batch: tuple[weakref.ref[StableDiffusionProcessing], Sequence[str]] | None = None
        self._weights: tuple[weakref.ref[sd_models.HostModel], str] | None = None
        self._key: Hashable = ()
        self._serial = 0
        self._untold: list[str] = []
        self.applied = AppliedState()
        self.companions: list[Companion] = []
        self.advisers: list[Adviser] = []
        self.listeners: list[Listener] = []

    def hear(self, p: StableDiffusionProcessing) -> None:
        """Keeps a batch's prompts, tags included, before the host takes these out into another list.

        It is the host's list, so that what other scripts write into it after this is seen, too.
        """
        self._batch = None if p.prompts is None else (weakref.ref(p), p.prompts)

    def begin(
        self,
        p: StableDiffusionProcessing,
        tags: Sequence[ExtraNetworkParams],
        refused: Sequence[LycoError] = (),
    ) -> None:
        """Makes the networks of these tags the ones applied. Raises nothing: the picture's comment says it.

        Args:
            p: The picture; or nothing but a shell, while the host loads a model.
            tags: As the host has parsed them.
            refused: Mistakes that are known already.
        """
        if p.all_prompts is None:
            self._empty()
            return
        hires = _is_for_hires(p, tags)
        presets = self._presets()
        requests, errors = _read(p, tags, presets)
        notes = [_MIXED] if self._is_mixed(p, hires, presets) else []
        notes += _unread(p)
        notes += limits(sd_models.model_data.sd_model, requests, hires, self._options.mode)
        if any(request.blocks for request in requests):
            notes += map(one_line, presets.problems)
        if requests:
            notes += self._untold
            self._untold = []
        errors = (*refused, *errors)
        self._pass = _Pass(weakref.ref(p), requests, errors, hires, _num_steps(p, hires), tuple(notes))
        self._apply(p, self._pass)

    def follow(self, p: StableDiffusionProcessing) -> None:
        """Sees to it that the model in use carries what the picture asked for."""
        begun = self._pass
        if begun is None or begun.p() is not p:
            if p.disable_extra_networks:
                self._pass = begun = _Pass(weakref.ref(p))
                self._apply(p, begun)
        elif not self._is_current():
            self._apply(p, replace(begun, notes=()))

    def step(self, p: StableDiffusionProcessing, step: int, num_steps: int) -> None:
        """Brings strengths that change by step to this one, counted as the host does."""
        self.follow(p)
        begun, model = self._pass, sd_models.model_data.sd_model
        if model is not None and begun is not None and begun.p() is p:
            with _told(p):
                self._sessions.enter(model).step(step, num_steps)

    def key(self) -> Hashable:
        """Stands for all of ours that an encoded text depends on."""
        return (self._serial, self._key if self._is_current() else ())

    def outdate(self) -> None:
        """Makes every encoded text out of date: a text encoder has been changed."""
        self._serial += 1

    def tell_once(self, notes: Sequence[str]) -> None:
        """Has the next picture with networks say this in its comment."""
        self._untold += notes

    def renew(self, model: sd_models.HostModel) -> None:
        """Accepts that other weights were loaded into a model."""
        self._sessions.renew(model)
        self._weights = None

    def restore(self) -> None:
        """Takes everything off every model."""
        self._sessions.restore()
        self._weights, self._key = None, ()
        for companion in self.companions:
            companion(())
        self.applied = AppliedState(self.applied.serial + 1)

    def put_away(self) -> None:
        """Takes everything off until a picture wants it again; what was applied last stays told."""
        if self._weights is None:
            return
        self._sessions.restore()
        self._weights, self._key = None, ()
        for companion in self.companions:
            companion(())

    def weights(self) -> tuple[Family | None, WeightOf | None]:
        """The family of the model in use, and its weights without networks; see `Sessions.weights`.

        For whoever holds the host's lock: no picture may be drawn meanwhile.
        """
        model = sd_models.model_data.sd_model
        return (None, None) if model is None else self._sessions.weights(model)

    def close(self) -> None:
        """Takes everything off, and keeps nothing of any model."""
        self.restore()
        self._pass = None
        self._sessions.forget()

    def _empty(self) -> None:
        """Before the host encodes an empty text for a model that it has just loaded.

        That may be in the middle of a pass (a refiner), which goes on afterwards.
        """
        model = sd_models.model_data.sd_model
        if model is not None:
            self._sessions.enter(model).restore()
        self._weights = None

    def _apply(self, p: StableDiffusionProcessing, wanted: _Pass) -> None:
        model = sd_models.model_data.sd_model
        if model is None:
            return
        # set first, so that what fails is told once and not tried again at each step
        self._weights, self._key = (weakref.ref(model), model.sd_checkpoint_info.filename), ()
        serial = self.applied.serial + 1
        self.applied = AppliedState(serial, model.sd_checkpoint_info.title, wanted.hires)
        with _told(p):
            mode = self._options.mode
            outcome = self._sessions.enter(model).begin(
                wanted.requests,
                hires=wanted.hires,
                num_steps=wanted.num_steps,
                mode=mode,
                errors=wanted.errors,
            )
            self._key = (mode, tuple(_key(*one, wanted.hires) for one in outcome.requested))
            networks = [network for _, network in outcome.requested]
            extra = [problem for companion in self.companions for problem in companion(networks)]
            told = (advise(request) for advise in self.advisers for request, _ in outcome.requested)
            advice = dict.fromkeys(line for line in told if line)
            problems = (*wanted.notes, *advice, *outcome.problems(), *extra)
            self.applied = _state(self.applied, outcome, problems)
            self._comment(p)
            for listener in self.listeners:
                listener(p, self.applied)

    def _comment(self, p: StableDiffusionProcessing) -> None:
        wanted = self._options.report
        lines = self.applied.problems if wanted == "problems" else ()
        if wanted == "always":
            lines = (*self.applied.lines, *self.applied.problems)
        for line in lines:
            p.comment(line)

    def _is_current(self) -> bool:
        """Whether what was applied last is on the model in use, with the weights it has now."""
        model = sd_models.model_data.sd_model
        if model is None or self._weights is None:
            return False
        applied_to, checkpoint = self._weights
        return applied_to() is model and model.sd_checkpoint_info.filename == checkpoint

    def _is_mixed(self, p: StableDiffusionProcessing, hires: bool, presets: Presets) -> bool:
        """Whether the prompts of this batch ask for different networks: the host heeds the first only."""
        kept = self._batch
        first = p.iteration * p.batch_size
        if hires and isinstance(p, StableDiffusionProcessingTxt2Img):
            batch = set((p.all_hr_prompts or [])[first : first + p.batch_size])
        elif kept is not None and kept[0]() is p:
            batch = set(kept[1])
        else:
            batch = set((p.all_prompts or [])[first : first + p.batch_size])
        kinds = KINDS if self._options.own_lora else KINDS[1:]
        return len(batch) > 1 and len({_asked(prompt, presets, kinds) for prompt in batch}) > 1


_MIXED = (
    "The prompts of this batch ask for different networks. The WebUI gives one set to a batch: "
    "all its pictures have the networks of the first prompt. With a batch size of 1 each gets its own."
)


def _unread(p: StableDiffusionProcessing) -> list[str]:
    """A line for each tag in a negative prompt: the host leaves them in its text."""
    tags = dict.fromkeys(str(tag) for text in set(p.all_negative_prompts or ()) for tag in find_tags(text))
    return [f"{tag} in the negative prompt is no tag, only text: put it into the prompt" for tag in tags]


def _read(
    p: StableDiffusionProcessing, tags: Sequence[ExtraNetworkParams], presets: Presets
) -> tuple[tuple[NetworkRequest, ...], tuple[LycoError, ...]]:
    """What the tags ask for, and the mistakes in the others."""
    requests: list[NetworkRequest] = []
    errors: list[LycoError] = []
    for tag in tags:
        try:
            requests.append(parse_request(tag.items, _text(p, tag), presets))
        except PromptError as error:
            errors.append(error)
    return tuple(requests), tuple(errors)


def _asked(prompt: str, presets: Presets, kinds: Sequence[str]) -> Hashable:
    """What a prompt's tags ask for, whatever their order and wording."""
    requests = parse_prompt(prompt, presets, kinds).requests
    return frozenset(Counter(replace(request, tag="") for request in requests).items())


def _key(request: NetworkRequest, network: Network, hires: bool) -> Hashable:
    te, _ = request.strengths(hires)
    return (network.content_id, te.first, request.rank, request.blocks)


@contextmanager
def _told(p: StableDiffusionProcessing) -> Generator[None]:
    """Lets an error end in the picture's comment: the host would print it where nobody looks, and go on."""
    try:
        yield
    except LycoError as error:
        p.comment(one_line(error))
    # whatever it is (memory, a device, a bug of ours), the picture goes on without networks and says so
    except Exception as error:  # noqa: BLE001
        host_errors.report("lyco: the networks are not applied", exc_info=True)
        p.comment(f"The networks are not applied: {type(error).__name__}: {error}")


def _state(begun: AppliedState, outcome: Outcome, problems: Sequence[str]) -> AppliedState:
    report = outcome.report
    return replace(
        begun,
        requested=outcome.requested,
        tags=tuple(outcome.tags()),
        errors=outcome.errors,
        lines=tuple(outcome.lines()),
        problems=tuple(problems),
        touched=report.touched,
        backup_bytes=report.backup_bytes,
        parked_bytes=report.parked_bytes,
    )


def _num_steps(p: StableDiffusionProcessing, hires: bool) -> int:
    if hires and isinstance(p, StableDiffusionProcessingTxt2Img):
        return p.hr_second_pass_steps or p.steps
    return p.steps


def _is_for_hires(p: StableDiffusionProcessing, tags: Sequence[ExtraNetworkParams]) -> bool:
    """Whether an activation is for the second pass; it may come early, to encode its text."""
    if p.is_hr_pass or not isinstance(p, StableDiffusionProcessingTxt2Img):
        return p.is_hr_pass
    of_hires = {id(tag) for found in (p.hr_extra_network_data or {}).values() for tag in found}
    return any(id(tag) in of_hires for tag in tags)


def _text(p: StableDiffusionProcessing, tag: ExtraNetworkParams) -> str:
    """The tag as it was written; the host hands over only what stands between its colons."""
    data = dict(p.extra_network_data or {})
    later = p.hr_extra_network_data if isinstance(p, StableDiffusionProcessingTxt2Img) else None
    for kind, found in (*data.items(), *(later or {}).items()):
        if any(one is tag for one in found):
            return f"<{kind}:{':'.join(tag.items)}>"
    return f"<{KINDS[0]}:{':'.join(tag.items)}>"
