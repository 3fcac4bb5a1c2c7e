"""From seven answers to all options, with the reason for each value.

The recipes are those of documents that users go by: a Japanese wiki page on LyCORIS with its batch files
and reference runs, a memo of LoRA trainings, and an article on every kohya_ss option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lib_lyco.naming.layer import Family

SUBJECTS: Mapping[str, str] = MappingProxyType(
    {"character": "Character", "style": "Style", "concept": "Concept", "outfit": "Outfit"}
)
QUALITIES: Mapping[str, str] = MappingProxyType(
    {"quick": "Quick", "balanced": "Balanced", "thorough": "Thorough"}
)
_GB = 1 << 30


@dataclass(frozen=True)
class Answers:
    """What Simple asks."""

    subject: str
    quality: str
    family: Family = "sd1"
    trigger: str = ""


@dataclass(frozen=True)
class Seen:
    """What is known of the images and the machine."""

    images: int = 0
    samples: float = 0.0
    """Showings in an epoch that shows each image once, or as often as its folder's name says."""
    tagged: bool = True
    """Whether captions are lists of tags, not sentences."""
    triggered: bool = False
    """Whether all captions have the trigger word already."""
    memory: int | None = None
    """Of the device, in bytes."""
    has_8bit: bool = False
    """Whether bitsandbytes is installed."""

    @property
    def own_repeats(self) -> bool:
        """Whether folders' names say how often their images are shown."""
        return self.samples != self.images


@dataclass(frozen=True)
class Choice:
    """One value, and why."""

    option: str
    value: Any
    why: str


@dataclass(frozen=True)
class _Length:
    epochs: int
    samples: int
    """Showings of images in the whole run."""
    why: str


_LENGTHS: Mapping[str, _Length] = MappingProxyType(
    {
        "quick": _Length(4, 800, "Half of what sets of this kind usually get: shows whether it works."),
        "balanced": _Length(8, 2000, "About the 2100 showings of the reference runs (LyCORIS wiki)."),
        "thorough": _Length(20, 4000, "20 epochs of 200 showings (LyCORIS wiki)."),
    }
)


def choose_options(answers: Answers, seen: Seen) -> list[Choice]:
    """Every option that is not left at its default; all combinations make a config that works."""
    return [
        *_network(answers),
        *_length(answers, seen),
        *_learning(answers, seen),
        *_pictures(answers, seen),
        *_texts(answers, seen),
        *_files(answers, seen),
    ]


def _network(answers: Answers) -> Iterator[Choice]:
    if answers.subject in ("outfit", "style"):
        yield Choice("algo", "locon", "LoCon takes up fine detail, clothes and brushwork (LyCORIS wiki).")
        yield Choice("rank", 16, "Rank 16 for both was needed for the design of clothes (LyCORIS wiki).")
        yield Choice(
            "conv_rank", 16, "Rank 16 for both was needed for the design of clothes (LyCORIS wiki)."
        )
    else:
        yield Choice("algo", "lora", "Where LoRA is good enough it is the one to take (LyCORIS wiki).")
        yield Choice("rank", 16, "Enough for one subject; a file of rank 128 is eight times as large.")
    yield Choice("alpha", 8.0, "Half the rank (LyCORIS wiki).")


def _length(answers: Answers, seen: Seen) -> Iterator[Choice]:
    length = _LENGTHS[answers.quality]
    batch = _batch(answers, seen)
    if seen.own_repeats:
        epochs = max(1, round(length.samples / seen.samples))
        yield Choice("epochs", epochs, "The folders' names say the repeats; epochs make up the rest.")
    elif seen.images * length.epochs > length.samples:
        epochs = max(1, round(length.samples / seen.images))
        yield Choice("epochs", epochs, f"{seen.images} images are many: fewer epochs. {length.why}")
        yield Choice("repeats", 1.0, "Each image once in an epoch.")
    else:
        repeats = max(1, round(length.samples / (max(seen.images, 1) * length.epochs)))
        yield Choice("epochs", length.epochs, length.why)
        yield Choice(
            "repeats", float(repeats if seen.images else 10), "So that the epochs make that number."
        )
    yield Choice("batch_size", batch, _batch_reason(seen, batch))


