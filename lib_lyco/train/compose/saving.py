"""What a run writes: network files with their metadata."""

from __future__ import annotations

from pathlib import Path

from lib_lyco.models.base import BaseModel
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.loop import Saving
from lib_lyco.train.metadata import BaseFacts, base_facts
from lib_lyco.train.network import TrainableNetwork
from lib_lyco.train.precision import DTYPES
from lib_lyco.train.save import Metadata, Saver


def make_facts(config: TrainConfig, model: BaseModel) -> BaseFacts:
    """What is known of the base model."""
    path = Path(config.base_model) if config.base_model else None
    return base_facts(model.family, model.schedule.prediction, model.name, path)


def make_saving(
    config: TrainConfig, model: BaseModel, network: TrainableNetwork, metadata: Metadata
) -> Saving:
    """When and how the network is written."""
    saver = Saver(
        folder=Path(config.output),
        name=config.name,
        network=network,
        family=model.family,
        dtype=DTYPES[config.save_precision],
        metadata=metadata,
        resumed=bool(config.resume),
    )
    return Saving(saver, config.save_every_epochs, config.save_every_steps)
