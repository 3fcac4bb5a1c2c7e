"""The training tab in the WebUI: its page, its routes, and runs on the WebUI's own model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modules import script_callbacks, shared
from modules.paths_internal import data_path, models_path

from lib_lyco.errors import LycoError
from lib_lyco.host.app import HostApp
from lib_lyco.host.folders import network_folders
from lib_lyco.host.taggers import host_taggers
from lib_lyco.host.training_live import RunNetworks
from lib_lyco.host.training_place import HostProvider
from lib_lyco.host.training_turn import Gate, guard_moves
from lib_lyco.host.web import add_routes
from lib_lyco.studio.rights import Rights
from lib_lyco.studio.training_tab import TrainingTab
from lib_lyco.train.config import TrainConfig

NEEDS = (
    ("modules.script_callbacks", "on_ui_tabs"),
    ("modules.script_callbacks", "on_app_started"),
    ("modules.call_queue", "queue_lock"),
    ("modules.processing", "process_images"),
    ("modules.sd_models", "reload_model_weights"),
    ("modules.sd_models", "checkpoints_list"),
    ("modules.sd_unet", "current_unet"),
    ("modules.sd_hijack", "model_hijack.apply_circular"),
    ("modules.shared", "loaded_hypernetworks"),
)

_TITLE, _TAB_ID = "Train LoRA", "lyco_train_tab"
_SHARED_FLAGS = ("listen", "share", "ngrok")
_HERE = ("127.0.0.1", "localhost", "::1")
_TUNNEL_FLAGS = ("share", "ngrok")


def register(app: HostApp) -> None:
    """Adds the tab; runs begin when the WebUI has started, and are saved when it unloads its scripts."""
    gate = Gate()
    provider = HostProvider(app, gate)
    networks = network_folders()
    tab = TrainingTab(
        data=Path(data_path),
        networks=networks[0] if networks else Path(models_path, "Lora"),
        provider=provider,
        rights=_rights(),
        taggers=host_taggers,
    )
    app.run_network = RunNetworks(lambda: provider.trainee, lambda: _last_config(tab)).load

    def start(demo: Any, server: Any) -> None:
        if demo is not None:
            add_routes(server, tab.routes())
            tab.start()

    script_callbacks.on_ui_tabs(lambda: [(app.training_page(), _TITLE, _TAB_ID)])
    script_callbacks.on_app_started(start)
    app.at_unload(guard_moves(gate))
    app.at_unload(lambda: tab.close(goes_on=True))


def _last_config(tab: TrainingTab) -> TrainConfig | None:
    """The options of the newest run that trained."""
    for record in tab.runs.records():
        if record.kind == "train" and record.state not in ("queued", "preparing"):
            try:
                return tab.runs.store.config(record.id)
            except LycoError:
                continue
    return None


def _rights() -> Rights:
    """By the flags with which the WebUI was started."""
    login = bool(_flag("gradio_auth") or _flag("gradio_auth_path"))
    trusts = not any(_flag(name) for name in _TUNNEL_FLAGS)
    elsewhere = _flag("server_name") not in (None, "", *_HERE)
    if not elsewhere and not any(_flag(name) for name in _SHARED_FLAGS):
        return Rights(None, login, trusts)
    named = [Path(folder) for folder in _flag("lyco_train_dir") or ()]
    return Rights((Path(data_path), Path(models_path), *network_folders(), *named), login, trusts)


def _flag(name: str) -> Any:
    return getattr(shared.cmd_opts, name, None)
