"""The training pictures, drawn once and kept in the run's folder."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lib_lyco.demo import drawing, photographs

DRAWN = 24_000
PHOTOGRAPHS = 1_600
SEED = 20_260_101

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """Attributes:
    pixels: RGB bytes ``(n, 64, 64, 3)``, the drawn ones first.
    captions: one for each picture.
    """

    pixels: NDArray[np.uint8]
    captions: list[str]


def drawn_pictures(count: int, seed: int, size: int = 64) -> Pictures:
    """``count`` random scenes, painted and captioned, from one seed."""
    rng = np.random.default_rng(seed)
    pixels = np.empty((count, size, size, 3), np.uint8)
    captions: list[str] = []
    for i in range(count):
        scene = drawing.random_scene(rng)
        pixels[i] = drawing.draw(scene, rng, size)
        captions.append(drawing.caption(scene, rng))
    return Pictures(pixels, captions)


def training_pictures(folder: Path) -> Pictures:
    """The training set: drawn and photographed, from the folder if it was made before."""
    pixel_file, caption_file = folder / "pictures.npy", folder / "captions.json"
    if not caption_file.exists():
        drawn = drawn_pictures(DRAWN, SEED)
        photos, words = photographs.crops(PHOTOGRAPHS, np.random.default_rng(SEED + 1))
        np.save(pixel_file, np.concatenate([drawn.pixels, photos]))
        caption_file.write_text(json.dumps(drawn.captions + words), encoding="utf-8")
        log.info("drew %d pictures, cut %d crops", DRAWN, PHOTOGRAPHS)
    return Pictures(np.load(pixel_file), json.loads(caption_file.read_text(encoding="utf-8")))
