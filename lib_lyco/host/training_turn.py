"""A training step's turn on the host's model: alone with it, and afterwards everything as it was.

The host's lock is given back between two steps as soon as somebody waits for it, so that pictures are drawn
meanwhile; while nobody does, nothing is taken off the model and put on again. The lock is fair among those
that wait, but not to them: who gives it back and asks again at once has it again before the one that was
woken. So whoever waits is let in first.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from modules import call_queue, devices, sd_models, sd_unet, shared
from modules.sd_hijack import model_hijack

from lib_lyco.host.engine import Engine
from lib_lyco.host.takeover import find_builtin, quiet
from lib_lyco.host.training_loan import bring_back, is_unloaded, put_away
from lib_lyco.host.training_model import HostTrainingModel
from lib_lyco.studio.workplace import Interrupted, waiting

_PATIENCE, _MOMENT = 0.2, 0.0005
"""Seconds for whoever was woken to take the lock, and between two looks."""


class Gate:
    """The host's lock, and another for those who move the host's model without it (the buttons Unload and
    Load). Whoever leaves lets in who waits."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._movers: deque[object] = deque()

    def enter(self) -> None:
        """Waits for both."""
        call_queue.queue_lock.acquire()
        self._lock.acquire()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for either."""
        return bool(self._movers or getattr(call_queue.queue_lock, "_pending_threads", ()))

    def leave(self) -> None:
        """Gives both back, and waits until whoever waited for the host's lock has it."""
        self._lock.release()
        lock: Any = call_queue.queue_lock
        waiting, inner = self.is_wanted, getattr(lock, "_lock", None)
        lock.release()
        end = time.monotonic() + _PATIENCE
        while waiting and self._is_somebody_left(inner) and time.monotonic() < end:
            time.sleep(_MOMENT)

    def _is_somebody_left(self, inner: Any) -> bool:
        return bool(self._movers) or (inner is not None and not inner.locked())

    @contextmanager
    def moving(self) -> Generator[None]:
        """Within it no run has its turn; for who holds the host's lock, and for who does not."""
        self._movers.append(None)
        self._lock.acquire()
        try:
            yield
        finally:
            self._movers.pop()
            self._lock.release()


class Guest(Protocol):
    """What has the device, and the host's model if it is on that, during a turn."""

    def absence(self) -> str:
        """Why it cannot have them now, as sentences; or ""."""
        ...

    def come(self) -> None:
        """Makes of the host what training needs."""
        ...

    def leave(self) -> None:
        """Makes of the host what it was, also where `come` has failed."""
        ...


class Turns:
    """The turns of one run.

    Args:
        guest: Whom they are for.
        gate: Held during a turn, by whoever moves the host's model without the host's lock as well.
    """

    def __init__(self, guest: Guest, gate: Gate) -> None:
        self._guest = guest
        self._gate = gate
        self._holds = self._is_here = False

    @contextmanager
    def turn(self) -> Generator[None]:
        """See `Place.turn`."""
        self._take()
        try:
            why = self._guest.absence()
            if why:
                raise Interrupted(why)
            self._come()
            with torch.inference_mode(False), torch.enable_grad():
                yield
        finally:
            # who is alone stays: to come and to go takes longer than some steps
            if self._gate.is_wanted:
                self.close()

    @contextmanager
    def aside(self) -> Generator[None]:
        """See `Place.aside`. Where the guest may not come back then, the turn ends without it."""
        self.close()
        try:
            yield
        finally:
            self._take()
            if not self._guest.absence():
                self._come()

    def close(self) -> None:
        """Lets others in."""
        if self._is_here:
            self._is_here = False
            self._guest.leave()
        if self._holds:
            self._holds = False
            self._gate.leave()

    def _take(self) -> None:
        if not self._holds:
            self._gate.enter()
            self._holds = True

    def _come(self) -> None:
        if not self._is_here:
            self._is_here = True
            self._guest.come()


class OwnGuest:
    """A run on a model of its own: the host's is off the device meanwhile."""

    def absence(self) -> str:
        """See `Guest`: the host's model plays no part."""
        return ""

    def come(self) -> None:
        """See `Guest`."""
        put_away(sd_models.model_data.sd_model)

    def leave(self) -> None:
        """See `Guest`."""
        bring_back(sd_models.model_data.sd_model)


class HostGuest:
    """A run on the host's model.

    Args:
        model: The host's model for training.
        owner: The host's model itself.
        engine: Whose networks are on the host's model.
    """

    def __init__(self, model: HostTrainingModel, owner: sd_models.HostModel, engine: Engine) -> None:
        self._presence = model.presence
        self._owner = owner
        self._checkpoint = model.checkpoint
        self._is_fp8 = devices.fp8
        self._engine = engine
        self._kept: _Kept | None = None
        self._presence.leave()

    def absence(self) -> str:
        """See `Guest`."""
        loaded, title = sd_models.model_data.sd_model, self._checkpoint.title
        if loaded is None:
            return waiting(title, "No checkpoint is loaded.")
        if loaded is not self._owner or loaded.sd_checkpoint_info.filename != self._checkpoint.filename:
            other = loaded.sd_checkpoint_info.title
            return waiting(title, f"Another checkpoint was loaded ({other}).")
        if is_unloaded(self._owner):
            return waiting(title, "It was unloaded.")
        if devices.fp8 != self._is_fp8:
            return waiting(title, "It was loaded anew, because FP8 weight was changed.")
        return ""

    def come(self) -> None:
        """See `Guest`."""
        self._kept = _keep()
        make_plain(self._engine)
        self._presence.come_back()

    def leave(self) -> None:
        """See `Guest`."""
        self._presence.leave()
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.put_back()


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
    """Notes how everything is."""
    return _Kept(
        unet=sd_unet.current_unet,
        previews=shared.parallel_processing_allowed,
        hypernetworks=shared.loaded_hypernetworks,
        circular=model_hijack.circular_enabled,
        random=_random(),
    )


def make_plain(engine: Engine) -> None:
    """Makes of the host what training needs, from however a picture has left it."""
    sd_unet.current_unet = None
    # somebody who looks at progress has the latest latents decoded, in another thread
    shared.parallel_processing_allowed = False
    shared.loaded_hypernetworks = []
    model_hijack.apply_circular(False)
    engine.put_away()
    builtin = find_builtin()
    if builtin is not None and builtin.loaded_networks:
        quiet(builtin)


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


def guard_moves(gate: Gate) -> Callable[[], None]:
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


def _guarded(original: Callable[..., Any], gate: Gate) -> Callable[..., Any]:
    def move(*args: Any, **kwargs: Any) -> Any:
        with gate.moving():
            return original(*args, **kwargs)

    return move
