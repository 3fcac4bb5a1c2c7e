"""A base model's file or folder, understood: plan, settings, and the weights under diffusers' names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from lib_lyco.errors import ModelError
from lib_lyco.files.access import reading
from lib_lyco.files.header import read_header
from lib_lyco.files.pickled import is_pickled
from lib_lyco.files.tensors import read_tensors
from lib_lyco.models.base import Prediction
from lib_lyco.models.diagnosis import demand_buildable, demand_same_names, find_family
from lib_lyco.models.folder import read_folder
from lib_lyco.models.plan import ModelPlan, Shapes, read_plan
from lib_lyco.models.settings import Clues, Settings, read_settings
from lib_lyco.models.sources import Part, Source, merged_keys, part_sources

_HEAD_BYTES = 9
_OLD_TEXT_ROOT = "cond_stage_model.transformer."
_TEXT_ROOT = "cond_stage_model.transformer.text_model."
_OLD_TEXT_CHILDREN = ("embeddings.", "encoder.", "final_layer_norm.")


class Weights(Protocol):
    """Where the weights of a base model lie."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...

    def read(self, part: Part, keys: Iterable[str]) -> dict[str, Tensor]:
        """The tensors of a part by their keys.

        Raises:
            FileError: A file cannot be read.
        """
        ...


@dataclass(frozen=True)
class Survey:
    """What a file says before its weights are read."""

    path: Path
    shapes: Shapes
    """By today's spelling of the keys."""
    spelling: dict[str, str]
    """Today's spelling to the file's own."""
    metadata: dict[str, str]
    tensors: dict[str, Tensor] | None
    """A pickled file's tensors, which cannot be read one by one; None for safetensors."""

    def read(self, part: Part, keys: Iterable[str]) -> dict[str, Tensor]:
        """See `Weights.read`."""
        del part  # one file has them all
        names = {key: self.spelling[key] for key in keys}
        tensors = read_tensors(self.path, set(names.values())) if self.tensors is None else self.tensors
        return {key: tensors[name] for key, name in names.items()}


@dataclass(frozen=True)
class Checkpoint:
    """A readable base model. Weights are read part by part, when they are asked for."""

    store: Weights
    plan: ModelPlan
    settings: Settings
    sources: dict[Part, dict[str, Source]] = field(repr=False)

    def weights(self, part: Part, dtype: torch.dtype) -> dict[str, Tensor]:
        """The parameters of one part, by their names in its diffusers or transformers module.

        Raises:
            FileError: The file cannot be read.
            ModelError: A tensor has the wrong shape.
        """
        sources, path = self.sources[part], self.store.path
        tensors = self.store.read(part, {source.key for source in sources.values()})
        return {name: source.fit(tensors[source.key], path, dtype) for name, source in sources.items()}

    @property
    def name(self) -> str:
        """The base model's, as people call it."""
        path = self.store.path
        return path.name if path.is_dir() else path.stem


def open_checkpoint(path: Path, prediction: Prediction | None = None) -> Checkpoint:
    """Understands a base model's file, or its folder in diffusers' layout; of safetensors only headers are
    read.

    Raises:
        FileError: The file cannot be read or is damaged.
        UnsafeFileError: It asks for code to be run.
        ModelError: It is not a whole SD1, SD2 or SDXL base model; the message says what it is.
    """
    if path.is_dir():
        return Checkpoint(*read_folder(path, prediction))
    survey = _look(path)
    family = find_family(survey.shapes, path)
    try:
        plan = read_plan(survey.shapes, family)
    except KeyError as error:
        raise ModelError(
            "The base model lacks a tensor", where=str(path), expected=f"a tensor {error.args[0]}"
        ) from error
    except IndexError as error:
        raise ModelError("The base model has a tensor of too few dims", where=str(path)) from error
    sources = part_sources(plan)
    demand_same_names(survey.shapes, merged_keys(sources), path, family)
    demand_buildable(plan, path)
    settings = read_settings(plan, Clues(path, survey.shapes, survey.metadata), prediction)
    return Checkpoint(survey, plan, settings, sources)


def _look(path: Path) -> Survey:
    with reading(path) as file:
        pickled = is_pickled(file.read(_HEAD_BYTES))
    tensors = read_tensors(path) if pickled else None
    metadata: dict[str, str] = {}
    if tensors is None:
        header = read_header(path)
        shapes, metadata = {key: info.shape for key, info in header.tensors.items()}, header.metadata
    else:
        shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    spelling = {_modern(key): key for key in shapes}
    return Survey(path, {new: shapes[old] for new, old in spelling.items()}, spelling, metadata, tensors)


def _modern(key: str) -> str:
    """Early SD1 files leave `text_model.` out of the text encoder's keys."""
    tail = key.removeprefix(_OLD_TEXT_ROOT)
    return f"{_TEXT_ROOT}{tail}" if tail != key and tail.startswith(_OLD_TEXT_CHILDREN) else key
