"""The moving average of the weights, beside diffusers'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file

from lib_lyco.train.average import Average
from lib_lyco.train.config import TrainConfig
from tests.train.test_network import SETTINGS
from tests.train.test_resume import stopped_at
from tests.train.test_run import equal, final_file, run
from tests.train.test_save import trained_network
from tests.train.tiny import TinyModel

Make = Callable[..., TrainConfig]


def test_average_is_diffusers(tiny: TinyModel, diffusers_training: ModuleType) -> None:
    network = trained_network(tiny, SETTINGS["lora"])
    parameters = [parameter for layer in network for parameter in layer.parameters]
    ours = Average(network, 0.3)
    theirs = diffusers_training.EMAModel(parameters, decay=0.3)
    chance = torch.Generator().manual_seed(0)
    for _ in range(6):
        for parameter in parameters:
            parameter.data += torch.randn(parameter.shape, generator=chance)
        ours.update()
        theirs.step(parameters)
    before = [parameter.detach().clone() for parameter in parameters]
    with ours.applied():
        for parameter, expected in zip(parameters, theirs.shadow_params, strict=True):
            torch.testing.assert_close(parameter.data, expected)
    assert all(torch.equal(one, two) for one, two in zip(parameters, before, strict=True))


def average_file(config: TrainConfig) -> Path:
    return Path(config.output) / f"{config.name}-ema.safetensors"


def test_average_is_written_beside_or_instead_and_trains_nothing_else(make_config: Make) -> None:
    plain, beside = make_config(name="plain"), make_config(name="beside", ema_decay=0.9)
    instead = beside.replaced(name="instead", ema_file="instead")
    for config in (plain, beside, instead):
        run(config)
    assert equal(load_file(final_file(beside)), load_file(final_file(plain)))
    assert equal(load_file(final_file(instead)), load_file(average_file(beside)))
    assert not equal(load_file(final_file(instead)), load_file(final_file(plain)))
    assert not average_file(instead).exists()


def test_resumed_average_is_the_whole_runs(make_config: Make) -> None:
    whole = make_config(name="whole", ema_decay=0.9)
    run(whole)
    broken = whole.replaced(name="broken", resume="auto")
    stopped_at(broken, 3)
    run(broken)
    assert equal(load_file(average_file(broken)), load_file(average_file(whole)))


def test_older_averages_go_with_their_files(make_config: Make) -> None:
    config = make_config(ema_decay=0.9, save_every_n_steps=1, save_last_n_steps=1)
    run(config)
    left = sorted(path.name for path in Path(config.output).glob("*-step*.safetensors"))
    assert left == [
        f"network{part}-step0000000{step}.safetensors" for part in ("-ema", "") for step in (3, 4)
    ]
