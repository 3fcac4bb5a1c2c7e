"""Test-only: what a run on the host's model leaves as it was, steps disturbed, the cost of a turn."""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (typings/ declares what the extension uses of the host; this uses more)

import hashlib
import statistics
import time
from typing import Any

import numpy as np
import torch
from modules import call_queue, script_callbacks, sd_models, sd_unet, shared
from modules.sd_hijack import model_hijack

ERRORS = {"error": RuntimeError, "memory": torch.cuda.OutOfMemoryError, "key": KeyboardInterrupt}

disturbing: list[Any] = []


def inside() -> dict[str, str]:
    """A digest of each kind of state, taken between two steps; generators as they are."""
    with call_queue.queue_lock:
        model = shared.sd_model
        modules = [(name.replace("wrapped.", ""), module) for name, module in model.named_modules()]
        parameters = sorted((name.replace("wrapped.", ""), one) for name, one in model.named_parameters())
        values = {
            "weights": [(name, _digest(one)) for name, one in sorted(model.state_dict().items())],
            "flags": [(name, one.requires_grad) for name, one in parameters],
            "places": [(name, one.device, one.dtype) for name, one in parameters],
            "modes": [(name, module.training) for name, module in modules],
            "hooks": [
                (name, kind, len(found))
                for name, module in modules
                for kind, found in vars(module).items()
                if kind.endswith("_hooks") and found
            ],
            "forwards": [(name, str(vars(one).get("forward"))) for name, one in modules],
            "attributes": [
                (name, sorted(key for key in vars(one) if key not in ("_non_persistent_buffers_set",)))
                for name, one in modules
            ],
            "classes": [str(type(one).forward) for _, one in modules],
            "schedule": [_digest(model.alphas_cumprod)],
            "host": [
                str(sd_unet.current_unet),
                shared.parallel_processing_allowed,
                len(shared.loaded_hypernetworks),
                model_hijack.circular_enabled,
                model_hijack.optimization_method,
                shared.state.job,
                shared.state.job_count,
                shared.opts.sd_model_checkpoint,
                shared.opts.CLIP_stop_at_last_layers,
                getattr(shared.cmd_opts, "no_prompt_history", None),
                len(sd_models.model_data.loaded_sd_models),
            ],
        }
        return {kind: hashlib.sha256(repr(value).encode()).hexdigest() for kind, value in values.items()}


def chance() -> dict[str, str]:
    """The generators that pictures and other extensions may draw from."""
    return {
        "torch": _digest(torch.get_rng_state()),
        "numpy": hashlib.sha256(repr(np.random.get_state()).encode()).hexdigest(),
    }


def _digest(tensor: torch.Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(raw.numpy().tobytes()).hexdigest()


def disturb_step(call: int, how: str, times: int = 1) -> None:
    """An error at the denoiser's calls with these numbers, counted from now."""
    unet = shared.sd_model.model.diffusion_model
    calls = iter(range(1, call + times))

    def hook(*_: Any) -> None:
        number = next(calls)
        if number == call + times - 1:
            handle.remove()
        if number >= call:
            raise ERRORS[how]("probe: an error in mid-step")

    handle = unet.register_forward_pre_hook(hook)
    disturbing.append(handle)


def calm() -> None:
    """No more errors, where a run has ended before the last."""
    while disturbing:
        disturbing.pop().remove()


def interrupt() -> None:
    """The user's Interrupt."""
    shared.state.interrupt()


def turn_cost(images: str, output: str, rounds: int = 20) -> dict[str, float]:
    """Milliseconds of an empty turn of a run on text encoder and denoiser, median: while nobody waits, and
    where somebody is let in after it; its layers."""
    from lib_lyco.host.training_model import training_model
    from lib_lyco.host.training_turn import Gate, HostGuest, Turns
    from lib_lyco.train.config import make_config
    from lib_lyco.train.network import TrainableNetwork
    from lib_lyco.train.run import train

    options = {
        "images": images,
        "output": output,
        "name": "cost",
        "overwrite": True,
        "resolution": [64, 64],
    }
    options |= {"bucket_min": 64, "bucket_max": 64, "conv_rank": 2}
    config = make_config(options)
    app = _app()
    model = training_model(shared.sd_model)
    model.presence.leave()
    with model.opened():
        turns = Turns(HostGuest(model, shared.sd_model, app.engine), Gate())
        events: Any = train(config, model)
        with turns.turn():
            next(events)
        taken: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * rounds):
            somebody = bool(number % 2)
            if somebody:
                turns.close()
            begun = time.thread_time()
            with turns.turn():
                pass
            if somebody:
                turns.close()
            taken[somebody].append(1e3 * (time.thread_time() - begun))
            with turns.turn():
                pass
        network = model.presence.find(TrainableNetwork)
        with turns.turn():
            events.close()
        turns.close()
    medians = {"alone": statistics.median(taken[False]), "beside": statistics.median(taken[True])}
    return {**medians, "layers": float(len(network.layers) if network else 0)}


def _app() -> Any:
    """The running extension, by its entry in the host's registry of tags."""
    from modules import extra_networks

    return extra_networks.extra_network_registry["lyco"]._app


QUESTIONS = (inside, chance, disturb_step, calm, interrupt, turn_cost)


def add_routes(_: Any, app: Any) -> None:
    """POST, arguments in the query."""
    for question in QUESTIONS:
        app.add_api_route(f"/lyco-test/{question.__name__}", question, methods=["POST"])


script_callbacks.on_app_started(add_routes)
