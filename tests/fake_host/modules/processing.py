"""How a picture is made: the order of all that an extension hears, and what is remembered of prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tests.fake_host.pixels import FACTOR, noise_of, to_latents, to_pictures

from . import extra_networks, infotext_utils, scripts, sd_models, shared
from .sd_hijack import model_hijack
from .sd_samplers_cfg_denoiser import noised, sample

Cache = list[Any]
"""What a cond was made from, and the cond. The class has them, so they outlive jobs."""


def _empty() -> Cache:
    return [None, None]


@dataclass(repr=False)
class StableDiffusionProcessing:
    """A job: what was asked for, and everything made for it."""

    sd_model: Any = None
    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] = field(default_factory=list)
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int = 1
    n_iter: int = 1
    steps: int = 50
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    override_settings: dict[str, Any] = field(default_factory=dict)
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float = 0.0
    disable_extra_networks: bool = False
    extra_generation_params: dict[str, Any] = field(default_factory=dict)

    cached_c = _empty()
    cached_uc = _empty()
    is_hr_pass = False
    is_api = False

    def __post_init__(self) -> None:
        self.comments: dict[str, int] = {}
        self.cached_c = StableDiffusionProcessing.cached_c
        self.cached_uc = StableDiffusionProcessing.cached_uc
        self.scripts: scripts.ScriptRunner | None = None
        self.script_args: Sequence[Any] = ()
        self.refiner_checkpoint_info: sd_models.CheckpointInfo | None = None
        self.iteration = 0
        self.all_prompts: list[str] = None  # type: ignore[assignment]  # as the host before a job begins
        self.all_negative_prompts: list[str] = []
        self.all_seeds: list[int] = []
        self.prompts: list[str] = []
        self.negative_prompts: list[str] = []
        self.seeds: list[int] = []
        self.subseeds: list[int] = []
        self.extra_network_data: Any = None
        self.c: Any = None
        self.uc: Any = None

    def comment(self, text: str) -> None:
        """Says something below the picture, once."""
        self.comments[text] = 1

    def close(self) -> None:
        """The job is over."""
        if not shared.opts.persistent_cond_cache:
            StableDiffusionProcessing.cached_c, StableDiffusionProcessing.cached_uc = _empty(), _empty()

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        """Before the first picture."""

    def setup_prompts(self) -> None:
        """One prompt per picture."""
        total = self.batch_size * self.n_iter
        self.all_prompts = list(self.prompt) if isinstance(self.prompt, list) else [self.prompt] * total
        self.all_negative_prompts = [self.negative_prompt] * len(self.all_prompts)
        self.main_prompt = self.all_prompts[0]

    def parse_extra_network_prompts(self) -> None:
        """Takes the tags out of this batch's prompts."""
        self.prompts, self.extra_network_data = extra_networks.parse_prompts(self.prompts)

    def cached_params(
        self,
        required_prompts: Sequence[str],
        steps: int,
        extra_network_data: Any,
        hires_steps: int | None = None,
        use_old_scheduling: bool = False,
    ) -> tuple[Any, ...]:
        """What a remembered cond depends on. Of a network only its tag's text."""
        opts = shared.opts
        return (
            list(required_prompts),
            steps,
            hires_steps,
            use_old_scheduling,
            opts.CLIP_stop_at_last_layers,
            shared.sd_model.sd_checkpoint_info,
            extra_network_data,
            (opts.sdxl_crop_left, opts.sdxl_crop_top, self.width, self.height),
            (opts.fp8_storage, opts.cache_fp16_weight, opts.emphasis),
        )

    def get_conds_with_caching(
        self,
        function: Callable[..., Any],
        required_prompts: Sequence[str],
        steps: int,
        caches: Sequence[Cache],
        extra_network_data: Any,
        hires_steps: int | None = None,
    ) -> Any:
        """Asks the text encoder, unless one of the caches has the answer; the first keeps it."""
        params = self.cached_params(required_prompts, steps, extra_network_data, hires_steps)
        for cache in caches:
            if cache[0] is not None and cache[0] == params:
                return cache[1]
        caches[0][1] = function(shared.sd_model, required_prompts)
        caches[0][0] = params
        return caches[0][1]

    def setup_conds(self) -> None:
        """Conds of this batch."""
        data = self.extra_network_data
        self.uc = self.get_conds_with_caching(
            encode, self.negative_prompts, self.steps, [self.cached_uc], data
        )
        self.c = self.get_conds_with_caching(encode, self.prompts, self.steps, [self.cached_c], data)

    def get_conds(self) -> tuple[Tensor, Tensor]:
        """Those to sample with now."""
        return self.c, self.uc

    def before_sampling(self, x: Tensor) -> None:
        """Tells the scripts."""
        if self.scripts is not None:
            self.scripts.process_before_every_sampling(self, x=x, noise=x, c=self.c, uc=self.uc)

    def sample(self) -> Tensor:
        """(b, 4, h, w) latents of this batch."""
        raise NotImplementedError


