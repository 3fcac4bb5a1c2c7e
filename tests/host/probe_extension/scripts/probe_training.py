"""Test-only: the two providers of base models, the host's own model and the command line's, side by side
in one process, on the same weights."""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (typings/ declares what the extension uses of the host; this uses more)

from typing import Any

import torch
from modules import script_callbacks, shared

PROMPTS = ["a red circle on a blue background", "two (small:1.3) [green] squares, " + "word, " * 60]


def _providers() -> tuple[Any, Any]:
    """The host's model and the same file by diffusers."""
    from lib_lyco.host.training_model import training_model
    from lib_lyco.models.load import load_model

    ours = training_model(shared.sd_model)
    theirs = load_model(shared.sd_model.sd_checkpoint_info.filename, prediction=ours.schedule.prediction)
    return ours, theirs


def _distance(one: Any, other: Any) -> float:
    """The largest difference, relative to the largest value."""
    if one is None or other is None:
        return 0.0 if one is other else 1.0
    one, other = one.detach().float(), other.detach().float()
    assert one.shape == other.shape, (one.shape, other.shape)
    assert float(other.abs().max()) > 0
    return float((one - other).abs().max() / other.abs().max())


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


QUESTIONS = (forward_passes,)


def add_routes(_: Any, app: Any) -> None:
    """POST, arguments in the query."""
    for question in QUESTIONS:
        app.add_api_route(f"/lyco-test/{question.__name__}", question, methods=["POST"])


script_callbacks.on_app_started(add_routes)
