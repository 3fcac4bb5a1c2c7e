"""Sample pictures of a run, by the host's own sampler: what "Send to txt2img" makes of one is the same."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from modules import devices, sd_models, shared
from modules.processing import StableDiffusionProcessingTxt2Img, process_images
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_lyco.errors import FileError, LycoError, TrainingError
from lib_lyco.files.header import read_metadata
from lib_lyco.host.app import HostApp
from lib_lyco.host.training_turn import make_plain
from lib_lyco.models.base import BaseModel
from lib_lyco.prompt.edit import Tag, place_tags
from lib_lyco.train.sample_prompts import Picture

_JOB = "lyco samples"
_KEY = "parameters"


class HostDraw:
    """Draws for one run; see `preview.Draw`. To be called within a turn.

    Args:
        app: Whose engine applies the network.
        folder: Where the run's networks are saved.
        name: The run's final file, without its suffix.
    """

    def __init__(self, app: HostApp, folder: Path, name: str) -> None:
        self._app = app
        self._folder = folder
        self._name = name

    def __call__(self, model: BaseModel, picture: Picture, network: Path | None, to: Path) -> None:
        """Draws one picture with the host's present settings; the network is a tag in its prompt.

        Raises:
            TrainingError: The picture cannot be drawn, or the user interrupted it.
            FileError: It cannot be written.
        """
        del model  # the host's own is the same
        name = "" if network is None else self._saved_name(network)
        prompt = picture.prompt if network is None else self._tagged(picture, name)
        try:
            with _host_settings(), self._standing_in(name, network):
                image, infotext = _process(_job(picture, prompt))
        finally:
            make_plain(self._app.engine)
        info = PngInfo()
        info.add_text(_KEY, infotext)
        try:
            image.save(to, format="PNG", pnginfo=info)
        except OSError as error:
            raise FileError("The picture cannot be written", where=str(to), got=str(error)) from error

    def _tagged(self, picture: Picture, name: str) -> str:
        kind = "lora" if self._app.options.own_lora else "lyco"
        if any(found.tag.name.strip() == name for found in place_tags(picture.prompt)):
            return picture.prompt
        return f"{picture.prompt} {Tag(kind, name, (f'{picture.strength:g}',))}".strip()

    def _saved_name(self, network: Path) -> str:
        """The name of the file that the run has saved with this content; else that of its last one."""
        wanted = _content(network)
        for path in sorted(self._folder.glob(f"{self._name}*.safetensors")):
            if wanted and _content(path) == wanted:
                return path.stem
        return self._name

    @contextmanager
    def _standing_in(self, name: str, network: Path | None) -> Generator[None]:
        """Within it the name means the file, which is in no folder of networks."""
        if network is None:
            yield
            return
        self._app.stand_ins[name] = network
        try:
            yield
        finally:
            del self._app.stand_ins[name]


def _content(path: Path) -> str:
    """The hash of a file's tensors, as its header tells it."""
    try:
        return read_metadata(path).get("sshs_model_hash", "")
    except LycoError:
        return ""


def _job(picture: Picture, prompt: str) -> StableDiffusionProcessingTxt2Img:
    model = sd_models.model_data.sd_model
    assert model is not None, "a turn has a model"
    width, height = picture.size
    return StableDiffusionProcessingTxt2Img(
        sd_model=model,
        prompt=prompt,
        negative_prompt=picture.negative,
        seed=-1 if picture.seed is None else picture.seed,
        sampler_name=picture.sampler,
        steps=picture.steps,
        cfg_scale=picture.guidance,
        width=width,
        height=height,
        # whoever has chosen another checkpoint meanwhile waits for the lock, but the option is set
        override_settings={
            "sd_model_checkpoint": model.sd_checkpoint_info.title,
            "CLIP_stop_at_last_layers": picture.clip_skip,
        },
        do_not_save_samples=True,
        do_not_save_grid=True,
    )


def _process(p: StableDiffusionProcessingTxt2Img) -> tuple[Image.Image, str]:
    """Draws, as a job of the host's; the picture and its infotext.

    Raises:
        TrainingError: It failed, or was interrupted.
    """
    state = shared.state
    state.begin(job=_JOB)
    try:
        drawn = process_images(p)
        if state.interrupted or state.skipped or state.stopping_generation or not drawn.images:
            raise TrainingError("The sample picture was interrupted.")
        # not the one that was drawn along with it: without scripts, that lacks the tags
        return drawn.images[0], drawn.infotext(p, 0)
    except TrainingError:
        raise
    # whatever the host or another extension raises, the run goes on without this picture
    except Exception as error:
        raise TrainingError(
            "The sample picture cannot be drawn.", got=f"{type(error).__name__}: {error}"
        ) from error
    finally:
        p.close()
        state.end()


@contextmanager
def _host_settings() -> Generator[None]:
    """Within it the host computes as for any picture, and keeps no note of the prompt for the user."""
    flags = shared.cmd_opts
    before = getattr(flags, "no_prompt_history", False)
    flags.no_prompt_history = True
    half = torch.bfloat16 if devices.device.type == "cpu" else torch.float16
    try:
        # a run's autocast may be of another dtype, which the host's own would go on with
        with torch.autocast(devices.device.type, dtype=half, enabled=False), torch.no_grad():
            yield
    finally:
        flags.no_prompt_history = before
