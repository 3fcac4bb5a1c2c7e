"""Every way of drawing: the networks asked for are the ones in the picture, in each of its passes.

What a picture with tags must be is drawn by the host itself, without tags, from checkpoints that have
the networks inside (`networks.write_checkpoints`): one for each pass.
"""

from __future__ import annotations

import pytest
import torch

from tests.host.driver import Host, Picture
from tests.host.networks import base

PROMPT = "a red circle on a blue ground"
HIRES = {"enable_hr": True, "denoising_strength": 0.7, "hr_scale": 2.0, "hr_upscaler": "Latent"}


def drawn_by(host: Host, checkpoint: str, **fields: object) -> Picture:
    """Without tags, from another checkpoint."""
    host.use(checkpoint)
    picture = host.txt2img(PROMPT, **fields)
    host.use("lyco-embedded")
    return picture


def test_hires_fix_has_the_networks_of_its_own_prompt(host: Host) -> None:
    tagged = host.txt2img(f"{PROMPT} <lora:alpha>", hr_prompt=f"{PROMPT} <lora:beta>", **HIRES)
    assert tagged.like(drawn_by(host, "alpha-inside", hr_checkpoint_name="beta-inside", **HIRES))
    assert not tagged.like(host.txt2img(f"{PROMPT} <lora:alpha>", **HIRES))


def test_hires_fix_without_a_prompt_of_its_own_keeps_the_networks(host: Host) -> None:
    tagged = host.txt2img(f"{PROMPT} <lora:alpha>", **HIRES)
    assert tagged.like(drawn_by(host, "alpha-inside", **HIRES))


@pytest.mark.parametrize(
    ("passes", "first", "second"),
    [
        ("hr=0", "<lora:alpha>", ""),
        ("te=0:unet=0:hr=1", "", "<lora:alpha>"),
        ("hrte=0.2:hrunet=0.6", "<lora:alpha>", "<lora:alpha:0.2:0.6>"),
    ],
)
def test_hr_options_are_the_second_pass(host: Host, passes: str, first: str, second: str) -> None:
    given = host.txt2img(f"{PROMPT} <lora:alpha:{passes}>", **HIRES)
    apart = host.txt2img(f"{PROMPT} {first}", hr_prompt=f"{PROMPT} {second}", **HIRES)
    assert given.distance(apart) == 0
    assert not given.like(host.txt2img(f"{PROMPT} <lora:alpha>", **HIRES))


def test_the_first_pass_of_the_next_batch_has_its_networks_again(host: Host) -> None:
    tagged = host.txt2img(f"{PROMPT} <lora:alpha>", hr_prompt=PROMPT, n_iter=2, **HIRES)
    wanted = {"hr_checkpoint_name": "lyco-embedded", "n_iter": 2, **HIRES}
    assert tagged.like(drawn_by(host, "alpha-inside", **wanted))


def test_img2img(host: Host) -> None:
    start = host.txt2img("a green square")
    tagged = host.img2img(f"{PROMPT} <lora:alpha>", start)
    host.use("alpha-inside")
    host.txt2img("a green square")  # leaves the global generator, which the autoencoder asks, as before
    assert tagged.like(host.img2img(PROMPT, start))


def test_batch_size_and_count(host: Host) -> None:
    tagged = host.txt2img(f"{PROMPT} <lora:alpha>", batch_size=2, n_iter=2)
    assert len(tagged.pixels) == 4
    assert tagged.like(drawn_by(host, "alpha-inside", batch_size=2, n_iter=2))


MIXED = "The prompts of this batch ask for different networks"


@pytest.mark.parametrize(("second", "is_mixed"), [("<lora:beta>", True), ("<lyco:alpha:1>", False)])
def test_different_networks_in_one_batch_are_told(host: Host, second: str, is_mixed: bool) -> None:
    """A script has written the prompts into the batch's list, after ours had its turn."""
    host.ask("write_prompts", prompts=f"{PROMPT} <lora:alpha>|{PROMPT} {second}")
    picture = host.txt2img(PROMPT, batch_size=2)
    assert (MIXED in picture.comments) == is_mixed
    assert picture.like(host.txt2img(f"{PROMPT} <lora:alpha>", batch_size=2))


@pytest.mark.parametrize("resident", [1, 2])
def test_a_change_of_checkpoint_takes_the_networks_along(host: Host, resident: int) -> None:
    host.set_options(sd_checkpoints_limit=resident)
    before = host.txt2img(f"{PROMPT} <lora:alpha>")
    host.use("other")
    there = host.txt2img(f"{PROMPT} <lora:alpha>")
    host.use("lyco-embedded")
    assert host.txt2img(f"{PROMPT} <lora:alpha>").distance(before) == 0
    assert there.like(drawn_by(host, "other-alpha-inside"))


