"""Captioned pictures drawn by a program: what the embedded model learns from.

Eight colours near the corners of the RGB cube and seven shapes that a tiny model
can learn and a judge can tell apart.  Everything is decided by a
``numpy.random.Generator``, so a seed gives the same pictures everywhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 35, 35),
    "green": (30, 165, 55),
    "blue": (40, 60, 225),
    "yellow": (245, 220, 40),
    "pink": (245, 95, 200),
    "cyan": (50, 215, 225),
    "white": (245, 245, 245),
    "black": (18, 18, 18),
}
SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "ring", "heart")
TEXTURES: tuple[str, ...] = ("striped", "checkered", "dotted")
PLACES: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5),
    "left": (0.36, 0.5),
    "right": (0.64, 0.5),
    "top": (0.5, 0.36),
    "bottom": (0.5, 0.64),
}
SIZES: dict[str, tuple[float, float]] = {
    "large": (0.36, 0.43),
    "": (0.28, 0.37),
    "small": (0.18, 0.21),
}
WORDS: tuple[str, ...] = (
    *COLOURS,
    *SHAPES,
    *TEXTURES,
    *("large", "small", "left", "right", "top", "bottom"),
    *("a", "drawing", "of", "on", "at", "the", "and", "background"),
)
"""Every word of the captions of drawn pictures: the embedded model knows these and no others."""

COLOUR_JITTER = 12
SUPERSAMPLE = 3
STAR_INNER = 0.42
RING_INNER = 0.55

Field = NDArray[np.float64]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """What one drawn picture shows.

    Attributes:
        shape: a name in ``SHAPES``.
        colour: the shape's colour, a name in ``COLOURS``.
        ground: the background's colour, a name in ``COLOURS``.
        size: a key of ``SIZES`` ("" is the middle size, never named in a caption).
        place: a key of ``PLACES``.
        texture: a name in ``TEXTURES`` or "" for a plain ground.
        second: the texture's second colour; "" for a plain ground.
        partner: shape and colour of a second shape, drawn on the right, or None.
    """

    shape: str
    colour: str
    ground: str
    size: str = ""
    place: str = "center"
    texture: str = ""
    second: str = ""
    partner: tuple[str, str] | None = None


def random_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene: mostly one big central shape on a plain ground."""
    names = list(COLOURS)
    colour, ground, other, fourth = (names[i] for i in rng.permutation(len(names))[:4])
    shape = SHAPES[rng.integers(len(SHAPES))]
    kind = rng.random()
    if kind < 0.05:
        partner = (SHAPES[rng.integers(len(SHAPES))], fourth)
        return Scene(shape, colour, ground, partner=partner)
    size = ("large", "", "small")[rng.choice(3, p=(0.45, 0.45, 0.10))]
    place = list(PLACES)[rng.choice(5, p=(0.68, 0.08, 0.08, 0.08, 0.08))]
    if kind < 0.17:
        return Scene(shape, colour, ground, size, place, TEXTURES[rng.integers(3)], other)
    return Scene(shape, colour, ground, size, place)


def plain_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene with one shape, not small, on a plain ground."""
    while True:
        scene = random_scene(rng)
        if scene.partner is None and not scene.texture and scene.size != "small":
            return scene


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Words for ``scene``: one of several wordings, sentences and tags."""
    thing = f"{scene.colour} {scene.shape}"
    if scene.size:
        thing = f"{scene.size} {thing}"
    ground = f"{scene.ground} background"
    if scene.texture:
        ground = f"{scene.ground} and {scene.second} {scene.texture} background"
    if scene.partner is not None:
        thing = f"{thing} and a {scene.partner[1]} {scene.partner[0]}"
    where = "" if scene.place == "center" else scene.place
    style = int(rng.integers(6))
    if style == 0:
        return f"{ground}, {thing}" + (f", {where}" if where else "")
    if style == 1:
        return f"{thing}, {ground}" + (f", {where}" if where else "")
    side = f" at the {where}" if where else ""
    if style == 2:
        return f"a drawing of a {thing}{side} on a {ground}"
    if style == 3:
        return f"{thing}{side} on {ground}"
    return f"a {thing}{side} on a {ground}"


