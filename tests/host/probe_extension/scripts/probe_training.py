"""Test-only: the two providers of base models, the host's own model and the command line's, side by side
in one process, on the same weights."""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (typings/ declares what the extension uses of the host; this uses more)

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from modules import devices, script_callbacks, shared

PROMPTS = ["a red circle on a blue background", "two (small:1.3) [green] squares, " + "word, " * 60]


def _providers() -> tuple[Any, Any]:
    """The host's model and the same file by diffusers."""
    from lib_lyco.host.training_model import training_model
    from lib_lyco.models.load import load_model

    ours = training_model(shared.sd_model)
    theirs = load_model(shared.sd_model.sd_checkpoint_info.filename, prediction=ours.schedule.prediction)
    return ours, theirs


def _distance(one: Any, other: Any, least: float = 0.0) -> float:
    """The largest difference, relative to the largest value, or to `least`."""
    if one is None or other is None:
        return 0.0 if one is other else 1.0
    one, other = one.detach().float(), other.detach().float()
    assert one.shape == other.shape, (one.shape, other.shape)
    largest = max(float(other.abs().max()), least)
    assert largest > 0
    return float((one - other).abs().max()) / largest


def forward_passes() -> dict[str, float]:
    """The largest relative differences of conds, latents, pictures, predictions and schedules."""
    from lib_lyco.models.base import SizeCond, TextStyle

    ours, theirs = _providers()
    found: dict[str, float] = {}
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, 4, 8, 16, generator=generator)
    images = torch.rand(2, 3, 64, 128, generator=generator) * 2 - 1
    timesteps = torch.tensor([3, 977])
    pairs = torch.tensor([[[600, 1024]], [[17, 0]], [[64, 128]]]).expand(3, 2, 2)
    size = SizeCond(*pairs) if ours.family == "sdxl" else None
    styles = {
        "plain": TextStyle(),
        "webui": TextStyle(weights="webui"),
        "kohya": TextStyle(chunks="kohya", weights="kohya", max_tokens=150),
    }
    with torch.no_grad(), ours.opened():
        for name, style in styles.items():
            for skip in (1,) if ours.family == "sdxl" else (1, 2):
                conds = [model.encode_prompts(PROMPTS, skip, style) for model in (ours, theirs)]
                found[f"states {name} {skip}"] = _distance(conds[0].states, conds[1].states)
                found[f"pooled {name} {skip}"] = _distance(conds[0].pooled, conds[1].pooled)
        if ours.family == "sdxl":
            conds = [model.encode_prompts(PROMPTS, second=["a", "b"]) for model in (ours, theirs)]
            found["second"] = _distance(conds[0].states, conds[1].states)
        for chance in (None, 7):
            latents = [
                model.encode_images(images, None if chance is None else generator.manual_seed(chance))
                for model in (ours, theirs)
            ]
            found[f"latents {chance}"] = _distance(*latents)
        found["pictures"] = _distance(*(model.decode_latents(noisy) for model in (ours, theirs)))
        cond = theirs.encode_prompts(PROMPTS)
        for name, asked in (("size", size), ("no size", None)):
            predicted = [model.predict(noisy, timesteps, cond, asked) for model in (ours, theirs)]
            found[f"prediction, {name}"] = _distance(*predicted)
        found["schedule"] = _distance(ours.schedule.alphas_cumprod, theirs.schedule.alphas_cumprod)
    found["same kind"] = float(
        (ours.family, ours.name, ours.schedule.prediction)
        == (theirs.family, theirs.name, theirs.schedule.prediction)
    )
    return found


def _state() -> list[tuple[Any, ...]]:
    """Everything in the host's modules that training may not leave changed."""
    return [
        (
            module.training,
            "forward" in vars(module),
            len(vars(module)["_forward_hooks"]) + len(vars(module)["_forward_pre_hooks"]),
            *(
                (one.requires_grad, one.data_ptr(), one._version)
                for one in module.parameters(recurse=False)
            ),
        )
        for module in shared.sd_model.modules()
    ]


