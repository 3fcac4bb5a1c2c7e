"""The demo as a whole, shortened: one algorithm on the embedded model, in its own process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_lyco.demo.concepts import CONCEPTS
from lib_lyco.demo.page import Result
from lib_lyco.demo.recipe import DEFAULT_ALGOS, NAMES, RECIPES, Length, demo_config
from lib_lyco.demo.run import Advanced, Demo, PageWritten, run_demo
from lib_lyco.errors import ConfigError
from lib_lyco.network.load import load_network
from lib_lyco.train.config_file import load_config
from lib_lyco.train.options.network import ALGOS


def test_every_algorithm_has_a_recipe_and_a_name(tmp_path: Path) -> None:
    assert set(RECIPES) == set(NAMES) == set(ALGOS)
    for algo in ALGOS:
        demo_config(algo, tmp_path, tmp_path, Length(), 0)


def test_six_algorithms_are_the_default() -> None:
    assert DEFAULT_ALGOS == ("lora", "locon", "loha", "lokr", "ia3", "dylora")


def test_unknown_algorithm_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="algo"):
        next(run_demo(Demo(tmp_path / "out", ("lora", "magic"))))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_demo_leaves_network_pictures_curve_settings_and_page(tmp_path: Path) -> None:
    demo = Demo(tmp_path, ("lokr",), Length(epochs=2, repeats=2))
    events = list(run_demo(demo))
    fractions = [event.fraction for event in events if isinstance(event, Advanced)]
    (result,) = (event for event in events if isinstance(event, Result))
    (page,) = (event for event in events if isinstance(event, PageWritten))
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == pytest.approx((0, 1))

    outcome, folder = result.outcome, tmp_path / "lokr"
    assert outcome.restored
    assert outcome.file_bytes == (folder / "lokr.safetensors").stat().st_size
    assert len(load_network(folder / "lokr.safetensors").adapters) > 200
    assert load_config(folder / "config.toml").algo == "lokr"
    titles = [state.title for state in outcome.states]
    assert titles == ["base model", "strength 0.5", "strength 1", "strength 1.5", "epoch 1 of 2"]
    assert outcome.states[0].concept_change == 0 < outcome.states[2].concept_change
    assert result.peak_bytes > 200 << 20
    with Image.open(folder / "comparison.png") as sheet:
        assert len(np.unique(np.asarray(sheet))) > 100
    assert page.path == tmp_path / "index.html" and "lokr/comparison.png" in page.path.read_text("utf-8")
    assert all((tmp_path / f"{concept.name}.png").is_file() for concept in CONCEPTS)
