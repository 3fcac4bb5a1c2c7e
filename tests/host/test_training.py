"""Training on the WebUI's own model: pictures beside it are as without it, and nothing is left of it."""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.host.driver import Host
from tests.host.small_models import write_small
from tests.host.training import Trainer, beside

PROMPT = "a red circle on a blue ground"
RUN = f"{PROMPT} <lora:@run>"
MOST_MS = 60.0
"""Of an empty turn on this model where somebody is let in after it, in the time of its thread."""
MOST_MS_ALONE = 1.0


@pytest.fixture
def trainer(webui: Host, tmp_path: Path) -> Trainer:
    return Trainer(webui, tmp_path)


def sampled(trainer: Trainer) -> dict[str, Any]:
    return {"sample_prompts": str(trainer.prompts), "sample_every_n_epochs": 1}


def finish(trainer: Trainer, name: str, **options: Any) -> None:
    trainer.wait(trainer.submit(name, max_steps=3, **options), "finished")


def stop(trainer: Trainer, name: str, **options: Any) -> None:
    trainer.end(trainer.begin(name, epochs=50, **options))


def discard(trainer: Trainer, name: str) -> None:
    run = trainer.begin(name, epochs=50)
    trainer.act(run, "discard")
    trainer.until(lambda: trainer.told(run)["state"] == "discarded")


def pause(trainer: Trainer, name: str) -> None:
    run = trainer.begin(name, epochs=50)
    trainer.act(run, "pause")
    trainer.wait(run, "paused")
    trainer.end(run)


def fail(trainer: Trainer, name: str, how: str, times: int = 1) -> None:
    run = trainer.begin(name, epochs=50)
    trainer.host.ask("disturb_step", call=2, how=how, times=times)
    trainer.wait(run, "failed", "interrupted")
    trainer.host.ask("calm")


def recover(trainer: Trainer, name: str) -> None:
    run = trainer.begin(name, epochs=50)
    trainer.host.ask("disturb_step", call=2, how="memory")
    step = trainer.told(run)["step"]
    trainer.wait(run, "training", step=step + 4)
    trainer.end(run)


def switch(trainer: Trainer, name: str, other: str = "other", resumed: bool = False) -> None:
    if other != "other":
        write_small(trainer.host.checkpoints, "sd2")
    run = trainer.begin(name, epochs=50)
    trainer.host.use(other)
    told = trainer.wait(run, "paused")
    assert other in told["message"] and "Waits for the checkpoint lyco-embedded" in told["message"]
    if resumed:
        trainer.act(run, "resume")  # has it loaded in the place of the user's, until the end
    else:
        trainer.host.use("lyco-embedded")
    trainer.until(lambda: trainer.told(run)["state"] != "paused")
    trainer.wait(run, "training", step=told["step"] + 1)
    trainer.end(run)
    left = other if resumed else "lyco-embedded"
    trainer.until(lambda: trainer.host.ask("trained_bases")["loaded"].startswith(left))
    for checkpoint in ("other", "lyco-embedded"):
        trainer.host.use(checkpoint)
    trainer.host.txt2img(PROMPT)  # with which the text encoder's new wrapper gets all its attributes


def unload(trainer: Trainer, name: str) -> None:
    run = trainer.begin(name, epochs=50)
    for _ in range(2):
        trainer.host.request("POST", "/sdapi/v1/unload-checkpoint")
        trainer.host.request("POST", "/sdapi/v1/reload-checkpoint")
    trainer.end(run)


def interrupt(trainer: Trainer, name: str) -> None:
    run = trainer.begin(name, epochs=50)
    trainer.host.ask("interrupt")
    step = trainer.told(run)["step"]
    trainer.wait(run, "training", step=step + 2)
    trainer.end(run)


def reload(trainer: Trainer, name: str) -> None:
    run = trainer.begin(name, epochs=50)
    trainer.host.reload_ui()
    told = trainer.told(run)
    if told["state"] not in ("queued", "preparing", "training"):
        trainer.act(run, "again")
    trainer.wait(run, "training", step=told["step"] or 1)
    trainer.end(run)


