"""The tags in a prompt: found, taken out and parsed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from lib_lyco.errors import PromptError
from lib_lyco.prompt.block_weights import EVERYWHERE, BlockWeights
from lib_lyco.prompt.edit import KINDS, find_tags, map_tags
from lib_lyco.prompt.numbers import read_count, read_number
from lib_lyco.prompt.options import MEND, check_items, place_items
from lib_lyco.prompt.presets import BUILT_IN, Presets
from lib_lyco.prompt.problems import at
from lib_lyco.prompt.request import ONE, NetworkRequest
from lib_lyco.prompt.schedule import EXPECTED as STRENGTH
from lib_lyco.prompt.schedule import Window, read_schedule

_T = TypeVar("_T")


@dataclass(frozen=True)
class ParsedPrompt:
    """A prompt, taken apart."""

    text: str
    """The prompt without our tags; everything else as it was, tags of other kinds included."""
    requests: tuple[NetworkRequest, ...]
    """In the order of their tags. The same network twice is two requests, which add up."""
    problems: tuple[PromptError, ...] = ()
    """One for each tag that cannot be read; such a tag asks for nothing."""


def parse_prompt(text: str, presets: Presets = BUILT_IN, kinds: Sequence[str] = KINDS) -> ParsedPrompt:
    """Takes the tags out of a prompt. Raises nothing: a mistake in a tag becomes a problem."""
    requests: list[NetworkRequest] = []
    problems: list[PromptError] = []
    for tag in find_tags(text, kinds):
        try:
            requests.append(parse_request((tag.name, *tag.options), str(tag), presets))
        except PromptError as problem:
            problems.append(problem)
    return ParsedPrompt(map_tags(text, lambda tag: None, kinds), tuple(requests), tuple(problems))


def parse_request(items: Sequence[str], tag: str, presets: Presets = BUILT_IN) -> NetworkRequest:
    """Understands one tag that is already split at its colons, as the host hands it over.

    Args:
        items: The name, then the options.
        tag: The whole tag, for messages.
        presets: What names in `lbw=` and `lbwe=` mean.

    Raises:
        PromptError: There is no name, or an option cannot be read.
    """
    name = items[0].strip() if items else ""
    if not name:
        raise PromptError(
            "A tag names no network", where=tag, expected="<lora:name> or <lora:name:0.8>", remedy=MEND
        )
    placed = place_items(items[1:])
    texts = check_items(placed, tag)
    unnamed = frozenset(texts) - {item.option for item in placed if item.named}
    given = _Given(texts, unnamed, tag, colon_name=f"{name}:{placed[0].text}" if placed else "")
    te = given.read("te", read_schedule) or ONE
    unet = given.read("unet", read_schedule) or te
    both = given.read("hr", read_schedule)
    hr_unet = given.read("hrunet", read_schedule) or both
    window = _window(given)
    return NetworkRequest(
        name=name,
        te=te,
        unet=unet.within(window),
        rank=given.read("dyn", _read_rank),
        blocks=_blocks(given, presets),
        hr_te=given.read("hrte", read_schedule) or both,
        hr_unet=hr_unet and hr_unet.within(window),
        tag=tag,
    )


@dataclass(frozen=True)
class _Given:
    """The options of one tag."""

    texts: Mapping[str, str]
    """Option -> its value."""
    unnamed: frozenset[str]
    """Those taken by their place."""
    tag: str
    colon_name: str
    """The name, if the first colon behind it belongs to it; empty where there is none."""

    def read(self, option: str, reader: Callable[[str], _T]) -> _T | None:
        """The value of an option, None where it is not given.

        Raises:
            PromptError: It cannot be read.
        """
        if option not in self.texts:
            return None
        try:
            return reader(self.texts[option])
        except PromptError as error:
            raise self.mistake(option, error) from error

    def mistake(self, option: str, error: PromptError) -> PromptError:
        """An error in the value of an option, with the tag and its other words around it."""
        what = f"The {option} of a tag cannot be read"
        if option == "lbw" and option in self.unnamed:
            # somebody may as well have meant a number, or a name with a colon
            what, expected = "A value of a tag cannot be read", f"{STRENGTH}, or {error.expected}"
            remedy = error.remedy
            is_word = self.texts[option][:1].isalpha() and "," not in self.texts[option]
            if is_word and not remedy and self.colon_name.endswith(f":{self.texts[option]}"):
                remedy = f"A name with a colon ({self.colon_name!r}) cannot stand in a tag: write its hash."
            error = PromptError(error.what, got=error.got, expected=expected, remedy=remedy)
        return at(error, what, self.tag, MEND)


def _read_rank(text: str) -> int:
    rank = read_count(text)
    if rank < 1:
        raise PromptError("there is no such rank", got=repr(text), expected="a whole number from 1 on")
    return rank


def _window(given: _Given) -> Window:
    start, stop = given.read("start", read_count), given.read("stop", read_count)
    step = given.read("step", _read_steps)
    if step is not None and (start is not None or stop is not None):
        error = PromptError("start and stop say the same", expected="step=5-10, or start=5:stop=10")
        raise given.mistake("step", error)
    if start is not None and stop is not None and stop <= start:
        error = PromptError("it is not after start", got=f"start={start}:stop={stop}")
        raise given.mistake("stop", error)
    return step or Window(start or 0, stop)


def _read_steps(text: str) -> Window:
    start, dash, stop = (part.strip() for part in text.partition("-"))
    if not dash or read_count(stop) <= read_count(start):
        raise PromptError(
            "it is no range of steps", got=repr(text), expected="two whole numbers, such as 5-10"
        )
    return Window(read_count(start), read_count(stop))


def _blocks(given: _Given, presets: Presets) -> BlockWeights | None:
    inherited = given.read("x", read_number)
    if inherited is not None and "lbw" not in given.texts:
        raise given.mistake("x", PromptError("it is for the X in block weights", expected="lbw= beside it"))
    weights = given.read("lbw", lambda text: presets.weights(text, 1.0 if inherited is None else inherited))
    rules = given.read("lbwe", presets.rules)
    if rules is None:
        return weights
    return replace(EVERYWHERE if weights is None else weights, elements=rules)
