"""A training step's turn on the host's model: alone with it, and afterwards everything as it was.

The host's lock is taken for each turn and given back between two, so that pictures are drawn meanwhile. It
is fair among those that wait, but not to them: who gives it back and asks again at once has it again
before the one that was woken. So whoever waits is let in first.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from modules import call_queue, devices, sd_models, sd_unet, shared
from modules.sd_hijack import model_hijack

from lib_lyco.host.engine import Engine
from lib_lyco.host.takeover import find_builtin, quiet
from lib_lyco.host.training_model import HostTrainingModel
from lib_lyco.studio.workplace import Interrupted

_PATIENCE, _MOMENT = 0.2, 0.0005
"""Seconds for whoever was woken to take the lock, and between two looks."""


class OwnTurns:
    """The turns of a run on a model of its own; the host's waits on the CPU while nobody draws with it.

    Args:
        gate: See `Turns`.
    """

    def __init__(self, gate: threading.RLock) -> None:
        self._gate = gate
        self._is_away = True

    @contextmanager
    def turn(self) -> Generator[None]:
        """See `Place.turn`."""
        self._take()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                yield
        finally:
            self._give()

    @contextmanager
    def aside(self) -> Generator[None]:
        """See `Place.aside`."""
        self._bring_back()
        self._give()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        _acquire(self._gate)
        model = sd_models.model_data.sd_model
        if model is not None and not self._is_away:
            sd_models.send_model_to_cpu(model)
            self._is_away = True

    def _give(self) -> None:
        if _is_somebody_waiting():
            self._bring_back()
        _release(self._gate)

    def _bring_back(self) -> None:
        model = sd_models.model_data.sd_model
        if model is not None and self._is_away:
            sd_models.send_model_to_device(model)
            self._is_away = False


class Turns:
    """The turns of one run on the host's model.

    Args:
        model: The host's model for training.
        owner: The host's model itself.
        engine: Whose networks are on the host's model.
        gate: Held during a turn, by whoever moves the model without the host's lock as well.
    """

    def __init__(
        self, model: HostTrainingModel, owner: sd_models.HostModel, engine: Engine, gate: threading.RLock
    ) -> None:
        self._presence = model.presence
        self._model = model
        self._owner = owner
        self._file = owner.sd_checkpoint_info.filename
        self._engine = engine
        self._gate = gate
        self._kept: _Kept | None = None
        self._presence.leave()

    @contextmanager
    def turn(self) -> Generator[None]:
        """See `Place.turn`."""
        _acquire(self._gate)
        try:
            self._demand_model()
            self._begin()
            with torch.inference_mode(False), torch.enable_grad():
                yield
        finally:
            self._end()
            _release(self._gate)

    @contextmanager
    def aside(self) -> Generator[None]:
        """See `Place.aside`. Where the model is gone then, the turn ends without it."""
        self._end()
        _release(self._gate)
        try:
            yield
        finally:
            _acquire(self._gate)
            if not self.absence():
                self._begin()

    def absence(self) -> str:
        """Why the model cannot be trained on now; or ""."""
        loaded = sd_models.model_data.sd_model
        name = self._owner.sd_checkpoint_info.title if loaded is self._owner else self._file
        if loaded is None:
            return "No checkpoint is loaded. Load the one that the run is on, then resume."
        if loaded is not self._owner or self._owner.sd_checkpoint_info.filename != self._file:
            other = loaded.sd_checkpoint_info.title
            return f"Another checkpoint was loaded ({other}). Load the run's ({self._file}), then resume."
        if self._model.device.type != torch.device(devices.device).type:
            return f"The checkpoint {name} was unloaded. Load it again (Settings, Actions), then resume."
        if devices.fp8:
            return "The WebUI now keeps weights in 8 bits (FP8 weight). Switch that off, then resume."
        return ""

    def _demand_model(self) -> None:
        why = self.absence()
        if why:
            raise Interrupted(why)

    def _begin(self) -> None:
        self._kept = _keep()
        self._engine.put_away()
        builtin = find_builtin()
        if builtin is not None and builtin.loaded_networks:
            quiet(builtin)
        self._presence.come_back()

    def _end(self) -> None:
        self._presence.leave()
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.put_back()


def _acquire(gate: threading.RLock) -> None:
    call_queue.queue_lock.acquire()
    gate.acquire()


def _release(gate: threading.RLock) -> None:
    """Gives the host's lock back, and waits until whoever waited for it has it."""
    gate.release()
    lock: Any = call_queue.queue_lock
    waiting, inner = _is_somebody_waiting(), getattr(lock, "_lock", None)
    lock.release()
    end = time.monotonic() + _PATIENCE
    while waiting and inner is not None and not inner.locked() and time.monotonic() < end:
        time.sleep(_MOMENT)


def _is_somebody_waiting() -> bool:
    return bool(getattr(call_queue.queue_lock, "_pending_threads", ()))


@dataclass(frozen=True)
class _Kept:
    """What of the host, and of the process, is another during a turn."""

    unet: Any
    """A stand-in for the host's UNet (TensorRT)."""
    previews: bool
    hypernetworks: list[Any]
    circular: bool
    random: tuple[Any, ...]

    def put_back(self) -> None:
        """Makes everything what it was."""
        sd_unet.current_unet = self.unet
        shared.parallel_processing_allowed = self.previews
        shared.loaded_hypernetworks = self.hypernetworks
        model_hijack.apply_circular(self.circular)
        _set_random(self.random)


def _keep() -> _Kept:
    """Notes how everything is, and makes it what training needs."""
    kept = _Kept(
        unet=sd_unet.current_unet,
        previews=shared.parallel_processing_allowed,
        hypernetworks=shared.loaded_hypernetworks,
        circular=model_hijack.circular_enabled,
        random=_random(),
    )
    sd_unet.current_unet = None
    # somebody who looks at progress has the latest latents decoded, in another thread
    shared.parallel_processing_allowed = False
    shared.loaded_hypernetworks = []
    model_hijack.apply_circular(False)
    return kept


def _random() -> tuple[Any, ...]:
    """The states of all generators that somebody may draw from."""
    gpu = torch.cuda.get_rng_state(devices.device) if devices.device.type == "cuda" else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpu


def _set_random(state: tuple[Any, ...]) -> None:
    python, numpy, cpu, gpu = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if gpu is not None:
        torch.cuda.set_rng_state(gpu, devices.device)


def guard_moves(gate: threading.RLock) -> Callable[[], None]:
    """Lets nobody move the host's model in a turn, not even who takes no lock (the buttons Unload, Load).

    Returns:
        What takes this back.
    """
    names = ("send_model_to_cpu", "send_model_to_device")
    module: Any = sd_models
    originals = {name: getattr(module, name) for name in names}
    wrapped = {name: _guarded(original, gate) for name, original in originals.items()}

    def undo() -> None:
        for name, original in originals.items():
            if getattr(module, name) is wrapped[name]:
                setattr(module, name, original)

    for name, function in wrapped.items():
        setattr(module, name, function)
    return undo


def _guarded(original: Callable[..., Any], gate: threading.RLock) -> Callable[..., Any]:
    def move(*args: Any, **kwargs: Any) -> Any:
        with gate:
            return original(*args, **kwargs)

    return move
