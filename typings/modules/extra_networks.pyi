from modules.processing import StableDiffusionProcessing

extra_network_registry: dict[str, ExtraNetwork]
"""Tag kind -> who acts on it; cleared at every start and Reload UI before `before_ui`."""
extra_network_aliases: dict[str, ExtraNetwork]
"""Other kinds; a registry entry of the same kind beats the alias."""

class ExtraNetworkParams:
    """One tag behind its kind."""

    items: list[str]
    """The texts between its colons."""
    positional: list[str]
    named: dict[str, str]
    def __init__(self, items: list[str] | None = None) -> None: ...

class ExtraNetwork:
    """Who acts on the tags of one kind."""

    name: str
    def __init__(self, name: str) -> None: ...
    def activate(self, p: StableDiffusionProcessing, params_list: list[ExtraNetworkParams]) -> None:
        """Before each batch and before its second pass, with the tags of the first prompt of the batch.

        Also without a picture, at the load of a model: then `p` has no prompts and no scripts.
        Called again with no tags if it raises.
        """
    def deactivate(self, p: StableDiffusionProcessing) -> None:
        """After all batches, unless something raised."""

def register_extra_network(extra_network: ExtraNetwork) -> None: ...
def register_extra_network_alias(extra_network: ExtraNetwork, alias: str) -> None: ...