def encode(sd_model: Any, prompts: Sequence[str]) -> Tensor:
    """(b, 77, width)."""
    return sd_model.get_learned_conditioning(list(prompts))


@dataclass(repr=False)
class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    """From noise; with hires fix a second pass over the enlarged latents."""

    enable_hr: bool = False
    denoising_strength: float = 0.75
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int = 0
    hr_checkpoint_name: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""

    cached_hr_c = _empty()
    cached_hr_uc = _empty()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cached_hr_c = StableDiffusionProcessingTxt2Img.cached_hr_c
        self.cached_hr_uc = StableDiffusionProcessingTxt2Img.cached_hr_uc
        self.all_hr_prompts: list[str] = []
        self.hr_prompts: list[str] = []
        self.hr_extra_network_data: Any = None
        self.hr_c: Any = None
        self.hr_uc: Any = None
        self.hr_checkpoint_info: sd_models.CheckpointInfo | None = None

    def init(self, all_prompts: list[str], all_seeds: list[int], all_subseeds: list[int]) -> None:
        if not self.enable_hr:
            return
        self.hr_checkpoint_info = sd_models.get_closet_checkpoint_match(self.hr_checkpoint_name)

        def hr_prompt(p: Any, index: int, prompt_text: str, **_: Any) -> str | None:
            return p.all_hr_prompts[index] if p.all_hr_prompts[index] != prompt_text else None

        self.extra_generation_params |= {
            "Denoising strength": self.denoising_strength,
            "Hires prompt": hr_prompt,
            "Hires upscale": self.hr_scale,
        }

    def setup_prompts(self) -> None:
        super().setup_prompts()
        self.hr_prompt = self.hr_prompt or self.prompt
        self.hr_negative_prompt = self.hr_negative_prompt or self.negative_prompt
        self.all_hr_prompts = [self.hr_prompt] * len(self.all_prompts)

    def parse_extra_network_prompts(self) -> None:
        super().parse_extra_network_prompts()
        if self.enable_hr:
            begin = self.iteration * self.batch_size
            batch = self.all_hr_prompts[begin : begin + self.batch_size]
            self.hr_prompts, self.hr_extra_network_data = extra_networks.parse_prompts(batch)

    def setup_conds(self) -> None:
        if self.is_hr_pass:  # a refiner came in the second pass
            self.hr_c = None
            self.calculate_hr_conds()
            return
        super().setup_conds()
        self.hr_c = self.hr_uc = None
        if self.enable_hr and self.hr_checkpoint_info is None and shared.opts.hires_fix_use_firstpass_conds:
            self.calculate_hr_conds()

    def calculate_hr_conds(self) -> None:
        """Conds of the second pass; those of the first serve if nothing differs."""
        if self.hr_c is not None:
            return
        negative = [self.hr_negative_prompt] * len(self.hr_prompts)
        steps, data = self.hr_second_pass_steps or self.steps, self.hr_extra_network_data
        self.hr_uc = self.get_conds_with_caching(
            encode, negative, self.steps, [self.cached_hr_uc, self.cached_uc], data, steps
        )
        self.hr_c = self.get_conds_with_caching(
            encode, self.hr_prompts, self.steps, [self.cached_hr_c, self.cached_c], data, steps
        )

    def get_conds(self) -> tuple[Tensor, Tensor]:
        return (self.hr_c, self.hr_uc) if self.is_hr_pass else super().get_conds()

    def sample(self) -> Tensor:
        x = noise_of(self.seeds, self.height, self.width)
        self.before_sampling(x)
        samples = sample(self, x, self.steps)
        if not self.enable_hr or shared.state.interrupted:
            return samples
        with sd_models.SkipWritingToConfig():
            sd_models.reload_model_weights(info=self.hr_checkpoint_info)
        self.is_hr_pass = True
        height, width = int(self.height * self.hr_scale), int(self.width * self.hr_scale)
        samples = F.interpolate(samples, size=(height // FACTOR, width // FACTOR), mode="bilinear")
        if not self.disable_extra_networks:
            extra_networks.activate(self, self.hr_extra_network_data)
        self.calculate_hr_conds()
        if self.scripts is not None:
            self.scripts.before_hr(self)
        self.before_sampling(samples)
        x = noised(samples, noise_of(self.seeds, height, width), self.denoising_strength)
        samples = sample(self, x, self.hr_second_pass_steps or self.steps, self.denoising_strength)
        self.is_hr_pass = False
        return samples


@dataclass(repr=False)
class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    """From a picture."""

    init_images: list[Image.Image] = field(default_factory=list)
    denoising_strength: float = 0.75

    def sample(self) -> Tensor:
        clean = to_latents(self.init_images[0], self.height, self.width)
        noise = noise_of(self.seeds, self.height, self.width)
        self.before_sampling(noise)
        return sample(
            self, noised(clean, noise, self.denoising_strength), self.steps, self.denoising_strength
        )


class Processed:
    """What came of a job."""

    def __init__(
        self, p: StableDiffusionProcessing, images_list: list[Image.Image], infotexts: Sequence[str] = ()
    ) -> None:
        self.images = images_list
        self.infotexts = list(infotexts)
        self.comments = "".join(f"{comment}\n" for comment in p.comments)
        self.all_prompts = p.all_prompts
        self.extra_generation_params = p.extra_generation_params

    def js(self) -> str:
        """For the API. Comments are not in it."""
        return json.dumps({"infotexts": self.infotexts, "all_prompts": self.all_prompts})


def create_infotext(p: Any, all_prompts: Sequence[str], all_seeds: Sequence[int], index: int = 0) -> str:
    """Prompt, negative prompt, and a line of parameters; a value may be a list or a function."""
    prompt_text, values = all_prompts[index], dict[str, Any]()
    parameters = {
        "Steps": p.steps,
        "CFG scale": p.cfg_scale,
        "Seed": all_seeds[index],
        "Size": f"{p.width}x{p.height}",
        "Model": shared.sd_model.sd_checkpoint_info.name_for_extra,
        **p.extra_generation_params,
    }
    for key, value in parameters.items():
        if callable(value):
            value = value(p=p, index=index, prompt_text=prompt_text)
        values[key] = value[index] if isinstance(value, list) else value
    line = ", ".join(
        f"{key}: {infotext_utils.quote(value)}" for key, value in values.items() if value is not None
    )
    negative = (
        f"\nNegative prompt: {p.all_negative_prompts[index]}" if p.all_negative_prompts[index] else ""
    )
    return f"{prompt_text}{negative}\n{line}".strip()


def process_images(p: StableDiffusionProcessing) -> Processed:
    """The settings that the job overrides, the job, the settings as they were."""
    if p.scripts is not None:
        p.scripts.before_process(p)
    stored = {key: shared.opts.data[key] for key in p.override_settings if key in shared.opts.data}
    try:
        if sd_models.get_closet_checkpoint_match(p.override_settings.get("sd_model_checkpoint")) is None:
            p.override_settings.pop("sd_model_checkpoint", None)
            sd_models.reload_model_weights()
        for key, value in p.override_settings.items():
            shared.opts.set(key, value, is_api=True, run_callbacks=False)
            if key == "sd_model_checkpoint":
                sd_models.reload_model_weights()
        return process_images_inner(p)
    finally:
        if p.override_settings_restore_afterwards:
            shared.opts.data.update(stored)


def process_images_inner(p: StableDiffusionProcessing) -> Processed:
    """Every batch: the tags, the networks, the conds, the sampling. An error leaves at once."""
    p.refiner_checkpoint_info = sd_models.get_closet_checkpoint_match(p.refiner_checkpoint)
    model_hijack.clear_comments()
    p.setup_prompts()
    p.all_seeds = [p.seed + number for number in range(len(p.all_prompts))]
    model_hijack.embedding_db.load_textual_inversion_embeddings()
    if p.scripts is not None:
        p.scripts.process(p)
    pictures: list[Image.Image] = []
    infotexts: list[str] = []
    with torch.no_grad():
        p.init(p.all_prompts, p.all_seeds, p.all_seeds)
        for iteration in range(p.n_iter):
            p.iteration = iteration
            if shared.state.interrupted or shared.state.stopping_generation:
                break
            sd_models.reload_model_weights()  # a refiner or a hires checkpoint may have left another
            begin = p.iteration * p.batch_size
            batch = slice(begin, begin + p.batch_size)
            p.prompts, p.seeds, p.subseeds = p.all_prompts[batch], p.all_seeds[batch], p.all_seeds[batch]
            p.negative_prompts = p.all_negative_prompts[batch]
            heard = {
                "batch_number": p.iteration,
                "prompts": p.prompts,
                "seeds": p.seeds,
                "subseeds": p.subseeds,
            }
            if p.scripts is not None:
                p.scripts.before_process_batch(p, **heard)
            p.parse_extra_network_prompts()
            if not p.disable_extra_networks:
                extra_networks.activate(p, p.extra_network_data)
            if p.scripts is not None:
                p.scripts.process_batch(p, **heard)
            p.setup_conds()
            p.extra_generation_params.update(model_hijack.extra_generation_params)
            for comment in model_hijack.comments:
                p.comment(comment)
            pictures += to_pictures(p.sample())
            shared.state.nextjob()
            p.prompts = p.all_prompts[batch]
            infotexts += [
                create_infotext(p, p.all_prompts, p.all_seeds, begin + i) for i in range(len(p.seeds))
            ]
    if not p.disable_extra_networks and p.extra_network_data:
        extra_networks.deactivate(p, p.extra_network_data)
    processed = Processed(p, pictures, infotexts)
    if p.scripts is not None:
        p.scripts.postprocess(p, processed)
    return processed