def _learned(model: Any, config: Any, checkpointing: bool) -> tuple[float, dict[str, Any]]:
    """The loss of one batch, and the gradients of a network whose weights are drawn by chance."""
    from lib_lyco.models.base import SizeCond
    from lib_lyco.train.compose.network import make_network
    from lib_lyco.train.objective import Batch, Objective, diffusion_loss
    from lib_lyco.train.prepare import prepared

    generator = torch.Generator().manual_seed(1)
    network = make_network(config, model)
    state = network.state()
    drawn = {key: torch.randn(state[key].shape, generator=generator) for key in sorted(state)}
    network.load({key: state[key] if state[key].dim() == 0 else 0.1 * drawn[key] for key in state})
    latents = torch.randn(2, 4, 8, 16, generator=generator)
    pairs = torch.tensor([[[600, 1024]], [[17, 0]], [[64, 128]]]).expand(3, 2, 2)
    with torch.enable_grad(), prepared(model, checkpointing), network:
        batch = Batch(
            latents=latents,
            cond=model.encode_prompts(PROMPTS),
            size=SizeCond(*pairs) if model.family == "sdxl" else None,
            loss_weight=torch.tensor([1.0, 0.5]),
        )
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        loss = diffusion_loss(Objective(), model, batch, generators)
        loss.backward()
    gradients = {
        f"{layer.layer}/{name}": parameter.grad
        for layer in network
        for name, parameter in layer.module.named_parameters()
        if parameter.grad is not None  # nothing reads the last layer of SDXL's first text encoder
    }
    return float(loss), gradients


def learning(algo: str, checkpointing: bool) -> dict[str, Any]:
    """How far the loss and the gradients of the two providers are apart, and what is left behind."""
    from lib_lyco.train.config import make_config

    config = make_config({"algo": algo, "rank": 4, "conv_rank": 2, "images": "unused", "output": "unused"})
    ours, theirs = _providers()
    before, weights = _state(), digest()
    with ours.opened():
        loss, gradients = _learned(ours, config, checkpointing)
        ours.presence.leave()
        lent = _state() == before
        ours.presence.come_back()
    expected_loss, expected = _learned(theirs, config, checkpointing=False)
    # a norm of one channel per group takes out what the time adds: such gradients are rounding alone
    least = 1e-4 * max(float(found.abs().max()) for found in expected.values())
    distances = {name: _distance(gradients[name], found, least) for name, found in expected.items()}
    worst = max(distances, key=lambda name: distances[name])
    return {
        "loss": abs(loss / expected_loss - 1),
        "same layers": gradients.keys() == expected.keys(),
        "layers": len({name.rpartition("/")[0] for name in expected if name.startswith("unet")}),
        "text layers": len({name.rpartition("/")[0] for name in expected if name.startswith("te")}),
        "worst": [worst, distances[worst]],
        "intact": lent and _state() == before and digest() == weights,
    }


def choices() -> dict[str, int]:
    """How many layers the two providers choose for each preset; -1 where they are not the same."""
    from lib_lyco.train.layer_choice import LayerChoice
    from lib_lyco.train.preset import BUILT_IN

    ours, theirs = _providers()
    found: dict[str, int] = {}
    for preset in ("", *BUILT_IN):
        choice = LayerChoice(components=("unet", "te1", "te2"), conv=True, preset=preset, train_norm=True)
        chosen = [set(choice.choose(model.targets(), model.family)) for model in (ours, theirs)]
        found[preset] = len(chosen[0]) if chosen[0] == chosen[1] else -1
    return found


@contextmanager
def _in_half() -> Generator[None]:
    """The host's model as it is without --no-half, in the half precision that this torch's CPU knows."""
    before = [(one, one.data) for one in shared.sd_model.parameters()]
    dtype = devices.dtype_unet
    for parameter, data in before:
        parameter.data = data.to(torch.bfloat16)
    devices.dtype_unet = torch.bfloat16
    try:
        yield
    finally:
        devices.dtype_unet = dtype
        for parameter, data in before:
            parameter.data = data


def half_precision() -> dict[str, Any]:
    """The two providers with weights in bfloat16 and layers in float32."""
    from lib_lyco.host.training_model import training_model
    from lib_lyco.models.load import load_model
    from lib_lyco.train.config import make_config
    from lib_lyco.train.precision import make_precision

    config = make_config({"rank": 4, "images": "unused", "output": "unused"})
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with _in_half():
        ours, before = training_model(shared.sd_model), _state()
        kind, file = ours.schedule.prediction, shared.sd_model.sd_checkpoint_info.filename
        theirs = load_model(file, dtype=torch.bfloat16, prediction=kind)
        with make_precision("bf16", ours.device, ours.dtype).context():
            with ours.opened():
                loss, gradients = _learned(ours, config, checkpointing=True)
            expected, others = _learned(theirs, config, checkpointing=False)
        with torch.no_grad():
            latents = [model.encode_images(images) for model in (ours, theirs)]
        return {
            "loss": abs(loss / expected - 1),
            "gradients": _cosine(gradients, others),
            "dtypes": sorted({str(found.dtype) for found in gradients.values()}),
            "latents": [str(latents[0].dtype), _distance(latents[0], latents[1])],
            "intact": _state() == before,
        }