@pytest.mark.parametrize("resident", [1, 2])
def test_a_changed_checkpoint_without_tags_is_clean(host: Host, resident: int) -> None:
    host.set_options(sd_checkpoints_limit=resident)
    plain, other = host.txt2img(PROMPT), drawn_by(host, "other")
    host.txt2img(f"{PROMPT} <lora:alpha>")
    assert drawn_by(host, "other").distance(other) == 0
    assert host.txt2img(PROMPT).distance(plain) == 0


def test_an_overridden_checkpoint_has_the_networks(host: Host) -> None:
    override = {"override_settings": {"sd_model_checkpoint": "other"}}
    tagged = host.txt2img(f"{PROMPT} <lora:alpha>", **override)
    assert tagged.like(drawn_by(host, "other-alpha-inside"))


def test_a_hires_checkpoint_has_the_networks(host: Host) -> None:
    tagged = host.txt2img(f"{PROMPT} <lora:alpha>", hr_checkpoint_name="other", **HIRES)
    assert tagged.like(drawn_by(host, "alpha-inside", hr_checkpoint_name="other-alpha-inside", **HIRES))


def test_a_refiner_has_the_networks(host: Host) -> None:
    host.set_options(refiner_switch_by_sample_steps=True)
    tagged = host.txt2img(f"{PROMPT} <lora:alpha>", refiner_checkpoint="other", refiner_switch_at=0.5)
    refined = {"refiner_checkpoint": "other-alpha-inside", "refiner_switch_at": 0.5}
    assert tagged.like(drawn_by(host, "alpha-inside", **refined))
    assert host.txt2img(PROMPT).distance(tagged) > 5


@pytest.mark.parametrize(("tag", "switch"), [("stop=2", 0.5), ("stop=3", 0.75)])
def test_a_window_of_steps_ends_where_it_says(host: Host, tag: str, switch: float) -> None:
    """A refiner is the same thing: after so many steps the weights are others."""
    host.set_options(refiner_switch_by_sample_steps=True)
    tagged = host.txt2img(f"{PROMPT} <lora:paint:1:{tag}>")
    refined = {"refiner_checkpoint": "lyco-embedded", "refiner_switch_at": switch}
    assert tagged.like(drawn_by(host, "paint-inside", **refined))


def test_a_window_of_steps_begins_where_it_says(host: Host) -> None:
    host.set_options(refiner_switch_by_sample_steps=True)
    tagged = host.txt2img(f"{PROMPT} <lora:paint:1:start=2>")
    refined = {"refiner_checkpoint": "paint-inside", "refiner_switch_at": 0.5}
    assert tagged.like(host.txt2img(PROMPT, **refined))


def test_a_schedule_jumps_and_is_interpolated(host: Host) -> None:
    """With four steps the host counts 0, 0, 1, 2: loractl's fractions 0, 0, 0.5 and 1."""
    jump = host.txt2img(f"{PROMPT} <lora:paint:1@0,1@0.5,0@0.5>")
    assert jump.distance(host.txt2img(f"{PROMPT} <lora:paint:1:stop=2>")) == 0
    line = host.txt2img(f"{PROMPT} <lora:paint:1@0,0@1>")
    steps = host.txt2img(f"{PROMPT} <lora:paint:1@0,0@2>")
    assert line.distance(steps) == 0
    assert line.distance(jump) > 0
    assert line.distance(host.txt2img(f"{PROMPT} <lora:paint:1@0,0.5@0.5,0@1>")) == 0


@pytest.mark.parametrize("channels", [4, 9])
def test_inpainting_models(host: Host, channels: int) -> None:
    """A network for four channels acts on the first four of nine; one for nine on all."""
    weights = base()
    first = "model.diffusion_model.input_blocks.0.0.weight"
    generator = torch.Generator().manual_seed(0)
    more = 0.05 * torch.randn(64, 5, 3, 3, generator=generator)
    weights[first] = torch.cat([weights[first].float(), more], dim=1)
    delta = 0.05 * torch.randn(64, channels, 3, 3, generator=generator)
    inside = {**weights, first: weights[first].clone()}
    inside[first][:, :channels] += delta
    host.write("first-layer", {"lora_unet_conv_in.diff": delta})
    for name, tensors in (("inpaint", weights), ("inpaint-inside", inside)):
        host.write_checkpoint(name, tensors, inpainting=True)
    host.use("inpaint")
    plain, tagged = host.txt2img(PROMPT), host.txt2img(f"{PROMPT} <lora:first-layer>")
    host.use("inpaint-inside")
    assert tagged.like(host.txt2img(PROMPT))
    assert tagged.distance(plain) > 5
    host.use("lyco-embedded")
    for name in ("inpaint", "inpaint-inside"):
        (host.checkpoints / f"{name}.safetensors").unlink()


def test_a_job_without_extra_networks_has_none(host: Host) -> None:
    """What the last job had is not in it either."""
    plain = host.txt2img(PROMPT)
    host.txt2img(f"{PROMPT} <lora:alpha>")
    assert host.txt2img(f"{PROMPT} <lora:alpha>", disable_extra_networks=True).distance(plain) == 0
