"""Networks from folders onto a model without a host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_lyco.apply.prompt_networks import PromptNetworks
from lib_lyco.apply.session import Session
from lib_lyco.catalog.find import find_network
from lib_lyco.models.base import BaseModel
from lib_lyco.network.cache import NetworkCache
from lib_lyco.network.network import Network


def networks_of(
    model: BaseModel, session: Session, folders: Sequence[Path], cache: NetworkCache
) -> PromptNetworks:
    """What a prompt's tags act through: names are looked up in the folders."""

    def load(name: str) -> Network:
        return cache.load(find_network(name, folders))

    return PromptNetworks(session, model.family, load)
