"""What the page is told of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_lyco.errors import ConfigError, FileError, UnsafeFileError
from lib_lyco.studio.live_run import LiveRun
from lib_lyco.studio.rights import Rights
from lib_lyco.studio.run_routes import RunRoutes
from lib_lyco.studio.runs import Runs
from lib_lyco.train.config import TrainConfig
from lib_lyco.web.route import Ask, Content
from tests.studio.places import Gate, wait_for

Make = Callable[..., TrainConfig]


class Page:
    """Asks as the page does."""

    def __init__(self, runs: Runs, rights: Rights) -> None:
        self._routes = {(one.method, one.path): one.answer for one in RunRoutes(runs, rights).routes()}

    def get(self, path: str, **given: str) -> Any:
        return self._answer("GET", path, Ask(given))

    def post(self, path: str, body: dict[str, Any], **given: str) -> Any:
        return self._answer("POST", path, Ask(given, body))

    def _answer(self, method: str, path: str, ask: Ask) -> Any:
        answer = self._routes[method, f"/lyco/train/{path}"](ask)
        if isinstance(answer, Content):
            return answer
        return json.loads(json.dumps(answer, allow_nan=False))


@pytest.fixture
def page(runs: Runs) -> Page:
    return Page(runs, Rights())


def given(config: TrainConfig, *names: str) -> dict[str, Any]:
    """Options as the page sends them."""
    return {
        name: getattr(config, name)
        for name in ("images", "resolution", "bucket_min", "bucket_step", *names)
    }


def test_run_is_told_from_its_submission_to_its_end(
    page: Page, runs: Runs, make_config: Make, gate: Gate, tmp_path: Path
) -> None:
    config = make_config()
    empty = page.get("runs")
    assert (empty["current"], empty["queue"], empty["past"], empty["can_train"]) == (None, [], [], "")
    assert empty["memory"] == {"used": 1, "total": 2}
    gate.at(2)
    body = {
        "config": {**given(config, "allow_untagged"), "epochs": 1, "rank": 2, "name": "cat"},
        "kind": "train",
    }
    id = page.post("runs", body)["id"]
    wait_for(runs, id, "training", step=2)
    waiting = page.post("runs", body)["id"]
    status = page.get("runs")
    assert status["current"]["id"] == id and status["current"]["state"] == "training"
    assert [row["id"] for row in status["queue"]] == [waiting] and status["revision"] != empty["revision"]
    told = page.get("runs/{id}", id=id)
    assert told["phase"] == "Training." and told["plan"]["steps"] == told["total"] == 5
    assert set(told["changed"]) >= {"rank", "name"} and "seed" not in told["changed"]
    assert told["config"]["rank"] == 2 and told["config"]["output"] == str(tmp_path / "output")
    assert page.get("runs/{id}/losses", id=id, after="0")["steps"] == [1, 2]
    assert page.get("runs/{id}/losses", id=id, after="1")["steps"] == [2]
    gate.open()
    wait_for(runs, waiting, "failed")  # its files are there already
    assert [row["state"] for row in page.get("runs")["past"]] == ["failed", "finished"]
    assert "another name" in page.get("runs")["past"][0]["message"]


def test_two_runs_differ_in_what_is_told(page: Page, runs: Runs, make_config: Make) -> None:
    first = runs.submit(make_config(rank=3, name="one")).id
    second = runs.submit(make_config(rank=5, name="two")).id
    rows = page.get("difference", a=first, b=second)["rows"]
    assert rows == [["rank", 3, 5], ["name", "one", "two"]]


def test_each_of_two_runs_of_a_name_keeps_its_own_prompts(
    page: Page, runs: Runs, make_config: Make, gate: Gate, tmp_path: Path
) -> None:
    gate.at(0)
    ids: list[str] = []
    prompts = tmp_path / "prompts" / "cat.txt"
    prompts.parent.mkdir()
    for text in ("a cat", "a dog"):  # the tab writes the prompts of a name into one file
        prompts.write_text(text, encoding="utf-8")
        ids.append(runs.submit(make_config(name="cat", sample_prompts=str(prompts))).id)
    prompts.unlink()
    kept = [Path(runs.store.config(id).sample_prompts).read_text(encoding="utf-8") for id in ids]
    assert kept == ["a cat", "a dog"]
    told = page.get("difference", a=ids[0], b=ids[1])
    assert told["rows"] == [["sample_prompts", "a cat", "a dog"]]
    assert told["titles"]["sample_prompts"] == "Sample prompts"
    gate.open()


def test_a_comparison_tells_how_long_it_will_take(
    page: Page, runs: Runs, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = runs.submit(make_config(name="cat")).id
    wait_for(runs, id, "finished")
    told: list[tuple[int, float | None]] = []
    change = LiveRun.change

    def noted(run: LiveRun, **values: Any) -> None:
        if "eta" in values and "total" in values:
            told.append((values["total"] - values["step"], values["eta"]))
        change(run, **values)

    monkeypatch.setattr(LiveRun, "change", noted)
    config = runs.store.config(id)
    job = runs.submit(config, "best", of=id)
    assert wait_for(runs, job.id, "finished").eta is None
    first, *others = [eta for left, eta in told if left]
    assert first is None and any(eta is not None and eta > 0 for eta in others)
    assert told[-1] == (0, 0.0)


def test_only_the_runs_own_pictures_are_served(
    page: Page, runs: Runs, make_config: Make, gate: Gate, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat", encoding="utf-8")
    config = make_config(sample_prompts=str(prompts), sample_every_n_steps=5)
    id = runs.submit(config).id
    wait_for(runs, id, "finished")
    (sample,) = (Path(config.output) / "sample").iterdir()
    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20")
    Image.new("RGB", (8, 8)).save(sample, pnginfo=info)
    (told,) = page.get("runs/{id}", id=id)["samples"]
    assert told == {
        "name": sample.name, "step": 5, "prompt": "a cat", "with_network": True, "info": "a cat\nSteps: 20"
    }  # fmt: skip
    content = page.get("runs/{id}/picture", id=id, name=sample.name)
    assert content.data == sample.read_bytes() and content.media_type == "image/png"
    (sample.parent / "private.png").write_bytes(sample.read_bytes())
    for name in ("private.png", f"../sample/{sample.name}", str(sample), "", "../network.safetensors"):
        with pytest.raises(FileError):
            page.get("runs/{id}/picture", id=id, name=name)
    kept = sample.read_bytes()
    sample.unlink()
    outside = tmp_path / sample.name
    outside.write_bytes(kept)
    sample.symlink_to(outside)
    with pytest.raises(FileError):
        page.get("runs/{id}/picture", id=id, name=sample.name)


def test_bad_requests_are_told_with_their_field(page: Page, runs: Runs, make_config: Make) -> None:
    config = given(make_config())
    for body, field in (
        ({"config": {**config, "rank": 0}}, "rank"),
        ({"config": {**config, "rnak": 4}}, "rnak"),
        ({"config": config, "kind": "party"}, "kind"),
        ({"config": []}, ""),
        ({}, ""),
    ):
        with pytest.raises(ConfigError) as refused:
            page.post("runs", body)
        assert refused.value.where == field
    for path, more in (("runs/{id}", {}), ("runs/{id}/losses", {}), ("runs/{id}/report", {})):
        with pytest.raises(ConfigError, match="no such run"):
            page.get(path, id="../../x", **more)
    with pytest.raises(ConfigError):
        page.post("queue", {"order": "all"})
    assert runs.records() == []


def test_run_outside_of_the_allowed_folders_is_not_queued(
    runs: Runs, make_config: Make, tmp_path: Path
) -> None:
    page = Page(runs, Rights((tmp_path / "output",)))
    with pytest.raises(UnsafeFileError) as refused:
        page.post("runs", {"config": given(make_config())})
    assert refused.value.where == "images" and runs.records() == []