def _side(answers: Answers) -> int:
    if answers.family == "sdxl":
        return 1024
    return 768 if answers.family == "sd2" or answers.quality == "thorough" else 512


def _batch(answers: Answers, seen: Seen) -> int:
    """2 where there is room for it: from 8 GB at 512, from 12 GB at 768, from 24 GB at 1024."""
    least = {512: 8, 768: 12, 1024: 24}[_side(answers)] * _GB
    # a card of 8 GB tells a little less
    return 2 if seen.memory is not None and seen.memory > 0.93 * least else 1


def _batch_reason(seen: Seen, batch: int) -> str:
    if seen.memory is None:
        return "How much memory there is is not known."
    return f"Memory of {seen.memory / _GB:.0f} GB" + (" has room for two." if batch > 1 else ".")


def _learning(answers: Answers, seen: Seen) -> Iterator[Choice]:
    yield Choice("learning_rate", 1e-4, "For an alpha of half the rank (training memo, kohya_ss article).")
    if answers.family == "sdxl":
        yield Choice("te_learning_rate", [0.0], "SDXL's two text encoders stay as they are: less memory.")
    else:
        yield Choice(
            "te_learning_rate", [5e-5], "Half the UNet's, as usual (training memo, kohya_ss article)."
        )
    yield Choice("warmup_share", 0.05, "A slow start, since the first steps are the least certain.")
    yield Choice("min_snr_gamma", 5.0, "Evens out the timesteps; 5 is advised (kohya_ss article).")
    if answers.family == "sdxl":
        yield Choice("noise_offset", 0.0357, "With it SDXL's base was trained.")
    small = seen.memory is not None and seen.memory < 11 * _GB
    if small and seen.has_8bit:
        yield Choice("optimizer_type", "AdamW8bit", "The same optimiser in a quarter of the memory.")
    tight = {512: 7, 768: 11, 1024: 23}[_side(answers)] * _GB
    if seen.memory is not None and seen.memory < tight:
        yield Choice("gradient_checkpointing", True, "Less memory for more time; the result is the same.")


def _pictures(answers: Answers, seen: Seen) -> Iterator[Choice]:
    side = _side(answers)
    if side != 512:
        yield Choice("resolution", [side, side], _RESOLUTION_REASONS[answers.family])
    if side == 1024:
        yield Choice("bucket_max", 2048, "Twice the resolution, for long pictures.")
    if answers.subject == "style":
        yield Choice("flip", True, "A style has no left and right (kohya_ss article).")
    if seen.images >= 40:
        yield Choice("validation_split", 0.1, "A tenth is held out, to see when it learns by heart.")


_RESOLUTION_REASONS: Mapping[str, str] = {
    "sd1": "768 for fine detail (LyCORIS wiki).",
    "sd2": "SD2 was trained at 768.",
    "sdxl": "SDXL was trained at 1024.",
}


def _texts(answers: Answers, seen: Seen) -> Iterator[Choice]:
    if seen.tagged:
        yield Choice("shuffle_caption", True, "So that no tag counts by its place (kohya_ss article).")
    if answers.trigger:
        if not seen.triggered:
            yield Choice(
                "caption_prefix", f"{answers.trigger},", "The trigger word in front of all captions."
            )
        yield Choice("class_tokens", answers.trigger, "For images without a caption.")
        if seen.tagged:
            yield Choice("keep_tokens", num_tags(answers.trigger), "The trigger word stays in front.")


def _files(answers: Answers, seen: Seen) -> Iterator[Choice]:
    del seen
    every = 2 if answers.quality == "thorough" else 1
    yield Choice("save_every_n_epochs", every, "To choose the best of them afterwards.")


def num_tags(text: str) -> int:
    """How many tags a text with commas is."""
    return len([one for one in text.split(",") if one.strip()])


def look_at(captions: Sequence[str], trigger: str) -> tuple[bool, bool]:
    """Whether captions are lists of tags, and whether all have the trigger word."""
    filled = [one for one in captions if one.strip()]
    tagged = sum(num_tags(one) >= 3 for one in filled) * 2 >= len(filled)
    word = trigger.strip().casefold()
    return tagged, bool(word and filled) and all(word in one.casefold() for one in captions)