def _cosine(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Of the angle between all gradients of each."""
    first, second = (torch.cat([found[name].flatten() for name in sorted(other)]) for found in (one, other))
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


def digest() -> str:
    """Of every weight and buffer of the model."""
    state = hashlib.sha256()
    for _, value in sorted(shared.sd_model.state_dict().items()):
        state.update(value.detach().cpu().numpy().tobytes())
    return state.hexdigest()


def trained_bases() -> dict[str, Any]:
    """What may be trained on."""
    from lib_lyco.host.training_base import bases
    from lib_lyco.host.training_hollow import HollowModels

    found = bases(HollowModels())
    return {"loaded": found[0].title, "family": found[0].family, "names": [one.name for one in found]}


def opened(name: str) -> dict[str, Any]:
    """A base model opened for a run, and what the host has before, within and after it."""
    from lib_lyco.errors import LycoError
    from lib_lyco.host.training_base import opened_base
    from lib_lyco.train.config import make_config

    config = make_config({"base_model": name, "images": "unused", "output": "unused"})
    found: dict[str, Any] = {"before": _in_use()}
    try:
        with opened_base(config) as model:
            found |= {"within": _in_use(), "kind": type(model).__name__, "family": model.family}
    except LycoError as error:
        found["refused"] = str(error)
    return found | {"after": _in_use()}


def _in_use() -> list[Any]:
    model = shared.sd_model
    states = (
        [module.training for module in model.modules()],
        [one.requires_grad for one in model.parameters()],
    )
    return [model.sd_checkpoint_info.title, shared.opts.sd_model_checkpoint, digest(), repr(states)]


def obstacles() -> dict[str, str]:
    """Why the loaded model cannot be trained on, as it is and after what users do."""
    from modules import sd_unet

    from lib_lyco.host.training_base import why_not

    model = shared.sd_model
    found = {"nothing": why_not(model)}
    for holder, name, value in (
        (model, "lowvram", True),
        (devices, "fp8", True),
        (sd_unet, "current_unet", object()),
        (model, "parameterization", "x0"),
    ):
        before = getattr(holder, name)
        setattr(holder, name, value)
        found[name] = why_not(model)
        setattr(holder, name, before)
    return found


def forecasts(images: str, checkpointing: bool, precision: str) -> list[dict[str, Any]]:
    """What the two providers foretell of a run's memory."""
    from pathlib import Path

    from lib_lyco.host.training_hollow import HollowModels
    from lib_lyco.train.compose.forecast import forecast_on, make_forecast
    from lib_lyco.train.config import make_config

    options = {
        "images": images,
        "output": images,
        "conv_rank": 2,
        "resolution": [128, 128],
        "bucket_min": 64,
    }
    options |= {"gradient_checkpointing": checkpointing, "precision": precision}
    config, hollow = make_config(options), HollowModels()
    before, cpu = _state(), torch.device("cpu")
    open_model: Any = hollow.of_loaded  # None while somebody holds the lock: nobody does here
    told = [
        forecast_on(config, open_model, cpu),
        make_forecast(config, Path(shared.sd_model.sd_checkpoint_info.filename), cpu),
    ]
    assert _state() == before
    return [
        {"remarks": [str(remark) for remark in one.remarks]}
        | (
            {
                name: getattr(one.memory, name)
                for name in ("weights", "adapters", "optimiser", "activations")
            }
        )
        for one in told
    ]


QUESTIONS = (forecasts, choices, forward_passes, learning, half_precision, trained_bases, opened, obstacles)


def add_routes(_: Any, app: Any) -> None:
    """POST, arguments in the query."""
    for question in QUESTIONS:
        app.add_api_route(f"/lyco-test/{question.__name__}", question, methods=["POST"])


script_callbacks.on_app_started(add_routes)
