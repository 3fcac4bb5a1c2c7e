"""The builtin's registrations: it comes first, so its `before_ui` runs after everybody's."""

# pyright: reportAttributeAccessIssue=false
# (typings/ declares what the extension uses of the host; this uses more)

from __future__ import annotations

from typing import Any

import networks  # type: ignore[import-not-found]
from modules import extra_networks, script_callbacks, shared, ui_extra_networks


class ExtraNetworkLora(extra_networks.ExtraNetwork):
    """The builtin's `<lora:>`."""

    def __init__(self) -> None:
        super().__init__("lora")

    def activate(self, p: Any, params_list: list[extra_networks.ExtraNetworkParams]) -> None:
        del p
        networks.load_networks([params.positional[0] for params in params_list])

    def deactivate(self, p: Any) -> None:
        del p


def before_ui() -> None:
    """The registries are empty: the page, the tag, and the other name of the tag."""
    ui_extra_networks.register_page(ui_extra_networks.ExtraNetworksPage("Lora"))
    networks.extra_network_lora = network = ExtraNetworkLora()
    extra_networks.register_extra_network(network)
    extra_networks.register_extra_network_alias(network, "lyco")


def api_networks(_: Any, app: Any) -> None:
    """Two routes, never guarded."""

    def get_loras() -> list[dict[str, Any]]:
        return [
            {"name": found.name, "alias": found.alias, "path": found.filename, "metadata": found.metadata}
            for found in networks.available_networks.values()
        ]

    app.add_api_route("/sdapi/v1/loras", get_loras, methods=["GET"])
    app.add_api_route("/sdapi/v1/refresh-loras", networks.list_available_networks, methods=["POST"])


script_callbacks.on_before_ui(before_ui)
script_callbacks.on_app_started(api_networks)
script_callbacks.on_model_loaded(networks.assign_network_names_to_compvis_modules)

OPTIONS = {
    "sd_lora": ("None", "Add network to prompt"),
    "lora_preferred_name": ("Alias from file", "When adding to prompt, refer to Lora by"),
    "lora_add_hashes_to_infotext": (True, "Add Lora hashes to infotext"),
    "lora_bundled_ti_to_infotext": (True, "Add Lora name as TI hashes for bundled Textual Inversion"),
    "lora_show_all": (False, "Always show all networks on the Lora page"),
    "lora_hide_unknown_for_versions": ([], "Hide networks of unknown versions for model versions"),
    "lora_in_memory_limit": (0, "Number of Lora networks to keep cached in memory"),
    "lora_not_found_warning_console": (False, "Lora not found warning in console"),
    "lora_not_found_gradio_warning": (False, "Lora not found warning popup in webui"),
    "lora_functional": (False, "Lora/Networks: use old method"),
}
for key, (default, label) in OPTIONS.items():
    shared.opts.add_option(
        key, shared.OptionInfo(default, label, section=("extra_networks", "Extra Networks"))
    )
