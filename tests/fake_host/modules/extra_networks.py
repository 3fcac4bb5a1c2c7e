"""Tags in a prompt, and the objects that they switch on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from . import errors

TAG = re.compile(r"<(\w+):([^>]+)>")


class ExtraNetworkParams:
    """One tag's arguments. Two are equal when their texts are."""

    def __init__(self, items: Sequence[Any] | None = None) -> None:
        self.items = list(items or [])
        self.positional: list[Any] = []
        self.named: dict[str, str] = {}
        for item in self.items:
            key, equals, value = item.partition("=") if isinstance(item, str) else (item, "", "")
            if equals and "=" not in value:
                self.named[key] = value
            else:
                self.positional.append(item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExtraNetworkParams) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]


Data = Mapping[str, Sequence[ExtraNetworkParams]]


class ExtraNetwork:
    """A kind of tag."""

    def __init__(self, name: str) -> None:
        self.name = name

    def activate(self, p: Any, params_list: list[ExtraNetworkParams]) -> None:
        """Replaces whatever was active. Called for every picture, with no tags for an empty list."""
        raise NotImplementedError

    def deactivate(self, p: Any) -> None:
        """After the last picture of a job that had tags and did not fail."""
        raise NotImplementedError


extra_network_registry: dict[str, ExtraNetwork] = {}
extra_network_aliases: dict[str, ExtraNetwork] = {}


def initialize() -> None:
    """Empties the registries: whatever was registered while scripts were loaded is gone."""
    extra_network_registry.clear()
    extra_network_aliases.clear()


def register_extra_network(extra_network: ExtraNetwork) -> None:
    """The last one of a name wins."""
    extra_network_registry[extra_network.name] = extra_network


def register_extra_network_alias(extra_network: ExtraNetwork, alias: str) -> None:
    """Another name; an entry of the registry goes before it."""
    extra_network_aliases[alias] = extra_network


def lookup_extra_networks(data: Data) -> dict[ExtraNetwork, list[ExtraNetworkParams]]:
    """The objects that tags name, each with a fresh list of all its tags; unknown names are dropped."""
    found: dict[ExtraNetwork, list[ExtraNetworkParams]] = {}
    for name, params in data.items():
        network = extra_network_registry.get(name) or extra_network_aliases.get(name)
        if network is not None:
            found.setdefault(network, []).extend(params)
    return found


def activate(p: Any, extra_network_data: Data) -> None:
    """Those that tags name, then all others with nothing; one that raised is called again with nothing."""
    wanted = lookup_extra_networks(extra_network_data)
    done: list[ExtraNetwork] = []
    for network, params in [*wanted.items(), *((other, []) for other in extra_network_registry.values())]:
        if network in done:
            continue
        try:
            network.activate(p, params)
            done.append(network)
        except Exception as e:  # noqa: BLE001  as the host: a picture is made whatever a network raises
            errors.display(e, f"activating extra network {network.name}")
    if p.scripts is not None:
        p.scripts.after_extra_networks_activate(
            p,
            batch_number=p.iteration,
            prompts=p.prompts,
            seeds=p.seeds,
            subseeds=p.subseeds,
            extra_network_data=extra_network_data,
        )


def deactivate(p: Any, extra_network_data: Data) -> None:
    """Every object, those with tags first."""
    for network in dict.fromkeys(
        [*lookup_extra_networks(extra_network_data), *extra_network_registry.values()]
    ):
        try:
            network.deactivate(p)
        except Exception as e:  # noqa: BLE001  as above
            errors.display(e, f"deactivating extra network {network.name}")


def parse_prompt(prompt: str) -> tuple[str, dict[str, list[ExtraNetworkParams]]]:
    """The prompt without its tags, and the tags by kind."""
    data: defaultdict[str, list[ExtraNetworkParams]] = defaultdict(list)

    def take(match: re.Match[str]) -> str:
        data[match[1]].append(ExtraNetworkParams(match[2].split(":")))
        return ""

    return TAG.sub(take, prompt), data


def parse_prompts(prompts: Sequence[str]) -> tuple[list[str], dict[str, list[ExtraNetworkParams]] | None]:
    """All prompts without tags; the tags of the first alone."""
    parsed = [parse_prompt(prompt) for prompt in prompts]
    return [text for text, _ in parsed], parsed[0][1] if parsed else None
