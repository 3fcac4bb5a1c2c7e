"""What only the real WebUI has: the networks in the picture whatever else it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.host.driver import Host

PROMPT = "a red circle on a blue ground"
TAGGED = f"{PROMPT} <lora:alpha>"


@pytest.mark.parametrize(
    "options",
    [
        {"token_merging_ratio": 0.5},
        {"hypertile_enable_unet": True, "hypertile_max_tile_unet": 64},
        {"CLIP_stop_at_last_layers": 2},
        {"live_previews_enable": True, "show_progress_every_n_steps": 1},
        {"batch_cond_uncond": False},
        {"emphasis": "No norm"},
        {"cross_attention_optimization": "sub-quadratic"},
        {"persistent_cond_cache": False},
        {"s_min_uncond": 1.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_beside_another_option(webui: Host, options: dict[str, Any]) -> None:
    webui.set_options(**options)
    tagged, plain = webui.txt2img(TAGGED), webui.txt2img(PROMPT)
    webui.use("alpha-inside")
    assert tagged.like(webui.txt2img(PROMPT))
    assert tagged.distance(plain) > 10


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DPM++ 2M", "UniPC", "PLMS"])
def test_every_kind_of_sampler(webui: Host, sampler: str) -> None:
    tagged = webui.txt2img(TAGGED, sampler_name=sampler)
    webui.use("alpha-inside")
    assert tagged.like(webui.txt2img(PROMPT, sampler_name=sampler))


def test_beside_an_embedding_of_the_users(webui: Host) -> None:
    vectors = {"emb_params": torch.randn(2, 32, generator=torch.Generator().manual_seed(0)) * 0.4}
    save_file(vectors, webui.data_dir / "embeddings" / "moonword.safetensors")
    prompt = f"moonword {PROMPT}"
    tagged = webui.txt2img(f"{prompt} <lora:alpha>")
    assert not tagged.like(webui.txt2img(f"anotherword {PROMPT} <lora:alpha>"))
    webui.use("alpha-inside")
    assert tagged.like(webui.txt2img(prompt))


@pytest.mark.parametrize("tags", ["<lora:alpha>", "<lora:alpha><lora:beta>", "<lora:paint:1@0,0@1>"])
def test_weights_in_eight_bits(webui: Host, tags: str) -> None:
    """Each network acts: what is left out of the set changes the picture."""
    webui.set_options(fp8_storage="Enable")
    plain, both = webui.txt2img(PROMPT), webui.txt2img(f"{PROMPT} {tags}")
    assert not both.like(plain)
    if "beta" in tags:
        for alone in ("<lora:alpha>", "<lora:beta>"):
            assert not both.like(webui.txt2img(f"{PROMPT} {alone}"))
    assert webui.txt2img(PROMPT).distance(plain) == 0


@pytest.mark.parametrize(
    "tags", ["<lora:alpha:0.7>", "<lora:alpha:0.5:1><lora:beta:-0.4>", "<lora:gamma>", "<lora:twin:0.8>"]
)
def test_plain_networks_are_the_builtins(webui: Host, tags: str) -> None:
    ours = webui.txt2img(f"{PROMPT} {tags}")
    webui.set_options(lyco_own_lora=False)
    theirs = webui.txt2img(f"{PROMPT} {tags}")
    assert webui.ask("builtin")["loaded"]
    assert ours.like(theirs)


def test_a_tag_in_a_style(webui: Host) -> None:
    webui.ask("add_style", name="painted", prompt="{prompt} <lora:alpha:0.8>")
    styled = webui.txt2img(PROMPT, styles=["painted"])
    assert styled.distance(webui.txt2img(f"{PROMPT} <lora:alpha:0.8>")) == 0
    assert "<lora:alpha:0.8>" in styled.infotext and "Lora hashes" in styled.infotext


def test_a_folder_of_pictures_in_img2img(webui: Host, tmp_path: Path) -> None:
    """What was drawn last stays on the model until the next picture: there it can be looked at."""
    for name, colour in (("a", "red"), ("b", "green")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    webui.txt2img(TAGGED)
    merged = webui.ask("digest")
    webui.txt2img(PROMPT)
    infotexts = webui.ask("batch", prompt=TAGGED, folder=str(tmp_path))
    assert webui.ask("digest") == merged
    assert len(infotexts) == 2
    for infotext in infotexts:
        assert infotext.startswith(TAGGED) and infotext.count("Lora hashes") == 1
    assert "Lora hashes" not in "".join(webui.ask("batch", prompt=PROMPT, folder=str(tmp_path)))
    assert webui.ask("digest") != merged


def test_the_plot_with_checkpoints_beside_networks(webui: Host) -> None:
    """Each cell is the picture that its checkpoint and its tag make alone."""
    strengths, checkpoints = ["0.3", "0.9"], ["lyco-embedded", "other"]
    axes = {"[Lyco] Strength": strengths, "Checkpoint name": checkpoints}
    for checkpoint in reversed(checkpoints):
        # the WebUI keeps a schedule rounded to half precision after fp8, until another checkpoint comes
        webui.use(checkpoint)
    cells = webui.plot(f"{PROMPT} <lora:alpha:1>", axes)
    alone: list[Any] = []
    for checkpoint in checkpoints:
        webui.use(checkpoint)
        alone += [webui.txt2img(f"{PROMPT} <lora:alpha:{strength}>").pixels for strength in strengths]
    assert np.array_equal(cells.pixels, np.concatenate(alone))
    assert cells.comments == ""


def test_the_builtins_network_for_one_picture(webui: Host) -> None:
    tagged = f"{PROMPT} <lora:alpha:0.7>"
    ours = webui.txt2img(tagged)
    theirs = webui.txt2img(tagged, override_settings={"lyco_own_lora": False})
    assert theirs.like(ours)
    assert theirs.distance(webui.txt2img(PROMPT)) > 10


def test_beside_a_hypernetwork(webui: Host) -> None:
    generator, width = torch.Generator().manual_seed(0), 32
    layers = {
        "linear.0.weight": 0.3 * torch.randn(width * 2, width, generator=generator),
        "linear.0.bias": torch.zeros(width * 2),
        "linear.1.weight": 0.3 * torch.randn(width, width * 2, generator=generator),
        "linear.1.bias": torch.zeros(width),
    }
    folder = webui.data_dir / "models" / "hypernetworks"
    folder.mkdir(exist_ok=True)
    saved = {width: (layers, layers), "layer_structure": [1, 2, 1], "step": 0, "name": "hyper"}
    # the WebUI checks the entries of a zip, and knows fewer than a newer torch writes
    torch.save(saved, folder / "hyper.pt", _use_new_zipfile_serialization=False)
    webui.reload_ui()
    tagged = webui.txt2img(f"{TAGGED} <hypernet:hyper:1>")
    assert not tagged.like(webui.txt2img(TAGGED))
    webui.use("alpha-inside")
    assert tagged.like(webui.txt2img(f"{PROMPT} <hypernet:hyper:1>"))


def test_a_model_that_was_unloaded_and_came_back(webui: Host) -> None:
    plain, tagged = webui.txt2img(PROMPT), webui.txt2img(TAGGED)
    webui.request("POST", "/sdapi/v1/unload-checkpoint")
    webui.request("POST", "/sdapi/v1/reload-checkpoint")
    assert webui.txt2img(TAGGED).distance(tagged) == 0
    assert webui.txt2img(PROMPT).distance(plain) == 0
