"""Test-only extension: answers questions about the inside of the host, under /lyco-test/.

It runs in the real WebUI and in the stand-in alike, so an answer means the same in both.
"""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (typings/ declares what the extension uses of the host; this uses more)

import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
from modules import extra_networks, infotext_utils, processing, script_callbacks, scripts, shared
from safetensors.torch import load_file, save_file

open_clip = sys.modules.get("open_clip")
if open_clip is not None:  # the WebUI's text encoders of SD2 and SDXL, small
    open_clip.add_model_config(Path(__file__).parents[1] / "open_clip")


class Probe(scripts.Script):
    """Keeps what the API does not tell."""

    comments = ""
    prompts = ""

    def title(self) -> str:
        return "probe"

    def show(self, is_img2img: bool) -> Any:
        del is_img2img
        return scripts.AlwaysVisible

    def before_process_batch(self, p: Any, *args: Any, prompts: list[str], **kwargs: Any) -> None:
        """Writes prompts as extensions with wildcards do: into the batch's list, and nowhere else."""
        del p, args, kwargs
        if Probe.prompts:
            prompts[:] = Probe.prompts.split("|")

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """The lines below the picture."""
        del p, args
        Probe.comments = processed.comments
        Probe.prompts = ""


def comments() -> dict[str, str]:
    """What the last picture's comment says."""
    return {"text": Probe.comments}


def write_prompts(prompts: str) -> None:
    """Has the next job's batches drawn from these, separated by |."""
    Probe.prompts = prompts


def add_style(name: str, prompt: str) -> None:
    """A style of the user's, as its editor makes one."""
    from modules.styles import PromptStyle

    shared.prompt_styles.styles[name] = PromptStyle(name, prompt, "", None)


def batch(prompt: str, folder: str) -> list[str]:
    """The tab Batch of img2img over a folder: its pictures' infotexts."""
    from modules import call_queue, img2img
    from modules.api.api import Api

    made: Any = processing.StableDiffusionProcessingImg2Img
    p = made(sd_model=shared.sd_model, prompt=prompt, init_images=[None], steps=4, width=64, height=64)
    p.scripts = scripts.scripts_img2img
    p.script_args = Api.init_default_script_args(None, p.scripts)
    p.do_not_save_samples = p.do_not_save_grid = True
    with call_queue.queue_lock:
        shared.state.begin()
        found = img2img.process_batch(p, folder, "", "", p.script_args)
        shared.state.end()
    return found.infotexts


def digest() -> dict[str, str]:
    """Of every weight and buffer of the model."""
    state = hashlib.sha256()
    for name, value in sorted(shared.sd_model.state_dict().items()):
        state.update(name.replace("wrapped.", "").encode())
        state.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return {"sha256": state.hexdigest()}


def weights(file: str, base: str = "") -> None:
    """Writes what the text encoders and the denoiser hold; only what differs from `base`, if that is given.

    Args:
        file: The .safetensors file to write.
        base: One that was written so before.
    """
    before = load_file(base) if base else {}
    found: dict[str, torch.Tensor] = {}
    for name, value in shared.sd_model.state_dict().items():
        key = name.replace("wrapped.", "")
        # SDXL's text encoders have two names
        if key.startswith(("first_stage_model.", "cond_stage_model.embedders.")):
            continue
        if key not in before or not torch.equal(before[key], value):
            found[key] = value.detach().cpu().clone()
    save_file(found, file)


def grad() -> dict[str, Any]:
    """A forward pass of the text encoder and the denoiser with gradients, and back."""
    unet = shared.sd_model.model.diffusion_model
    shape = (1, unet.input_blocks[0][0].in_channels, 8, 8)
    with torch.enable_grad():
        text = shared.sd_model.cond_stage_model(["a red circle"])
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        out = unet(noise, timesteps=torch.tensor([500]), context=text.detach())
        gradients = torch.autograd.grad(out.float().square().sum(), [unet.out[2].weight])
    return {"finite": bool(torch.isfinite(gradients[0]).all())}


