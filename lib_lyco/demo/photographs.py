"""The photographs that come inside scikit-image's package, by path, never downloaded.

``TRAINED`` are seen by the embedded model; ``HELD_OUT`` are not, so that networks
can be trained and judged on something it does not know.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TRAINED: dict[str, str] = {
    "coffee.png": "a cup of coffee",
    "rocket.jpg": "a rocket",
    "hubble_deep_field.jpg": "galaxies",
    "retina.jpg": "a retina",
    "moon.png": "the moon",
    "brick.png": "a brick wall",
    "gravel.png": "gravel",
    "grass.png": "grass",
    "coins.png": "coins",
    "camera.png": "a cameraman",
    "clock_motion.png": "a clock",
}
HELD_OUT: dict[str, str] = {"chelsea.png": "a cat", "astronaut.png": "an astronaut"}


def photograph_path(name: str) -> Path:
    """Where scikit-image keeps the photograph ``name``, without importing it.

    Raises:
        FileNotFoundError: scikit-image or the photograph is not installed.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            f"photograph {name}: scikit-image is not installed; pip install scikit-image"
        )
    path = Path(found.origin).parent / "data" / name
    if not path.is_file():
        raise FileNotFoundError(f"photograph {path}: this scikit-image does not bundle it, 0.26 does")
    return path


def crop(image: Image.Image, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """A random square of an RGB image, maybe mirrored, resized to RGB bytes ``(size, size, 3)``."""
    short = min(image.size)
    side = int(short * rng.uniform(0.35, 1.0))
    left = int(rng.integers(image.width - side + 1))
    top = int(rng.integers(image.height - side + 1))
    box = (left, top, left + side, top + side)
    picture = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box), dtype=np.uint8)
    return np.ascontiguousarray(picture[:, ::-1]) if rng.random() < 0.5 else picture


@lru_cache(maxsize=1)
def _trained_images() -> tuple[Image.Image, ...]:
    """The trained photographs, whole, in RGB."""
    images: list[Image.Image] = []
    for name in TRAINED:
        with Image.open(photograph_path(name)) as image:
            images.append(image.convert("RGB"))
    return tuple(images)


def varied_crops(count: int, rng: np.random.Generator, size: int = 64) -> NDArray[np.uint8]:
    """Crops of the trained photographs, half in other colours: ``(count, size, size, 3)``."""
    images = _trained_images()
    pictures: list[NDArray[np.uint8]] = []
    for _ in range(count):
        picture = crop(images[rng.integers(len(images))], rng, size)
        if rng.random() < 0.5:
            # each new channel is a mixture of the old ones: other hues, mostly less saturated
            mixture = rng.dirichlet((0.5, 0.5, 0.5), 3).T
            picture = np.clip(picture @ mixture * rng.uniform(0.6, 1.15, 3), 0, 255).astype(np.uint8)
        pictures.append(picture)
    return np.stack(pictures)


def crops(count: int, rng: np.random.Generator, size: int = 64) -> tuple[NDArray[np.uint8], list[str]]:
    """Random crops of the trained photographs, in turn, with captions.

    Returns:
        RGB bytes ``(count, size, size, 3)`` and one caption each.
    """
    images = _trained_images()
    words = list(TRAINED.values())
    pictures = [crop(images[i % len(images)], rng, size) for i in range(count)]
    wordings = ("a photo of {}", "{}, photograph", "{}")
    captions = [wordings[rng.integers(3)].format(words[i % len(words)]) for i in range(count)]
    return np.stack(pictures), captions
