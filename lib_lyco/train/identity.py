"""What decides a run's result: two runs of equal identity train the same network, bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib_lyco.errors import ConfigError
from lib_lyco.files.access import unreadable
from lib_lyco.files.identity import hash_content
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.mask import find_mask
from lib_lyco.train.metadata import BaseFacts
from lib_lyco.train.option import declarations
from lib_lyco.train.options.subset import SubsetOptions
from lib_lyco.train.plan import Plan


def run_identity(config: TrainConfig, plan: Plan, base: BaseFacts) -> dict[str, str]:
    """Name -> value of everything a resumed run must have in common with the one it goes on from.

    Options that the declaration calls `free` are left out; paths are replaced by what lies there, so
    that a run may move to another folder or machine.
    """
    options = {
        declaration.name: json.dumps(getattr(config, declaration.name))
        for declaration in declarations(TrainConfig)
        if not declaration.option.free
    }
    total = {"total steps": str(plan.total_steps)} if config.depends_on_length else {}
    merged = {"merged networks": _contents(config.base_weights)}
    return {**options, **total, **merged, "images": _images(config, plan), "base model": _base(base)}


def _contents(paths: Sequence[str]) -> str:
    """What lies at the paths, in their order.

    Raises:
        FileError: One cannot be read.
    """
    found: list[str] = []
    for path in map(Path, paths):
        try:
            found.append(hash_content(memoryview(path.read_bytes()))[:16])
        except OSError as error:
            raise unreadable(path, error) from error
    return " ".join(found)


def _images(config: TrainConfig, plan: Plan) -> str:
    """A digest of every image's name, size in pixels and bytes, caption, repeats and own options, and
    their number."""
    digest = hashlib.blake2b(digest_size=8)
    shared = {one.name: getattr(config, one.name, one.default) for one in _SUBSET_OPTIONS}
    own = {id(record.subset): _own(record.subset, shared) for record in plan.records}
    for record, repeats in zip(plan.records, plan.order.repeats, strict=True):
        facts = (record.folder, record.path.name, record.path.stat().st_size, record.size)
        digest.update(repr((*facts, record.caption, repeats, *own[id(record.subset)])).encode())
        if record.subset.mask_folder:
            mask = find_mask(Path(record.subset.mask_folder), record)
            digest.update(repr(mask.stat().st_size).encode())
    datasets, turns = [(one.resolution, one.batch_size) for one in plan.datasets], plan.order.turns
    if len(datasets) > 1 or turns:
        digest.update(repr((datasets, plan.order.pools, turns)).encode())
    return f"{len(plan.records)} images, {digest.hexdigest()}"


_SUBSET_OPTIONS = tuple(one for one in declarations(SubsetOptions) if not one.option.free)


def _own(subset: SubsetOptions, shared: Mapping[str, object]) -> tuple[str, ...]:
    """What the subset has that differs from the run."""
    values = {name: getattr(subset, name) for name in shared}
    return tuple(f"{name}={value!r}" for name, value in values.items() if value != shared[name])


def _base(base: BaseFacts) -> str:
    vae = (f"VAE {base.vae.hash[:16]}",) if base.vae else ()
    return " ".join((base.family, base.prediction, base.hash[:16] or base.name, *vae))


def demand_same(found: Mapping[str, str], wanted: Mapping[str, str], where: str) -> None:
    """Refuses a state of another run.

    Args:
        found: Identity in the state. What it does not name had its default when it was written.
        wanted: Identity of this run.
        where: The state's file.

    Raises:
        ConfigError: They differ; the differences are named.
    """
    defaults = {one.name: json.dumps(one.default) for one in declarations(TrainConfig)}
    known = {name: found.get(name, defaults.get(name, "")) for name in wanted}
    differing = [name for name in wanted if known[name] != wanted[name]]
    if differing:
        raise ConfigError(
            f"The state was saved by a run that differs in: {', '.join(differing)}.",
            where=f"resume: {where}",
            got="; ".join(f"{name} {known[name]}" for name in differing),
            expected="; ".join(f"{name} {wanted[name]}" for name in differing),
            remedy="Set them as they were, or start anew without resume.",
        )
