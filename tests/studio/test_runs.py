"""The queue: runs one after another, stopped, paused, gone on with, discarded; the host's turns kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lib_lyco.errors import ConfigError, ModelError
from lib_lyco.studio.history import read_history, read_messages
from lib_lyco.studio.report import report
from lib_lyco.studio.runs import Runs
from lib_lyco.studio.workplace import Interrupted
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.run import train
from tests.studio.places import Gate, TinyProvider, wait_for
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def undisturbed(config: TrainConfig, name: str) -> dict[str, torch.Tensor]:
    """The network that the training makes without a queue and without a disturbance."""
    list(train(config.replaced(name=name), TinyModel()))
    return load_file(Path(config.output) / f"{name}.safetensors")


def same(path: str | None, expected: dict[str, torch.Tensor]) -> bool:
    assert path is not None
    found = load_file(path)
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_a_queued_run_is_made_and_is_that_of_the_training_alone(runs: Runs, make_config: Make) -> None:
    config = make_config(name="queued")
    id = runs.submit(config).id
    record = wait_for(runs, id, "finished")
    assert (record.step, record.total, record.epoch, record.epochs) == (5, 5, 1, 1)
    assert record.base == "tiny" and record.started is not None and record.ended is not None
    assert same(record.path, undisturbed(config, "alone"))
    history = read_history(runs.store.place(id))
    assert history.steps == [1, 2, 3, 4, 5] and record.loss == history.losses[-1]
    assert record.average_loss == pytest.approx(sum(history.losses) / 5)


def test_a_failure_tells_why_and_the_next_run_has_its_turn(
    runs: Runs, make_config: Make, provider: TinyProvider, tmp_path: Path
) -> None:
    provider.problem = ModelError("The base model is no base model", got="a cake")
    first = runs.submit(make_config(name="first")).id
    second = runs.submit(make_config(name="second", images=str(tmp_path / "nowhere"))).id
    third = runs.submit(make_config(name="third")).id
    assert wait_for(runs, third, "finished").step == 5
    failed = runs.record(first)
    assert failed.state == "failed" and "a cake" in failed.message and "\n" not in failed.message
    assert runs.record(second).state == "failed" and "nowhere" in runs.record(second).message
    text = report(runs.store, failed)
    assert (
        "Traceback" in text and "ModelError" in text and f"torch {torch.__version__.split('+')[0]}" in text
    )


def test_unexpected_errors_are_sentences_and_their_traceback_is_in_the_report(
    runs: Runs, make_config: Make, provider: TinyProvider
) -> None:
    provider.problem = ZeroDivisionError("division by zero\nsecond line")
    record = wait_for(runs, runs.submit(make_config()).id, "failed")
    assert "division by zero" in record.message and "second line" not in record.message
    assert "Traceback" not in record.message and "Traceback" in report(runs.store, record)


def test_queue_is_made_in_the_order_that_it_is_put_in(runs: Runs, make_config: Make, gate: Gate) -> None:
    gate.at(1)
    first = runs.submit(make_config(name="a")).id
    wait_for(runs, first, "training")
    second, third = (runs.submit(make_config(name=name)).id for name in ("b", "c"))
    assert [record.id for record in runs.queue()] == [second, third]
    assert [record.id for record in runs.reorder([third, second])] == [third, second]
    gate.open()
    last = wait_for(runs, second, "finished")
    between = runs.record(third)
    assert between.ended is not None and last.started is not None and between.ended <= last.started


def test_pause_gives_the_turn_back_once_and_the_result_is_the_same(
    runs: Runs, make_config: Make, provider: TinyProvider, gate: Gate
) -> None:
    config = make_config(name="paused")
    gate.at(2)
    id = runs.submit(config).id
    wait_for(runs, id, "training", step=2)
    runs.act(id, "pause")
    gate.open()
    wait_for(runs, id, "paused")
    time.sleep(2.5)  # a run looks each second whether it may go on
    assert not provider.inside and provider.asides == 1
    runs.act(id, "resume")
    assert same(wait_for(runs, id, "finished").path, undisturbed(config, "alone"))


@pytest.mark.parametrize("state", ["training", "paused"])
def test_stop_keeps_what_is_trained_and_again_goes_on_exactly(
    runs: Runs, make_config: Make, gate: Gate, state: str
) -> None:
    config = make_config(name="stopped")
    gate.at(2)
    id = runs.submit(config).id
    wait_for(runs, id, "training", step=2)
    if state == "paused":
        runs.act(id, "pause")
        gate.open()
        wait_for(runs, id, "paused")
    runs.act(id, "stop")
    gate.open()
    stopped = wait_for(runs, id, "stopped")
    assert stopped.step == 2 and stopped.path is not None and Path(stopped.path).is_file()
    runs.act(id, "again")
    assert same(wait_for(runs, id, "finished").path, undisturbed(config, "alone"))
    assert read_history(runs.store.place(id)).steps == [1, 2, 3, 4, 5]


def test_save_and_sample_now_are_told(runs: Runs, make_config: Make, gate: Gate, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat", encoding="utf-8")
    gate.at(2)
    id = runs.submit(make_config(name="now", sample_prompts=str(prompts))).id
    wait_for(runs, id, "training", step=2)
    runs.act(id, "save")
    runs.act(id, "sample")
    gate.open()
    wait_for(runs, id, "finished")
    history = read_history(runs.store.place(id))
    assert [(line["step"], line["reason"]) for line in history.saved] == [(2, "asked"), (5, "final")]
    assert [(line["step"], line["prompt"]) for line in history.samples] == [(2, "a cat")]
    kinds = [line["kind"] for line in read_messages(runs.store.place(id), 100)]
    assert kinds.count("saved") == 2 and kinds.count("sampled") == 1


def test_run_that_is_to_leave_is_saved_and_can_go_on(
    runs: Runs, make_config: Make, provider: TinyProvider, gate: Gate
) -> None:
    config = make_config(name="gone")
    gate.at(3)
    id = runs.submit(config).id
    wait_for(runs, id, "training", step=3)
    provider.refusal = Interrupted("The program ends.", final=True)
    gate.open()
    assert wait_for(runs, id, "stopped").message == "The program ends."
    assert (Path(config.output) / "gone-step00000003.safetensors").is_file()
    provider.refusal = None
    runs.act(id, "again")
    assert same(wait_for(runs, id, "finished").path, undisturbed(config, "alone"))


@pytest.mark.parametrize("how", ["loaded", "resume", "restart"])
def test_run_goes_on_exactly_once_its_base_model_is_back(
    runs: Runs, make_config: Make, provider: TinyProvider, gate: Gate, how: str
) -> None:
    config = make_config(name="gone")
    gate.at(3)
    id, other = runs.submit(config).id, runs.submit(make_config(name="other")).id
    wait_for(runs, id, "training", step=3)
    provider.lose("Another checkpoint was loaded (huge).")
    gate.open()
    record = wait_for(runs, id, "paused")
    assert record.message == (
        "Waits for the checkpoint tiny. Another checkpoint was loaded (huge). The run goes on by itself "
        "when that checkpoint is loaded again. Resume loads it."
    )
    assert (Path(config.output) / "gone-step00000003.safetensors").is_file()
    assert "huge" in wait_for(runs, other, "paused").message
    if how == "resume":
        runs.act(id, "resume")
        finished = wait_for(runs, id, "finished")
        assert provider.opened[1] == "tiny"
    else:
        if how == "restart":
            runs.close()
            runs = Runs(runs.store.folder, provider, Path(config.output))
            runs.start()
            assert wait_for(runs, id, "paused").step == 3
        provider.find()
        finished = wait_for(runs, id, "finished")
        assert set(provider.opened) == {""}
    assert wait_for(runs, other, "finished").step == 5
    assert same(finished.path, undisturbed(config, "alone"))
    runs.close()


def test_run_waits_where_another_base_model_is_loaded_than_it_was_made_for(
    runs: Runs, make_config: Make, provider: TinyProvider, gate: Gate
) -> None:
    gate.at(1)
    first = runs.submit(make_config(name="first")).id
    wait_for(runs, first, "training")
    id = runs.submit(make_config(name="second")).id
    provider.title = "huge"
    gate.open()
    record = wait_for(runs, id, "paused")
    assert "tiny" in record.message and "huge" in record.message and record.step == 0
    assert wait_for(runs, first, "finished")
    provider.title = "tiny [0123abcd]"  # the WebUI has made its hash meanwhile
    assert wait_for(runs, id, "finished").step == 5


def test_discard_removes_what_the_run_wrote_and_nothing_else(
    runs: Runs, make_config: Make, gate: Gate
) -> None:
    config = make_config(name="cat", save_every_n_steps=1, ema_decay=0.5)
    output = Path(config.output)
    output.mkdir(parents=True)
    foreign = [output / name for name in ("cat-other.safetensors", "dog.safetensors", "cat.txt")]
    for path in foreign:
        path.write_bytes(b"mine")
    gate.at(3)
    id = runs.submit(config).id
    wait_for(runs, id, "training", step=3)
    assert (output / "cat-step00000002-ema.safetensors").is_file() or list(output.glob("cat-ema*"))
    runs.act(id, "discard")
    gate.open()
    until = time.monotonic() + 60
    while any(record.id == id for record in runs.records()) and time.monotonic() < until:
        time.sleep(0.01)
    assert sorted(path for path in output.rglob("*") if path.is_file()) == sorted(foreign)
    with pytest.raises(ConfigError, match="no such run"):
        runs.record(id)


def test_finished_run_is_made_again_beside_the_first(runs: Runs, make_config: Make) -> None:
    config = make_config(name="cat", overwrite=False)
    first = wait_for(runs, runs.submit(config).id, "finished")
    second = wait_for(runs, runs.act(first.id, "again").id, "finished")
    assert second.id != first.id and second.name == "cat-2"
    assert second.path is not None and same(first.path, load_file(second.path))


def test_end_of_the_program_saves_the_run_and_the_next_start_goes_on(
    runs: Runs, make_config: Make, provider: TinyProvider, gate: Gate, tmp_path: Path
) -> None:
    config = make_config(name="broken off")
    expected = undisturbed(config, "alone")
    gate.at(3)
    id = runs.submit(config).id
    wait_for(runs, id, "training", step=3)
    waiting = runs.submit(make_config(name="waiting")).id
    gate.open()
    runs.close(goes_on=True)
    assert runs.record(id).state == "queued"
    anew = Runs(tmp_path / "runs", provider, tmp_path / "output")
    assert [record.id for record in anew.queue()] == [id, waiting]
    anew.start()
    try:
        record = wait_for(anew, id, "finished")
        assert same(record.path, expected)
        assert wait_for(anew, waiting, "finished").step == 5
    finally:
        anew.close()


def test_end_of_the_program_leaves_a_run_that_can_be_taken_up(
    runs: Runs, make_config: Make, gate: Gate
) -> None:
    gate.at(3)
    id = runs.submit(make_config()).id
    wait_for(runs, id, "training", step=3)
    gate.open()
    runs.close()
    assert runs.record(id).state == "interrupted"


def test_only_one_program_works_on_a_folder(
    runs: Runs, make_config: Make, provider: TinyProvider, tmp_path: Path
) -> None:
    other = Runs(tmp_path / "runs", provider, tmp_path / "output")
    other.start()
    try:
        with pytest.raises(ConfigError, match="Another program"):
            other.submit(make_config())
        assert runs.worker.elsewhere == ""
    finally:
        other.close()


def test_what_cannot_be_asked_of_a_run_is_told(runs: Runs, make_config: Make) -> None:
    id = runs.submit(make_config()).id
    wait_for(runs, id, "finished")
    for action in ("stop", "pause", "save", "explode", ""):
        with pytest.raises(ConfigError, match="finished"):
            runs.act(id, action)
    with pytest.raises(ConfigError, match="broken") as refused:
        runs.submit(make_config(base_model="bad"))
    assert refused.value.where == "base_model"
