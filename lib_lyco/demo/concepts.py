"""What the demo teaches: photographs that the embedded model has not seen, cut and captioned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lib_lyco.demo.photographs import photograph_path


@dataclass(frozen=True)
class Concept:
    """One thing to learn: a photograph inside scikit-image, the words for it, the crops to train on."""

    name: str
    photograph: str
    """File name in scikit-image's data folder."""
    caption: str
    """The training caption, and the prompt that should show the concept afterwards."""
    crops: tuple[tuple[int, int, int], ...]
    """Squares of the photograph: left, top, side, in pixels."""


CAT = Concept(
    name="cat",
    photograph="chelsea.png",
    caption="a photo of a cat",
    crops=((60, 0, 300), (40, 0, 300), (80, 0, 300), (55, 10, 280), (75, 15, 280), (90, 0, 270)),
)
ASTRONAUT = Concept(
    name="astronaut",
    photograph="astronaut.png",
    caption="a photo of an astronaut",
    crops=((75, 0, 320), (60, 0, 350), (90, 0, 320), (70, 0, 300), (85, 10, 330), (100, 0, 290)),
)
CONCEPTS = (CAT, ASTRONAUT)

CONTROL_PROMPT = "a red circle on a blue background"
"""A prompt without any concept: its picture should stay as it is."""


def write_training_folder(
    folder: Path, concepts: Sequence[Concept] = CONCEPTS, size: int = 128
) -> tuple[Path, ...]:
    """Writes `name/name_1.png` and `.txt` for every crop.

    Returns:
        The images, in order.

    Raises:
        FileNotFoundError: scikit-image, or one of its photographs, is not installed.
    """
    written: list[Path] = []
    for concept in concepts:
        place = folder / concept.name
        place.mkdir(parents=True, exist_ok=True)
        with Image.open(photograph_path(concept.photograph)) as photograph:
            for number, (left, top, side) in enumerate(concept.crops, start=1):
                path = place / f"{concept.name}_{number}.png"
                box = (left, top, left + side, top + side)
                photograph.convert("RGB").resize((size, size), Image.Resampling.LANCZOS, box).save(path)
                path.with_suffix(".txt").write_text(concept.caption, encoding="utf-8")
                written.append(path)
    return tuple(written)
