"""A network file on disk: exported, written beside its place, reloaded, compared, then put there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from lib_lyco.errors import ConfigError, FileError
from lib_lyco.files.hashes import kohya_hash, kohya_legacy_hash
from lib_lyco.files.save import save_tensors
from lib_lyco.files.tensors import read_tensors
from lib_lyco.naming.layer import Family
from lib_lyco.network.load import load_network
from lib_lyco.train.export import compare, export_tensors
from lib_lyco.train.network import TrainableNetwork

Metadata = Callable[[int, int], Mapping[str, str]]
"""(step, epoch) -> a file's metadata without its hashes."""
NO_NOTES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Saver:
    """Writes the network of a run."""

    folder: Path
    name: str
    network: TrainableNetwork
    family: Family
    dtype: torch.dtype
    metadata: Metadata
    resumed: bool = False
    """Whether a numbered file that is there already is kept: it may be this run's own, from before."""

    @property
    def beside(self) -> Saver:
        """Writes the moving average: the same under another name."""
        return replace(self, name=f"{self.name}-ema")

    def demand_free(self) -> None:
        """Demands that no file of this name is there, which a new run would replace.

        Raises:
            ConfigError: One is.
        """
        pattern = re.compile(rf"{re.escape(self.name)}(-\d{{6}}|-step\d{{8}})?\.safetensors")
        places = self.folder.iterdir() if self.folder.is_dir() else ()
        there = sorted(path.name for path in places if pattern.fullmatch(path.name))
        if there:
            raise ConfigError(
                "The folder has files of this name already; a new run would replace them.",
                where="name",
                got=f"{', '.join(there[:3])}{' ...' if len(there) > 3 else ''} in {self.folder}",
                expected="a name that is free",
                remedy="Choose another name, go on from the last state (resume = auto), or set overwrite.",
            )

    def remove(self, suffix: str) -> None:
        """Removes an older file, if it is there and can be removed."""
        with suppress(OSError):  # held by another program: one file too many does no harm
            (self.folder / f"{self.name}{suffix}.safetensors").unlink(missing_ok=True)

    def save(self, suffix: str, step: int, epoch: int, notes: Mapping[str, str] = NO_NOTES) -> Path:
        """Writes `{name}{suffix}.safetensors`; a file of that name is replaced only by a good one.

        A resumed run replaces no numbered file: one that holds the same tensors is left as it is,
        beside another the new file gets a further number.

        Args:
            suffix: Of its name.
            step: Steps done.
            epoch: Epochs begun.
            notes: Further metadata.

        Raises:
            FileError: The disk is full or the folder cannot be written; old files are untouched.
            TrainingError: The written file does not do what was trained; old files are untouched.
        """
        path = self.folder / f"{self.name}{suffix}.safetensors"
        tensors = export_tensors(self.network, self.family, self.dtype)
        if self.resumed and suffix:
            number = 2
            while path.exists():
                if _holds(path, tensors):
                    return path
                path = self.folder / f"{self.name}{suffix}-{number}.safetensors"
                number += 1
        unchecked = path.with_name(f".{path.stem}.unchecked{path.suffix}")
        try:
            self._write(unchecked, tensors, {**self.metadata(step, epoch), **notes})
            compare(self.network, load_network(unchecked), self.dtype)
            os.replace(unchecked, path)
        except OSError as error:
            raise FileError(
                "The network cannot be put in its place.",
                where=str(path),
                got=str(error),
                remedy="Close programs that hold the file, then save again.",
            ) from error
        finally:
            with suppress(OSError):  # the write's own error is the one to tell
                unchecked.unlink(missing_ok=True)
        return path

    def write_unchecked(self, path: Path) -> None:
        """Writes the network as it would be saved, for use at once.

        Raises:
            FileError: The disk is full or the folder cannot be written.
        """
        self._write(path, export_tensors(self.network, self.family, self.dtype), self.metadata(0, 0))

    def _write(self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        hashes = {
            "sshs_model_hash": kohya_hash(tensors),
            "sshs_legacy_hash": kohya_legacy_hash(tensors, metadata),
        }
        save_tensors(path, tensors, {**metadata, **hashes})


def _holds(path: Path, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file holds exactly these tensors."""
    try:
        found = read_tensors(path)
    except FileError:
        return False
    return found.keys() == tensors.keys() and all(
        found[key].dtype == tensor.dtype and torch.equal(found[key], tensor)
        for key, tensor in tensors.items()
    )


def epoch_suffix(epoch: int) -> str:
    """kohya's suffix of a file saved after an epoch (from 1)."""
    return f"-{epoch:06d}"


def step_suffix(step: int) -> str:
    """kohya's suffix of a file saved after a step (from 1)."""
    return f"-step{step:08d}"
