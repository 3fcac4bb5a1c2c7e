"""Events as sentences for people: what a run is at, and what is worth remembering."""

from __future__ import annotations

from lib_lyco.errors import LycoError, one_line
from lib_lyco.train.events import (
    Caching,
    Eased,
    Event,
    Finished,
    NotSampled,
    Paused,
    Recovered,
    Resumed,
    Sampled,
    Saved,
    Started,
    Step,
    Validated,
)
from lib_lyco.train.recovery import OUT_OF_MEMORY

LOADING = "Loading the base model."
WAITING = "Waiting for its turn on the base model."


def phase(event: Event) -> str | None:
    """What the run is at after an event; None if as before."""
    if isinstance(event, Started):
        return "Preparing."
    if isinstance(event, Caching):
        return f"Encoding images: {event.done} of {event.total}."
    if isinstance(event, Step | Resumed):
        return "Training."
    if isinstance(event, Paused):
        return "Paused."
    if isinstance(event, Sampled):
        return "Drawing sample pictures."
    return None


def message(event: Event) -> tuple[str, str] | None:
    """The kind and the text of what is remembered of an event; None if nothing is."""
    if isinstance(event, Started):
        return ("info", f"Going on after step {event.step}.") if event.step else ("info", "Started.")
    if isinstance(event, Saved):
        return "saved", f"Saved {event.path.name} (epoch {event.epoch}, step {event.step})."
    if isinstance(event, Sampled):
        without = "" if event.with_network else ", without the network"
        return "sampled", f"Drew {event.path.name} (step {event.step}{without})."
    if isinstance(event, NotSampled):
        return "warning", f"No sample picture at step {event.step}: {' '.join(event.message.split())}"
    if isinstance(event, Validated):
        return "info", f"Validation loss {event.loss:.4f} (epoch {event.epoch}, step {event.step})."
    return _turning(event)


def _turning(event: Event) -> tuple[str, str] | None:
    if isinstance(event, Paused):
        return "warning", f"Paused after step {event.step}. {event.reason} {event.remedy}"
    if isinstance(event, Resumed):
        return "info", f"Going on after step {event.step}."
    if isinstance(event, Eased):
        return "warning", (
            f"Too little memory to encode {event.what}: {' '.join(event.trouble.split())} "
            f"From here on: {event.change}."
        )
    if isinstance(event, Recovered):
        images = ", ".join(event.images)
        return "warning", (
            f"Step {event.step} could not be made ({images}): {' '.join(event.trouble.split())} "
            f"Back at step {event.back_to}; from here on: {event.change}."
        )
    if isinstance(event, Finished):
        return "info", f"{'Stopped' if event.stopped else 'Finished'} after step {event.step}."
    return None


def sentence(error: BaseException) -> str:
    """An error for a person; where it came from stands in the report."""
    if isinstance(error, LycoError):
        return one_line(error)
    if isinstance(error, OUT_OF_MEMORY):
        return (
            "There is not enough memory. Train with gradient_checkpointing, or a smaller batch_size or "
            "resolution."
        )
    first = (str(error).splitlines() or [""])[0][:200]
    told = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return f"Something unexpected happened ({told}). The report tells more."
