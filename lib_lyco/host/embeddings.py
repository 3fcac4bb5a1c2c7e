"""Embeddings that come with a network: the prompt's words mean them for as long as it is applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modules import sd_hijack, sd_models
from modules.textual_inversion import textual_inversion
from torch import Tensor

from lib_lyco.host.app import HostApp
from lib_lyco.network.network import Network

NEEDS = (
    ("modules.sd_hijack", "model_hijack.embedding_db.register_embedding_by_name"),
    ("modules.textual_inversion.textual_inversion", "create_embedding_from_data"),
)

_PARAMETERS = "string_to_param."


def register(app: HostApp) -> None:
    """Shows the embeddings of whatever is applied, from each activation to the next."""
    embeddings = BundledEmbeddings(lambda: app.options.bundled_ti_to_infotext)
    app.engine.companions.append(embeddings.show)
    app.at_unload(lambda: embeddings.hide_all())


@dataclass(frozen=True)
class _Shown:
    content_id: str
    embedding: textual_inversion.Embedding


class BundledEmbeddings:
    """What of ours is in the host's embedding database.

    The host empties its database when it loads a model and when files change, so what is there is
    compared with what shall be there, never remembered.

    Args:
        in_infotext: Whether an embedding names its network among the infotext's TI hashes.
    """

    def __init__(self, in_infotext: Callable[[], bool]) -> None:
        self._in_infotext = in_infotext
        self._shown: dict[str, _Shown] = {}

    def show(self, networks: Sequence[Network]) -> list[str]:
        """Makes the embeddings of these networks the ones shown. Returns what could not be shown."""
        model = sd_models.model_data.sd_model
        if model is None:
            return []
        database = sd_hijack.model_hijack.embedding_db
        wanted = {name: network for network in networks for name in network.embeddings}
        self._hide({name for name, shown in self._shown.items() if not _is_of(shown, wanted.get(name))})
        problems: list[str] = []
        for name, network in wanted.items():
            shown = self._shown.get(name)
            found = database.word_embeddings.get(name)
            if found is not None and (shown is None or found is not shown.embedding):
                problems.append(f"{network.name}: its embedding {name!r} gives way to yours of that name")
                continue
            if shown is None:
                try:
                    shown = self._make(network, name)
                # the host's function raises whatever its reading meets: assertions, KeyError, Exception
                except Exception as error:  # noqa: BLE001
                    problems.append(f"{network.name}: its embedding {name!r} cannot be read: {error}")
                    continue
            if database.expected_shape not in (-1, shown.embedding.shape):
                problems.append(
                    f"{network.name}: its embedding {name!r} is {shown.embedding.shape} wide, "
                    f"this model needs {database.expected_shape}"
                )
                continue
            shown.embedding.shorthash = network.name if self._in_infotext() else ""
            if found is None:
                database.register_embedding(shown.embedding, model)
            self._shown[name] = shown
        return problems

    def hide_all(self) -> None:
        """Takes every embedding of ours out again."""
        self._hide(set(self._shown))

    def _hide(self, names: set[str]) -> None:
        database = sd_hijack.model_hijack.embedding_db
        model = sd_models.model_data.sd_model
        for name in names:
            shown = self._shown.pop(name)
            if model is not None and database.word_embeddings.get(name) is shown.embedding:
                database.register_embedding_by_name(None, model, name)

    @staticmethod
    def _make(network: Network, name: str) -> _Shown:
        data = _as_saved(network.embeddings[name])
        return _Shown(network.content_id, textual_inversion.create_embedding_from_data(data, name))


def _is_of(shown: _Shown, network: Network | None) -> bool:
    return network is not None and network.content_id == shown.content_id


def _as_saved(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The tensors as an embedding's own file nests them: `string_to_param.*` is a dict inside."""
    data: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if name.startswith(_PARAMETERS):
            data["string_to_param"] = {name.removeprefix(_PARAMETERS): tensor}
        else:
            data[name] = tensor
    return data
