"""After anything, the weights are the checkpoint's, bit for bit, and no text is stale."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.host.driver import Host, HostError
from tests.host.networks import lora, merged

PROMPT = "a red circle on a blue ground"
TAGGED = f"{PROMPT} <lora:alpha>"
HIRES = {"enable_hr": True, "denoising_strength": 0.7, "hr_scale": 2.0, "hr_upscaler": "Latent"}


def in_one_picture(host: Host) -> None:
    host.txt2img(TAGGED)


def in_switches(host: Host) -> None:
    for tags in ("<lora:alpha>", "<lora:beta:0.3>", "<lora:alpha><lora:beta>", "<lora:paint:-1>"):
        host.txt2img(f"{PROMPT} {tags}")


def in_steps(host: Host) -> None:
    host.txt2img(f"{PROMPT} <lora:paint:1@0,0@1> <lora:alpha:1:stop=2>")


def in_hires(host: Host) -> None:
    host.txt2img(TAGGED, hr_prompt=f"{PROMPT} <lora:beta>", **HIRES)


def in_bypass(host: Host) -> None:
    host.set_options(lyco_mode="bypass")
    host.txt2img(TAGGED)


def in_a_refiner(host: Host) -> None:
    host.txt2img(TAGGED, refiner_checkpoint="other", refiner_switch_at=0.5)
    host.use("lyco-embedded")


def in_an_error(host: Host) -> None:
    host.ask("disturb", call=2, how="error")
    with pytest.raises(HostError, match="probe: an error in mid-sampling"):
        host.txt2img(TAGGED)


def in_an_error_of_a_step(host: Host) -> None:
    host.ask("disturb", call=2, how="error")
    with pytest.raises(HostError, match="probe: an error in mid-sampling"):
        host.txt2img(f"{PROMPT} <lora:paint:1@0,0@1>")


def in_an_error_of_hires(host: Host) -> None:
    host.ask("disturb", call=4, how="error")
    with pytest.raises(HostError, match="probe: an error in mid-sampling"):
        host.txt2img(TAGGED, **HIRES)


def in_an_interrupt(host: Host) -> None:
    host.ask("disturb", call=2, how="interrupt")
    host.txt2img(TAGGED, n_iter=3)


def in_an_interrupt_of_hires(host: Host) -> None:
    host.ask("disturb", call=4, how="interrupt")
    host.txt2img(TAGGED, hr_prompt=f"{PROMPT} <lora:beta>", **HIRES)


def in_a_change_of_checkpoint_meanwhile(host: Host) -> None:
    """The host loads it between two batches of the picture, or after it."""
    with ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(host.txt2img, TAGGED, n_iter=6)
        time.sleep(0.3)
        host.use("other")
        assert len(drawn.result().pixels) == 6
    host.use("lyco-embedded")


def in_a_broken_file(host: Host) -> None:
    path = host.write("broken", lora(1))
    path.write_bytes(path.read_bytes()[:-100])
    assert "broken" in host.txt2img(f"{TAGGED} <lora:broken>").comments


def in_a_reload_of_the_ui(host: Host) -> None:
    host.txt2img(TAGGED)
    host.reload_ui()


EVENTS = (
    in_one_picture,
    in_switches,
    in_steps,
    in_hires,
    in_bypass,
    in_a_refiner,
    in_an_error,
    in_an_error_of_a_step,
    in_an_error_of_hires,
    in_an_interrupt,
    in_an_interrupt_of_hires,
    in_a_change_of_checkpoint_meanwhile,
    in_a_broken_file,
    in_a_reload_of_the_ui,
)


@pytest.mark.parametrize("event", EVENTS)
def test_the_base_is_bit_identical_after(host: Host, event: Callable[[Host], None]) -> None:
    clean, digest = host.txt2img(PROMPT), host.ask("digest")
    tagged = host.txt2img(TAGGED)
    event(host)
    assert host.txt2img(PROMPT).distance(clean) == 0
    assert host.ask("digest") == digest
    host.set_options(lyco_mode="merge")
    assert host.txt2img(TAGGED).distance(tagged) == 0
    assert tagged.distance(clean) > 10


def test_the_digest_sees_one_bit(host: Host) -> None:
    host.txt2img(PROMPT)
    digest = host.ask("digest")
    host.txt2img(f"{PROMPT} <lora:paint:0.0001>")
    assert host.ask("digest") != digest


@pytest.mark.parametrize("mode", ["merge", "bypass"])
def test_a_forward_pass_with_gradients_works_after_a_picture(host: Host, mode: str) -> None:
    host.set_options(lyco_mode=mode)
    host.txt2img(TAGGED)
    assert host.ask("grad") == {"finite": True}
    host.txt2img(PROMPT)
    assert host.ask("grad") == {"finite": True}


def test_merge_and_bypass_draw_the_same(host: Host) -> None:
    merge = host.txt2img(TAGGED)
    host.set_options(lyco_mode="bypass")
    assert host.txt2img(TAGGED).like(merge)
    assert host.ask("ours")["hooks"]
    host.set_options(lyco_mode="merge", lora_functional=True)
    assert host.txt2img(TAGGED).like(merge)


def test_nothing_of_ours_is_on_the_model_without_tags(host: Host) -> None:
    host.set_options(lyco_mode="bypass")
    host.txt2img(f"{TAGGED} <lora:paint:1@0,0@1>")
    host.txt2img(PROMPT)
    assert host.ask("ours") == {"classes": [], "hooks": []}


def test_merged_networks_need_no_hooks(host: Host) -> None:
    host.txt2img(TAGGED)
    assert host.ask("ours") == {"classes": [], "hooks": []}


def test_only_touched_layers_cost_memory(host: Host) -> None:
    host.txt2img(PROMPT)
    assert host.request("GET", "/lyco/v1/applied")["backup_bytes"] == 0
    host.txt2img(TAGGED)
    network = lora(1)
    touched = sum(
        network[f"{stem}.lora_up.weight"].shape[0] * network[f"{stem}.lora_down.weight"][0].numel()
        for stem in {key.split(".")[0] for key in network}
    )
    assert host.request("GET", "/lyco/v1/applied")["backup_bytes"] == 4 * touched


@pytest.mark.parametrize("layers", ["lora_te_", "lora_unet_"])
def test_a_file_rewritten_under_its_name_is_a_new_network(host: Host, layers: str) -> None:
    host.write("rewritten", lora(8, layers))
    first = host.txt2img(f"{PROMPT} <lora:rewritten>")
    host.write("rewritten", lora(9, layers))
    second = host.txt2img(f"{PROMPT} <lora:rewritten>")
    host.write_checkpoint("rewritten", merged((lora(9, layers), 1.0, 1.0)))
    host.use("rewritten")
    assert second.like(host.txt2img(PROMPT))
    assert not second.like(first)
    (host.checkpoints / "rewritten.safetensors").unlink()


def test_a_preset_that_changed_is_in_the_text_too(host: Host, tmp_path: Path) -> None:
    presets = tmp_path / "presets.txt"
    presets.write_text("MINE:BASE\n", encoding="utf-8")
    host.ask("set_text", key="lyco_block_presets", value=str(presets))
    first = host.txt2img(f"{PROMPT} <lora:words:1:lbw=MINE>")
    presets.write_text("MINE:MID OUT IN\n", encoding="utf-8")
    second = host.txt2img(f"{PROMPT} <lora:words:1:lbw=MINE>")
    assert first.like(host.txt2img(f"{PROMPT} <lora:words>"))
    assert second.distance(host.txt2img(PROMPT)) == 0
    host.ask("set_text", key="lyco_block_presets", value="")


def test_an_unchanged_prompt_uses_the_remembered_text(host: Host) -> None:
    first = host.txt2img(f"{PROMPT} <lora:words>")
    assert host.ask("cached")["filled"] >= 2
    assert host.txt2img(f"{PROMPT} <lora:words>").distance(first) == 0


def test_the_first_picture_with_a_network_has_its_text(host: Host) -> None:
    """The text without it is remembered, and the tag is no part of the text."""
    plain = host.txt2img(PROMPT)
    assert not host.txt2img(f"{PROMPT}<lora:words>").like(plain)
    assert host.txt2img(PROMPT).distance(plain) == 0


def test_embeddings_that_come_with_a_network(host: Host) -> None:
    vectors = {"bundle_emb.sunword.string_to_param.*": torch.randn(2, 32) * 0.4}
    host.write("with-a-word", {**lora(1, "lora_unet_"), **vectors})
    plain = host.txt2img(f"sunword {PROMPT}")
    tagged = host.txt2img(f"sunword {PROMPT} <lora:with-a-word>")
    assert host.ask("embeddings") == {"words": ["sunword"]}
    assert not tagged.like(host.txt2img(f"another {PROMPT} <lora:with-a-word>"))
    assert host.txt2img(f"sunword {PROMPT}").distance(plain) == 0
    assert host.ask("embeddings") == {"words": []}
