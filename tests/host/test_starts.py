"""Runs of their own: other flags, without the extension, two at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.host.conftest import Start
from tests.host.driver import Host, make_data_dir
from tests.host.networks import write_all
from tests.host.training import Trainer

PROMPT = "a red circle on a blue ground"
TAGGED = f"{PROMPT} <lora:alpha>"


def our_lines(host: Host) -> list[str]:
    return [line for line in host.log.splitlines() if line.startswith("lyco:")]


def test_a_picture_without_tags_is_that_of_a_host_without_us(host: Host, start: Start) -> None:
    host.txt2img(TAGGED)
    ours, digest = host.txt2img(PROMPT), host.ask("digest")
    without = start("--api", extension=False)
    assert without.txt2img(PROMPT).distance(ours) == 0
    assert without.ask("digest") == digest
    assert our_lines(without) == []


def test_without_a_page(host: Host, start: Start) -> None:
    tagged = host.txt2img(TAGGED)
    bare = start("--nowebui")
    assert our_lines(bare) == ["lyco: ready for <lora:> and <lyco:> tags"]
    assert bare.txt2img(TAGGED).distance(tagged) == 0
    assert bare.status("GET", "/sdapi/v1/loras") == 200
    assert bare.status("GET", "/lyco/v1/applied") == 200


def test_guarded_as_the_host_guards_its_own(start: Start) -> None:
    guarded = start("--api", "--api-auth", "me:secret")
    assert guarded.status("GET", "/lyco/v1/applied") == 401
    assert guarded.status("GET", "/lyco/v1/applied", user="me:wrong") == 401
    assert guarded.status("GET", "/lyco/v1/applied", user="me:secret") == 200
    assert guarded.status("GET", "/sdapi/v1/loras") == 200


def test_without_the_api_flag(start: Start) -> None:
    plain = start()
    assert plain.status("GET", "/sdapi/v1/options") == 404
    assert plain.status("GET", "/lyco/v1/applied") == 404
    assert plain.status("GET", "/sdapi/v1/loras") == 200


def test_disabled_and_enabled_again(host: Host, start: Start) -> None:
    clean, tagged = host.txt2img(PROMPT), host.txt2img(TAGGED)
    off = start("--api", options={"disabled_extensions": ["lyco"]})
    assert our_lines(off) == []
    assert off.txt2img(PROMPT).distance(clean) == 0
    assert not off.ask("owners")["tags"]["lora"].startswith("lib_lyco")
    off.set_options(disabled_extensions=[])
    off.transport.stop()
    on = start("--api", data_dir=off.data_dir)
    assert on.txt2img(TAGGED).distance(tagged) == 0


def test_others_that_do_the_same_are_told_once(start: Start, tmp_path: Path) -> None:
    """By their files, which need not have a script with controls: a1111-sd-webui-lycoris has none."""
    data_dir = make_data_dir(tmp_path / "data")
    write_all(data_dir / "models" / "Lora")
    folder = data_dir / "extensions" / "rival" / "scripts"
    folder.mkdir(parents=True)
    for script in ("lyco_script.py", "loractl.py", "lora_block_weight.py"):
        (folder / script).write_text('"""Hears callbacks only."""\n', encoding="utf-8")
    beside = start("--api", data_dir=data_dir)
    (line,) = our_lines(beside)
    first, second = beside.txt2img(TAGGED).comments, beside.txt2img(TAGGED).comments
    for name in ("a1111-sd-webui-lycoris", "sd-webui-loractl", "sd-webui-lora-block-weight"):
        assert f"{name} is on, too" in line
        assert (f"{name} is on, too" in first, f"{name} is on, too" in second) == (True, False)


def test_without_the_builtin(host: Host, start: Start) -> None:
    """Its options are ours to show then, and its flags exist."""
    tagged = host.txt2img(TAGGED)
    alone = start("--api", options={"disabled_extensions": ["Lora"]})
    assert our_lines(alone) == ["lyco: ready for <lora:> and <lyco:> tags"]
    assert alone.txt2img(TAGGED).distance(tagged) == 0
    assert alone.status("GET", "/sdapi/v1/loras") == 200
    alone.set_options(sd_lora="alpha")
    assert alone.txt2img(PROMPT).distance(tagged) == 0
    alone.set_options(lyco_own_lora=False)
    assert "lora" not in alone.ask("owners")["tags"]


def test_a_second_one_on_the_same_folder(host: Host, start: Start) -> None:
    tagged = host.txt2img(TAGGED)
    second = start("--api", data_dir=host.data_dir)
    assert second.txt2img(TAGGED).distance(tagged) == 0
    assert our_lines(second) == ["lyco: ready for <lora:> and <lyco:> tags"]
    second.transport.stop()
    assert host.txt2img(TAGGED).distance(tagged) == 0


@pytest.mark.parametrize("flag", ["--medvram", "--lowvram"])
def test_little_gpu_memory(webui: Host, start: Start, flag: str) -> None:
    clean, tagged = webui.txt2img(PROMPT), webui.txt2img(TAGGED)
    hires = {"enable_hr": True, "denoising_strength": 0.7, "hr_upscaler": "Latent"}
    passes = {"hr_prompt": f"{PROMPT} <lora:beta>", **hires}
    both = webui.txt2img(TAGGED, **passes)
    low = start("--api", flag)
    assert low.txt2img(TAGGED).like(tagged)
    assert low.txt2img(TAGGED, **passes).like(both)
    assert low.txt2img(PROMPT).distance(clean) == 0


LITTLE = {
    "medvram": (("--medvram",), {}, 0.0),
    "lowvram": (("--lowvram",), {}, 0.0),
    "fp8": ((), {"fp8_storage": "Enable"}, 0.05),
    "fp8, lowvram": (("--lowvram",), {"fp8_storage": "Enable"}, 0.05),
}
"""Flags, settings, and how far a loss may be from that of the model in whole and fine weights."""


@pytest.mark.parametrize("how", LITTLE)
def test_training_on_a_model_in_pieces_or_in_8_bits(
    webui: Host, start: Start, tmp_path: Path, how: str
) -> None:
    """Which is made whole in each turn; compared with the host where it is whole, which is compared with
    the command line in `test_training_model`."""
    flags, options, rounding = LITTLE[how]
    trainers = [Trainer(webui, tmp_path / "whole")]
    trainers.append(Trainer(start("--api", *flags, options=options), tmp_path / "low"))
    losses: list[list[float]] = []
    for trainer in trainers:
        host = trainer.host
        picture, before = host.txt2img(PROMPT), host.ask("inside")
        prompts = {"sample_prompts": str(trainer.prompts), "sample_every_n_steps": 2}
        run = trainer.submit("little", max_steps=6, learning_rate=0.001, seed=5, **prompts)
        trainer.until(lambda: bool(trainer.told(run)["step"]))  # noqa: B023  called before the next round
        assert host.txt2img(PROMPT).distance(picture) == 0
        told = trainer.wait(run, "finished")
        after = host.ask("inside")
        assert {kind for kind in before if before[kind] != after[kind]} == set()
        assert host.txt2img(PROMPT).distance(picture) == 0
        assert len(told["samples"]) == 3
        losses.append(host.request("GET", f"/lyco/train/runs/{run}/losses")["losses"])
    assert losses[1] == pytest.approx(losses[0], rel=rounding, abs=0) and len(losses[0]) == 6
    assert (losses[1] == losses[0]) is (rounding == 0)


def test_the_page_shows_every_option(webui: Host) -> None:
    status, page = webui.transport.call("GET", "/config")
    assert status == 200
    shown = json.dumps(page)
    for key, label in webui.ask("labels").items():
        if key.startswith("lyco_"):
            assert f'"setting_{key}"' in shown
            assert json.dumps(label) in shown