ENDINGS: dict[str, Callable[[Trainer], None]] = {
    "finished": lambda t: finish(t, "lora"),
    "convolutions": lambda t: finish(t, "locon", algo="locon", conv_rank=2),
    "dora": lambda t: finish(t, "dora", dora=True),
    "full": lambda t: finish(t, "full", algo="full"),
    "ia3": lambda t: finish(t, "ia3", algo="ia3"),
    "checkpointing": lambda t: finish(t, "checkpointing", gradient_checkpointing=True),
    "denoiser alone": lambda t: finish(t, "unet", te_learning_rate=[0.0]),
    "a base with a network": lambda t: finish(
        t, "merged", base_weights=[str(t.host.networks / "alpha.safetensors")]
    ),
    "samples": lambda t: finish(t, "samples", sample_at_first=True, **sampled(t)),
    "half": lambda t: finish(t, "half", precision="bf16"),
    "stopped": lambda t: stop(t, "stopped"),
    "stopped, checkpointing": lambda t: stop(t, "stopped2", gradient_checkpointing=True),
    "discarded": lambda t: discard(t, "discarded"),
    "paused": lambda t: pause(t, "paused"),
    "failed": lambda t: fail(t, "failed", "error"),
    "out of memory": lambda t: fail(t, "memory", "memory", times=40),
    "recovered": lambda t: recover(t, "recovered"),
    "interrupted": lambda t: interrupt(t, "interrupted"),
    "another checkpoint": lambda t: switch(t, "switched"),
    "another family": lambda t: switch(t, "switched2", "small-sd2"),
    "another checkpoint, then resumed": lambda t: switch(t, "switched3", resumed=True),
    "unloaded": lambda t: unload(t, "unloaded"),
    "reloaded": lambda t: reload(t, "reloaded"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_host_is_as_it_was_however_a_run_ends(trainer: Trainer, ending: str) -> None:
    host = trainer.host
    for checkpoint in ("other", "lyco-embedded"):  # after which the host's models have more attributes
        host.use(checkpoint)
    picture = host.txt2img(PROMPT)
    chance, before = host.ask("chance"), host.ask("inside")
    ENDINGS[ending](trainer)
    after = host.ask("inside")
    assert {kind for kind in before if before[kind] != after[kind]} == set()
    if ending in ("finished", "convolutions", "samples", "stopped"):
        assert host.ask("chance") == chance
    assert host.ask("ours") == {"classes": [], "hooks": []}
    assert host.txt2img(PROMPT).distance(picture) == 0


def test_pictures_while_a_run_goes_are_those_without_it(trainer: Trainer) -> None:
    host = trainer.host
    plain, tagged = host.txt2img(PROMPT), host.txt2img(f"{PROMPT} <lora:alpha>")
    wide = host.txt2img(PROMPT, tiling=True)
    run = trainer.begin("beside", epochs=50, learning_rate=0.01, gradient_checkpointing=True)
    live = [host.txt2img(RUN)]
    for _ in range(3):
        assert host.txt2img(PROMPT).distance(plain) == 0
        assert host.txt2img(f"{PROMPT} <lora:alpha>").distance(tagged) == 0
        assert host.txt2img(PROMPT, tiling=True).distance(wide) == 0
        live.append(host.txt2img(RUN))
    pictures = beside(lambda: host.txt2img(PROMPT), lambda: host.txt2img(f"{PROMPT} <lora:alpha>"))
    assert [one.distance(other) for one, other in zip(pictures, (plain, tagged), strict=True)] == [0, 0]
    assert all(one.distance(other) for one, other in zip(live, live[1:], strict=False))
    told = trainer.end(run)
    name = Path(told["path"]).stem
    assert host.txt2img(RUN).distance(host.txt2img(f"{PROMPT} <lora:{name}>")) == 0
    snapshot = host.txt2img(f"{PROMPT} <lora:@run@{told['step']}>")
    assert snapshot.distance(host.txt2img(RUN)) == 0
    missing = host.txt2img(f"{PROMPT} <lora:@run@9999>")
    assert "no file of this step" in missing.comments
    assert missing.distance(plain) == 0


def test_a_run_learns_the_same_beside_pictures(trainer: Trainer) -> None:
    alone, beside_pictures = (
        trainer.submit(name, metadata=False, save_precision="fp32") for name in ("alone", "among")
    )
    trainer.wait(alone, "finished")
    while trainer.told(beside_pictures)["state"] != "finished":
        trainer.host.txt2img(f"{PROMPT} <lora:alpha>")
    files = [Path(trainer.told(run)["path"]).read_bytes() for run in (alone, beside_pictures)]
    assert files[0] == files[1]


def test_a_sample_is_what_txt2img_makes_of_its_infotext(trainer: Trainer) -> None:
    host = trainer.host
    run = trainer.submit("sampled", learning_rate=0.01, sample_without_network=True, **sampled(trainer))
    told = trainer.wait(run, "finished")
    for sample in told["samples"]:
        parameters = host.ask("pasted", infotext=sample["info"])
        assert ("<lora:sampled:1>" in parameters["Prompt"]) is sample["with_network"]
        width, height = map(int, re.findall(r"\d+", re.findall(r"Size: \S+", sample["info"])[0]))
        drawn = host.txt2img(
            parameters["Prompt"],
            negative_prompt=parameters.get("Negative prompt", ""),
            **{"seed": int(parameters["Seed"]), "steps": int(parameters["Steps"])},
            **{"cfg_scale": float(parameters["CFG scale"]), "sampler_name": parameters["Sampler"]},
            **{"scheduler": parameters["Schedule type"], "width": width, "height": height},
        )
        with Image.open(host.networks / "sample" / sample["name"]) as picture:
            assert np.array_equal(np.asarray(picture.convert("RGB")), drawn.pixels[0])
        assert drawn.infotext == sample["info"]
    assert len(told["samples"]) == 2


def test_its_card_is_there_without_refresh(trainer: Trainer) -> None:
    before = trainer.host.request("GET", "/lyco/cards/revision")["revision"]
    trainer.wait(trainer.submit("fresh-card", max_steps=2), "finished")
    end = time.monotonic() + 30
    while trainer.host.request("GET", "/lyco/cards/revision")["revision"] == before:
        assert time.monotonic() < end
        time.sleep(0.2)
    cards = trainer.host.request("GET", "/lyco/cards", query="fresh-card")
    assert "fresh-card" in str(cards)


def latency(host: Host, count: int) -> float:
    """Seconds of a picture, the median."""
    taken: list[float] = []
    for _ in range(count):
        begun = time.monotonic()
        host.txt2img(PROMPT)
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


def test_a_picture_waits_for_one_step(trainer: Trainer) -> None:
    host = trainer.host
    without = latency(host, 9)
    run = trainer.begin("latency", epochs=200)
    beside_run = latency(host, 9)
    told = trainer.told(run)
    trainer.end(run)
    sys.stdout.write(
        f"median of a picture: {without:.2f} s without a run, {beside_run:.2f} s beside one "
        f"({told['seconds_per_step']:.2f} s a step)\n"
    )
    # a step that has begun, and a picture's own requests; a run that does not let go takes minutes
    assert beside_run < without + 3 * told["seconds_per_step"] + 2.0


def test_a_turn_costs_little(trainer: Trainer, tmp_path: Path) -> None:
    found = trainer.host.ask("turn_cost", images=str(trainer.images), output=str(tmp_path / "out"))
    sys.stdout.write(
        f"an empty turn: {found['alone']:.3f} ms alone, {found['beside']:.2f} ms where somebody is let in, "
        f"{found['layers']:.0f} trained layers\n"
    )
    assert found["alone"] < MOST_MS_ALONE
    assert found["beside"] < MOST_MS