def ours() -> dict[str, list[str]]:
    """Everything of the extension that sits in torch's classes or in the model's modules."""
    classes = [
        f"{kind.__name__}.{name}"
        for kind in vars(torch.nn).values()
        if isinstance(kind, type)
        for name, value in vars(kind).items()
        if str(getattr(value, "__module__", "")).startswith("lib_lyco")
    ]
    hooks: list[str] = []
    for name, module in shared.sd_model.named_modules():
        for kind in ("_forward_hooks", "_forward_pre_hooks"):
            for hook in vars(module)[kind].values():
                owner = getattr(hook, "__module__", None) or type(getattr(hook, "func", hook)).__module__
                hooks += [name] if str(owner).startswith("lib_lyco") else []
        forward = vars(module).get("forward")
        hooks += [name] if str(getattr(forward, "__module__", "")).startswith("lib_lyco") else []
    return {"classes": classes, "hooks": hooks}


def disturb(call: int, how: str) -> None:
    """At the denoiser's call with this number, counted from now: an error, or the user's Interrupt."""
    unet = shared.sd_model.model.diffusion_model
    calls = iter(range(call))

    def hook(*_: Any) -> None:
        if next(calls, None) is None:
            handle.remove()
            if how == "interrupt":
                shared.state.interrupt()
            else:
                raise RuntimeError("probe: an error in mid-sampling")

    handle = unet.register_forward_pre_hook(hook)


def builtin() -> dict[str, list[str]]:
    """What the builtin Lora has loaded."""
    networks = sys.modules.get("networks")
    return {"loaded": [network.name for network in getattr(networks, "loaded_networks", [])]}


def owners() -> dict[str, Any]:
    """Which package serves each kind of tag, and the names of the card pages."""
    from modules import ui_extra_networks

    kinds = {**extra_networks.extra_network_aliases, **extra_networks.extra_network_registry}
    return {
        "tags": {kind: type(network).__module__ for kind, network in kinds.items()},
        "pages": [page.name for page in ui_extra_networks.extra_pages],
    }


def cached() -> dict[str, int]:
    """How many of the four cond caches hold something."""
    kinds = (processing.StableDiffusionProcessing, processing.StableDiffusionProcessingTxt2Img)
    caches = [
        vars(kind).get(name)
        for kind in kinds
        for name in ("cached_c", "cached_uc", "cached_hr_c", "cached_hr_uc")
    ]
    return {"filled": sum(cache is not None and cache[0] is not None for cache in caches)}


def pasted(infotext: str) -> dict[str, Any]:
    """The parameters after everybody has heard of the paste."""
    parameters = infotext_utils.parse_generation_parameters(infotext, [])
    script_callbacks.infotext_pasted_callback(infotext, parameters)
    return {key: value for key, value in parameters.items() if isinstance(value, str)}


def axes() -> list[dict[str, Any]]:
    """X/Y/Z's axes in the order of their numbers in txt2img."""
    (module,) = {
        data.module for data in scripts.scripts_data if data.script_class.__module__ == "xyz_grid.py"
    }
    found = [axis for axis in module.axis_options if not getattr(axis, "is_img2img", False)]
    return [{"label": axis.label, "choices": axis.choices is not None} for axis in found]


def embeddings() -> dict[str, list[str]]:
    """The words that have vectors of their own."""
    from modules.sd_hijack import model_hijack

    return {"words": sorted(model_hijack.embedding_db.word_embeddings)}


def labels() -> dict[str, str]:
    """Every setting's label."""
    return {key: option.label for key, option in shared.opts.data_labels.items()}


def set_text(key: str, value: str) -> None:
    """Changes a setting that the API may not change."""
    shared.opts.set(key, value)


def reload_ui() -> None:
    """The button in the footer."""
    shared.state.request_restart()


QUESTIONS = (
    comments,
    write_prompts,
    add_style,
    batch,
    digest,
    weights,
    grad,
    ours,
    disturb,
    builtin,
    owners,
    cached,
    pasted,
    axes,
    embeddings,
    labels,
    set_text,
    reload_ui,
)


def add_routes(_: Any, app: Any) -> None:
    """POST, arguments in the query."""
    for question in QUESTIONS:
        app.add_api_route(f"/lyco-test/{question.__name__}", question, methods=["POST"])


script_callbacks.on_app_started(add_routes)