def draw(scene: Scene, rng: np.random.Generator, size: int = 64) -> Picture:
    """Paints ``scene``; jitters colour, place, angle and size a little.

    Returns:
        RGB bytes ``(size, size, 3)``.
    """
    fine = size * SUPERSAMPLE
    axis = (np.arange(fine) + 0.5) / fine
    canvas = np.empty((size, size, 3))
    canvas[:] = _paint(scene.ground, rng)
    if scene.texture:
        pattern = _shrink(_texture(scene.texture, axis, rng))[..., None]
        canvas = canvas * (1 - pattern) + _paint(scene.second, rng) * pattern
    things = [(scene.shape, scene.colour, scene.size, PLACES[scene.place])]
    if scene.partner is not None:
        things = [
            (scene.shape, scene.colour, "pair", (0.28, 0.5)),
            (scene.partner[0], scene.partner[1], "pair", (0.72, 0.5)),
        ]
    for shape, colour, extent, centre in things:
        low, high = SIZES.get(extent, (0.19, 0.22))
        radius = rng.uniform(low, high)
        x, y = np.asarray(centre) + rng.uniform(-0.04, 0.04, 2)
        mask = shape_mask(shape, size, (x, y), radius, rng.uniform(-0.12, 0.12))[..., None]
        canvas = canvas * (1 - mask) + _paint(colour, rng) * mask
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def shape_mask(
    shape: str, size: int, centre: tuple[float, float], radius: float, angle: float = 0.0
) -> Field:
    """Coverage of a shape, 0 to 1, antialiased.

    Args:
        shape: a name in ``SHAPES``.
        size: side of the picture in pixels.
        centre: x and y as fractions of the side.
        radius: fraction of the side.
        angle: radians.

    Returns:
        Coverage ``(size, size)``.
    """
    fine = size * SUPERSAMPLE
    axis = (np.arange(fine) + 0.5) / fine
    x = ((axis - centre[0]) / radius)[None, :]
    y = ((centre[1] - axis) / radius)[:, None]
    cos, sin = np.cos(angle), np.sin(angle)
    return _shrink(_inside(shape, x * cos + y * sin, y * cos - x * sin))


def _inside(shape: str, x: Field, y: Field) -> Field:
    """Where ``(x, y)`` in units of the radius, y upward, lies inside ``shape``: 1.0 or 0.0."""
    if shape == "circle":
        inside = x * x + y * y <= 0.92**2
    elif shape == "square":
        inside = np.maximum(np.abs(x), np.abs(y)) <= 0.82
    elif shape == "triangle":
        inside = (y >= -0.75) & (y + 0.75 <= 1.75 * (1 - np.abs(x) / 0.98))
    elif shape == "cross":
        near = np.minimum(np.abs(x), np.abs(y)) <= 0.28
        inside = near & (np.maximum(np.abs(x), np.abs(y)) <= 0.95)
    elif shape == "ring":
        square = x * x + y * y
        inside = (square <= 1) & (square >= RING_INNER**2)
    elif shape == "heart":
        u, v = x * 1.22, y * 1.18 + 0.12
        inside = (u * u + v * v - 1) ** 3 - u * u * v**3 <= 0
    elif shape == "star":
        inside = _star(x, y)
    else:
        raise ValueError(f"unknown shape {shape!r}; the drawing program knows {SHAPES}")
    return inside.astype(np.float64)


def _star(x: Field, y: Field) -> NDArray[np.bool_]:
    """A five-pointed star: fold the plane onto one half point, test one edge."""
    radius = np.hypot(x, y)
    tooth = 2 * np.pi / 5
    fold = np.abs((np.arctan2(x, y) + tooth / 2) % tooth - tooth / 2)
    u, v = radius * np.cos(fold), radius * np.sin(fold)
    a, b = STAR_INNER * np.cos(tooth / 2), STAR_INNER * np.sin(tooth / 2)
    return (1.05 - u) * b - v * (1.05 - a) >= 0


def _texture(name: str, axis: Field, rng: np.random.Generator) -> Field:
    """A two-valued pattern over the fine grid, with four to six periods a side."""
    waves = int(rng.integers(3, 6))
    x = (axis * waves + rng.random())[None, :]
    y = (axis * waves + rng.random())[:, None]
    if name == "striped":
        line = y + 0 * x if rng.random() < 0.5 else x + 0 * y
        return (line % 1 < 0.5).astype(np.float64)
    if name == "checkered":
        return ((x % 1 < 0.5) ^ (y % 1 < 0.5)).astype(np.float64)
    return ((x % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2 < 0.3**2).astype(np.float64)


def _shrink(fine: Field) -> Field:
    """Box filter from the fine grid ``(kh, kw)`` to pixels ``(h, w)``."""
    side = fine.shape[0] // SUPERSAMPLE
    return fine.reshape(side, SUPERSAMPLE, side, SUPERSAMPLE).mean(axis=(1, 3))


def _paint(colour: str, rng: np.random.Generator) -> Field:
    """A palette colour with a little jitter, ``(3,)``."""
    return np.asarray(COLOURS[colour], float) + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3)
