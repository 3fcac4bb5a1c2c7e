"""What a run writes: network files with their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lib_lyco.models.base import BaseModel
from lib_lyco.train.average import Average
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.metadata import BaseFacts, file_facts
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.plan import Plan
from lib_lyco.train.precision import DTYPES
from lib_lyco.train.save import Metadata, Saver
from lib_lyco.train.save_rules import Every, Last, SaveRules
from lib_lyco.train.state import StateStore
from lib_lyco.train.writer import Saving


def make_facts(config: TrainConfig, model: BaseModel) -> BaseFacts:
    """What is known of the base model."""
    prediction = model.schedule.prediction
    vae = file_facts(Path(config.vae)) if config.vae and Path(config.vae).is_file() else None
    path = Path(config.base_model)
    if not config.base_model or not path.is_file():
        return BaseFacts(model.family, prediction, model.name, vae=vae)
    facts = file_facts(path)
    return BaseFacts(model.family, prediction, facts.name, facts.hash, facts.legacy_hash, vae)


def make_states(config: TrainConfig, identity: Mapping[str, str]) -> StateStore:
    """Where states lie, and which are kept."""
    return StateStore(
        folder=Path(config.output),
        name=config.name,
        keep=config.keep_states,
        identity=identity,
        keep_all=config.save_state,
        at_end=config.save_state_on_train_end,
    )


def make_saving(
    config: TrainConfig, saver: Saver, states: StateStore, plan: Plan, average: Average | None
) -> Saving:
    """When and how the network is written.

    Raises:
        ConfigError: A new run would replace older files.
    """
    if not config.overwrite and not config.resume:
        saver.demand_free()
    every, ratio = config.save_every_n_epochs, config.save_n_epoch_ratio
    if ratio is not None:
        every = plan.epochs // ratio or 1
    epochs, steps = config.save_last_n_epochs_state, config.save_last_n_steps_state
    last = Last(config.save_last_n_epochs, config.save_last_n_steps)
    return Saving(
        saver=saver,
        states=states,
        rules=SaveRules(Every(every, config.save_every_n_steps), last),
        states_last=Last(epochs or last.epochs, steps or last.steps) if config.save_state else Last(),
        average=average,
        average_beside=config.ema_file == "beside",
    )


def make_saver(
    config: TrainConfig, model: BaseModel, network: TrainableNetwork, metadata: Metadata
) -> Saver:
    """What writes a file."""
    return Saver(
        folder=Path(config.output),
        name=config.name,
        network=network,
        family=model.family,
        dtype=DTYPES[config.save_precision],
        metadata=metadata,
        resumed=bool(config.resume),
    )
