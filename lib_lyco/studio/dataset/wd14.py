"""Our own reader of WD14 taggers (SmilingWolf's `wd-...-tagger` models), put into a folder by the user.

A model is a folder with `model.onnx` and `selected_tags.csv` (columns tag_id, name, category, count;
category 0 is a general tag, 3 a series, 4 a character, 9 a rating). What it looks at is stated in the
models' own cards: the picture on white, filled up to a square with white, 448x448, its channels blue,
green, red, from 0 to 255.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from PIL import Image

from lib_lyco.errors import FileError, MissingPackageError
from lib_lyco.studio.dataset.tagger import Category, Guess, Look

_MODEL, _TAGS = "model.onnx", "selected_tags.csv"
_CATEGORIES: dict[str, Category] = {"0": "general", "3": "series", "4": "character", "9": "rating"}
_SIDE = 448
_PREFERRED = ("CUDAExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider")
_INSTALL = "pip install onnxruntime"


@dataclass(frozen=True)
class Wd14Tagger:
    """One model on disk."""

    folder: Path
    makes_sentences: bool = False

    @property
    def id(self) -> str:
        return f"wd14:{self.folder.name}"

    @property
    def title(self) -> str:
        return self.folder.name

    @property
    def problem(self) -> str:
        if find_spec("onnxruntime") is None:
            return f"It needs a package: {_INSTALL}"
        return "" if (self.folder / _TAGS).is_file() else f"{_TAGS} is missing beside {_MODEL}."

    def kinds(self) -> Mapping[str, Category]:
        return dict(read_tags(self.folder / _TAGS))

    @contextmanager
    def open(self) -> Generator[Look]:
        """Loads the model for as long as it is needed.

        Raises:
            MissingPackageError: onnxruntime is not installed.
            FileError: The model or its list of tags cannot be read, or they do not belong together.
        """
        runtime = _runtime()
        names = read_tags(self.folder / _TAGS)
        providers = [one for one in _PREFERRED if one in runtime.get_available_providers()]
        try:
            session = runtime.InferenceSession(
                str(self.folder / _MODEL), providers=[*providers, "CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no base of their own
            raise FileError("A tagger cannot be loaded.", where=self.title, got=str(error)[:200]) from error
        entry = session.get_inputs()[0]
        side = entry.shape[1] if isinstance(entry.shape[1], int) else _SIDE

        def look(image: Image.Image) -> Sequence[Guess]:
            scores = session.run(None, {entry.name: prepared(image, side)[None]})[0][0]
            if len(scores) != len(names):
                raise FileError(
                    "A tagger's list of tags does not belong to it.",
                    where=self.title,
                    got=f"{len(names)} tags",
                    expected=f"{len(scores)}",
                )
            return [
                Guess(name, float(score), category)
                for (name, category), score in zip(names, scores, strict=True)
            ]

        yield look


def find_wd14(folders: Iterable[Path]) -> list[Wd14Tagger]:
    """The models in some folders, themselves or one below."""
    found: dict[Path, Wd14Tagger] = {}
    for folder in folders:
        for model in (*folder.glob(_MODEL), *sorted(folder.glob(f"*/{_MODEL}"))):
            found.setdefault(model.parent.resolve(), Wd14Tagger(model.parent))
    return list(found.values())


def read_tags(path: Path) -> list[tuple[str, Category]]:
    """Names and categories, in the order of the model's answers; categories that are not known count as
    general ones.

    Raises:
        FileError: It is no such list.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
            return [(row["name"], _CATEGORIES.get(row["category"], "general")) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise FileError(
            "A tagger's list of tags cannot be read.",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            expected="columns tag_id, name, category",
        ) from error


def prepared(image: Image.Image, side: int = _SIDE) -> NDArray[numpy.float32]:
    """An RGB image as a model reads it: (side, side, 3) float32 in blue, green, red from 0 to 255."""
    longest = max(image.size)
    square = Image.new("RGB", (longest, longest), (255, 255, 255))
    square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    if longest != side:
        square = square.resize((side, side), Image.Resampling.BICUBIC)
    return numpy.ascontiguousarray(numpy.asarray(square, dtype=numpy.float32)[:, :, ::-1])


def _runtime() -> Any:
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise MissingPackageError(
            "onnxruntime is not installed.", got=str(error), remedy=_INSTALL
        ) from error
