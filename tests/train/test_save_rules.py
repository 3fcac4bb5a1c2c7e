"""Which files a run leaves behind: sd-scripts' rules, by its own functions' sums and in whole runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.config_file import parse_config
from lib_lyco.train.save_rules import Due, Every, Last, SaveRules
from tests.train.test_run import final_file, run

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    ("every", "keep", "step", "removed"),
    [
        # sd-scripts, get_remove_step_no: r = step - keep - 1; r - r % every, unless below 0
        (100, 300, 500, 100),  # the documents' example
        (10, 30, 50, 10),  # sd-scripts' own
        (100, 300, 400, None),  # 99 - 99 = 0: there is no step 0
        (100, 250, 500, 200),
        (7, 7, 21, 7),
    ],
)
def test_old_file_of_a_step_is_the_one_sd_scripts_removes(
    every: int, keep: int, step: int, removed: int | None
) -> None:
    rules = SaveRules(Every(steps=every), Last(steps=keep))
    assert rules.obsolete(Due("step", step)) == (None if removed is None else Due("step", removed))


@pytest.mark.parametrize(("epoch", "removed"), [(2, None), (4, None), (6, 2), (8, 4)])
def test_old_file_of_an_epoch_is_the_one_sd_scripts_removes(epoch: int, removed: int | None) -> None:
    # get_remove_epoch_no: epoch - every * keep
    rules = SaveRules(Every(epochs=2), Last(epochs=2))
    assert rules.obsolete(Due("epoch", epoch)) == (None if removed is None else Due("epoch", removed))


def names(config: TrainConfig, pattern: str) -> list[str]:
    return sorted(path.name.removeprefix("network") for path in Path(config.output).glob(pattern))


@pytest.fixture
def one_step_epochs(make_config: Make, photographs: Path) -> Make:
    """Epochs of one step: one image, once."""

    def make(**values: Any) -> TrainConfig:
        return make_config(images=str(photographs / "1_object"), te_learning_rate=0.0, **values)

    return make


@pytest.mark.parametrize(
    ("values", "left"),
    [
        # by hand; the last epoch, and the last step, have the unnumbered file only
        ({"epochs": 4, "save_every_n_epochs": 1, "save_last_n_epochs": 2}, ["-000002", "-000003", ""]),
        ({"epochs": 6, "save_n_epoch_ratio": 3}, ["-000002", "-000004", ""]),
        ({"epochs": 3, "save_n_epoch_ratio": 9}, ["-000001", "-000002", ""]),
        (
            {"max_steps": 7, "save_every_n_steps": 2, "save_last_n_steps": 3},
            ["-step00000004", "-step00000006", ""],
        ),
    ],
)
def test_run_leaves_the_files_asked_for(
    one_step_epochs: Make, values: dict[str, Any], left: list[str]
) -> None:
    config = one_step_epochs(**values)
    run(config)
    assert names(config, "*.safetensors") == sorted(f"{suffix}.safetensors" for suffix in left)
    assert len(names(config, "*.state")) == 1


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"save_state": True}, [1, 2, 3, 4, 5]),
        ({"save_state": True, "save_last_n_epochs": 2}, [3, 4, 5]),
        ({"save_state": True, "save_last_n_epochs": 1, "save_last_n_epochs_state": 3}, [2, 3, 4, 5]),
        ({"keep_states": 2}, [4, 5]),
        ({"keep_states": 0}, []),
        ({"keep_states": 0, "save_state_on_train_end": True}, [5]),
        ({"keep_states": 0, "save_state": True, "save_last_n_epochs": 1}, [4, 5]),
    ],
)
def test_run_leaves_the_states_asked_for(
    one_step_epochs: Make, values: dict[str, Any], steps: list[int]
) -> None:
    config = one_step_epochs(epochs=5, save_every_n_epochs=1, **values)
    run(config)
    assert names(config, "*.state") == [f"-step{step:08d}.state" for step in steps]


def test_states_of_steps_go_by_steps(one_step_epochs: Make) -> None:
    config = one_step_epochs(
        max_steps=9, save_every_n_steps=2, save_last_n_steps=5, save_state=True, save_last_n_steps_state=3
    )
    run(config)
    # by hand: step 6 removes the state of 2, step 8 that of 4 and the file of 2
    assert names(config, "*.state") == [f"-step0000000{step}.state" for step in (6, 8, 9)]
    assert names(config, "*-step*.safetensors") == [f"-step0000000{step}.safetensors" for step in (4, 6, 8)]


def test_new_run_does_not_replace_older_files(one_step_epochs: Make) -> None:
    config = one_step_epochs(epochs=1, overwrite=False)
    run(config)
    with pytest.raises(ConfigError, match=r"already.*(\n.*)*network\.safetensors"):
        run(config)
    run(config.replaced(name="network2"))
    run(config.replaced(overwrite=True))
    run(config.replaced(resume="auto"))


def metadata_of(config: TrainConfig) -> dict[str, str]:
    run(config)
    with safe_open(final_file(config), "pt") as file:
        return file.metadata()


def test_title_author_and_the_rest_stand_in_the_metadata(one_step_epochs: Make) -> None:
    told = {key: f"the {key}" for key in ("title", "author", "description", "license", "tags")}
    metadata = metadata_of(one_step_epochs(**{f"metadata_{key}": text for key, text in told.items()}))
    assert {key: metadata[f"modelspec.{key}"] for key in told} == told


def test_settings_stand_in_the_file_but_no_path(one_step_epochs: Make, tmp_path: Path) -> None:
    config = one_step_epochs(rank=3, min_snr_gamma=5.0, comment="hello")
    told = metadata_of(config)["lyco_config"]
    again = parse_config(told)
    assert (again.rank, again.min_snr_gamma, again.te_learning_rate) == (3, 5.0, (0.0,))
    assert again.replaced(images=config.images, output=config.output).seed == 7
    assert str(tmp_path) not in told and "hello" not in told


def test_file_without_metadata_keeps_what_loading_needs(one_step_epochs: Make) -> None:
    # sd-scripts, train_util.SS_METADATA_MINIMUM_KEYS
    least = {
        *("ss_v2", "ss_base_model_version", "ss_network_module"),
        *("ss_network_dim", "ss_network_alpha", "ss_network_args"),
    }
    metadata = metadata_of(one_step_epochs(metadata=False))
    assert metadata.keys() == least | {"sshs_model_hash", "sshs_legacy_hash"}
