"""Presets work by themselves, and leave alone what is the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.studio.presets import PERSONAL, Presets, built_in
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.config_file import load_config
from lib_lyco.train.option import declarations


def test_every_built_in_preset_makes_a_config() -> None:
    presets = built_in()
    assert len({one.id for one in presets}) == len(presets)
    assert {one.title for one in presets} >= {f"SDXL, {memory} GB" for memory in (6, 8, 12, 16, 24)}
    for one in presets:
        make_config(one.values)
        assert not PERSONAL & one.values.keys()
        assert one.about


def test_what_is_the_users_are_options() -> None:
    assert {one.name for one in declarations(TrainConfig)} >= PERSONAL


def test_a_preset_is_kept_and_found_again(tmp_path: Path) -> None:
    presets = Presets(tmp_path / "presets")
    kept = presets.keep("My cats", make_config({"rank": 4, "images": "cats", "name": "tom"}))
    assert (kept.title, kept.own, dict(kept.values)) == ("My cats", True, {"rank": 4})
    assert presets.all()[0] == kept
    assert presets.find(kept.id).values == {"rank": 4}
    assert load_config(tmp_path / "presets" / "My cats.toml").rank == 4
    presets.remove(kept.id)
    assert not any(one.own for one in presets.all())


@pytest.mark.parametrize("title", ["", "../up", "a/b", "a\\b", ".hidden", "con:1", "x" * 81])
def test_a_title_stays_in_the_folder(tmp_path: Path, title: str) -> None:
    with pytest.raises(ConfigError):
        Presets(tmp_path).keep(title, make_config({}))


def test_a_broken_file_is_told_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("rank = [", encoding="utf-8")
    (tmp_path / "good.toml").write_text("rank = 3", encoding="utf-8")
    bad, good = Presets(tmp_path).all()[:2]
    assert "cannot be read" in bad.about
    assert good.values == {"rank": 3}


def test_what_came_with_the_program_stays(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Presets(tmp_path).remove("sdxl-8")
    with pytest.raises(ConfigError):
        Presets(tmp_path).find("own:nobody")
