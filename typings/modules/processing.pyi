from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modules.extra_networks import ExtraNetworkParams
from modules.scripts import ScriptRunner
from modules.sd_models import HostModel

class StableDiffusionProcessing:
    """A job: one press of Generate."""

    cached_c: list[Any]
    cached_uc: list[Any]
    """[key, encoded text] of the prompt and the negative prompt, shared by all jobs."""

    prompt: str | list[str]
    negative_prompt: str | list[str]
    steps: int
    batch_size: int
    n_iter: int
    iteration: int
    all_prompts: list[str] | None
    """Of the whole job, with tags and styles; None before the job has begun."""
    all_negative_prompts: list[str] | None
    main_prompt: str
    """The first of them, for a grid's infotext."""
    prompts: list[str] | None
    """Of this batch, from its activation on without tags."""
    extra_network_data: Mapping[str, Sequence[ExtraNetworkParams]] | None
    disable_extra_networks: bool
    extra_generation_params: dict[str, Any]
    """Infotext: a value, one for each image, or a function of the infotext's variables."""
    override_settings: dict[str, Any]
    is_hr_pass: bool
    scripts: ScriptRunner | None
    is_api: bool
    def comment(self, text: str) -> None:
        """Adds a line under the picture; the same line is shown once."""
    def cached_params(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The key of a conditioning cache, made immediately before text is encoded."""
    def setup_conds(self) -> None: ...
    def close(self) -> None:
        """The job is over."""

class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    def __init__(
        self,
        *,
        sd_model: HostModel,
        prompt: str,
        negative_prompt: str,
        seed: int,
        sampler_name: str,
        steps: int,
        cfg_scale: float,
        width: int,
        height: int,
        override_settings: dict[str, Any],
        do_not_save_samples: bool,
        do_not_save_grid: bool,
    ) -> None: ...
    enable_hr: bool
    hr_second_pass_steps: int
    hr_prompt: str | list[str]
    all_hr_prompts: list[str] | None
    hr_extra_network_data: Mapping[str, Sequence[ExtraNetworkParams]] | None

class StableDiffusionProcessingImg2Img(StableDiffusionProcessing): ...

class Processed:
    images: list[Any]
    infotexts: list[str]
    comments: str
    def infotext(self, p: StableDiffusionProcessing, index: int) -> str:
        """Of one picture, with the tags of its prompt."""

def process_images(p: StableDiffusionProcessing) -> Processed: ...

_InfotextValue = str | list[str] | Callable[..., str | None]
