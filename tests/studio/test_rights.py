"""Who may train and where, when the page can be reached from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_lyco.errors import ConfigError, UnsafeFileError
from lib_lyco.studio.rights import PATHS, Rights, guarded
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.option import declarations
from lib_lyco.web.route import Ask, Route

Make = Callable[..., TrainConfig]


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    folder.mkdir()
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    return folder


def test_every_option_that_names_files_is_known() -> None:
    """By their help, and those whose help does not say so."""
    words = ("file of", "file with", "folder of", "folder with", "a toml file", "network files", "folder.")
    named = {
        one.name
        for one in declarations(TrainConfig)
        if one.kind in (str, tuple) and any(word in one.option.help.lower() for word in words)
    }
    assert named - {"caption_extension", "class_tokens", "name", "latent_cache", "text_cache"} <= set(PATHS)


@pytest.mark.parametrize(
    "path", ["../secret", "../secret/x", "a/../../secret", "/etc/passwd", "~", "link", "link/x"]
)
def test_paths_and_links_that_lead_out_are_refused(path: str, allowed: Path, secret: Path) -> None:
    (allowed / "link").symlink_to(secret, target_is_directory=True)
    with pytest.raises(UnsafeFileError, match="may not be used"):
        Rights((allowed,)).demand_path(allowed / path if not path.startswith("~") else path, "images")


@pytest.mark.parametrize(
    "name", ["os.path", "antigravity.Fly", "torch.hub.load", "subprocess.Popen", "x.y.Z"]
)
def test_an_optimiser_is_no_way_to_run_other_code(name: str, make_config: Make, allowed: Path) -> None:
    config = make_config(optimizer_type=name)
    roots = (Path(config.images), Path(config.output), allowed)
    with pytest.raises(UnsafeFileError, match="optimiser may not be used"):
        Rights(roots).demand_paths(config)
    Rights().demand_paths(config)  # who is alone with the machine may


@pytest.mark.parametrize("name", ["AdamW", "adamw8bit", "NAdam", "torch.optim.Adam", "came_pytorch.CAME"])
def test_known_optimisers_may_be_used_from_elsewhere(name: str, make_config: Make, allowed: Path) -> None:
    config = make_config(optimizer_type=name)
    Rights((Path(config.images), Path(config.output), allowed)).demand_paths(config)


def test_paths_below_are_allowed_and_everything_where_only_this_machine_comes(
    allowed: Path, secret: Path
) -> None:
    (allowed / "inner").mkdir()
    (allowed / "link").symlink_to(allowed / "inner", target_is_directory=True)
    assert Rights((allowed,)).demand_path(allowed / "link" / "new") == (allowed / "inner" / "new").resolve()
    assert Rights().demand_path(secret) == secret.resolve()
    with pytest.raises(UnsafeFileError):
        Rights((allowed,)).demand_path(str(allowed) + "-not")


@pytest.mark.parametrize("name", PATHS)
def test_each_option_of_a_run_is_held_to_them(
    name: str, make_config: Make, allowed: Path, secret: Path, photographs: Path
) -> None:
    config = make_config()
    rights = Rights((allowed, photographs, Path(config.output)))
    rights.demand_paths(config)
    value = (str(secret),) if name == "base_weights" else str(secret)
    # the value alone is looked at: whether options fit each other is another question
    object.__setattr__(config, name, value)
    with pytest.raises(UnsafeFileError) as refused:
        rights.demand_paths(config)
    assert refused.value.where == name
    Rights().demand_paths(config)


def test_folders_inside_a_dataset_config_are_held_to_them(
    make_config: Make, allowed: Path, photographs: Path
) -> None:
    listed = allowed / "datasets.json"
    subset = {"image_dir": str(photographs / "1_object"), "num_repeats": 1}
    listed.write_text(json.dumps({"datasets": [{"subsets": [subset]}]}), encoding="utf-8")
    config = make_config(images="", dataset_config=str(listed), output=str(allowed))
    with pytest.raises(UnsafeFileError):
        Rights((allowed,)).demand_paths(config)
    Rights((allowed, photographs)).demand_paths(config)


def test_an_image_that_is_a_link_out_of_them_is_refused(
    make_config: Make, allowed: Path, photographs: Path
) -> None:
    (allowed / "1_linked").mkdir()
    (allowed / "1_linked" / "cat.png").symlink_to(photographs / "2_chelsea cat" / "chelsea.png")
    config = make_config(images=str(allowed), output=str(allowed))
    with pytest.raises(UnsafeFileError):
        Rights((allowed,)).demand_paths(config)


@pytest.mark.parametrize(
    ("rights", "local", "elsewhere"),
    [
        (Rights(), True, True),
        (Rights((Path(),)), True, False),
        (Rights((Path(),), login=True), True, True),
        (Rights((Path(),), trusts_machine=False), False, False),
        (Rights((Path(),), login=True, trusts_machine=False), True, True),
    ],
)
def test_only_who_has_the_right_may_do_anything(rights: Rights, local: bool, elsewhere: bool) -> None:
    routes = guarded([Route(method, "/", lambda ask: {"done": True}) for method in ("GET", "POST")], rights)
    for is_local, allowed in ((True, local), (False, elsewhere)):
        ask = Ask(is_local=is_local)
        assert routes[0].answer(ask) == {"done": True}
        if allowed:
            assert routes[1].answer(ask) == {"done": True}
        else:
            with pytest.raises(ConfigError, match="login"):
                routes[1].answer(ask)
