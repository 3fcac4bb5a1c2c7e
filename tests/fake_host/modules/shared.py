"""What everybody shares: flags, settings, state, the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import options, shared_cmd_options, shared_state

if TYPE_CHECKING:
    from .sd_models import LatentDiffusion

    sd_model: LatentDiffusion

OptionInfo = options.OptionInfo
options_section = options.options_section

cmd_opts = shared_cmd_options.cmd_opts
config_filename: str = cmd_opts.ui_settings_file
state = shared_state.State()
device = torch.device("cpu")
demo: Any = None
parallel_processing_allowed = True
loaded_hypernetworks: list[Any] = []

_system = {
    "sd_model_checkpoint": None,
    "sd_checkpoints_limit": 1,
    "sd_checkpoints_keep_in_cpu": True,
    "CLIP_stop_at_last_layers": 1,
    "sdxl_crop_top": 0,
    "sdxl_crop_left": 0,
    "fp8_storage": "Disable",
    "cache_fp16_weight": False,
    "emphasis": "Original",
    "persistent_cond_cache": True,
    "hires_fix_use_firstpass_conds": False,
    "hires_fix_refiner_pass": "second pass",
    "refiner_switch_by_sample_steps": True,
    "use_old_scheduling": False,
    "add_model_name_to_info": True,
    "infotext_skip_pasting": [],
    "extra_networks_default_multiplier": 1.0,
    "samples_format": "png",
    "textual_inversion_add_hashes_to_infotext": True,
    "quicksettings_list": ["sd_model_checkpoint"],
    "disabled_extensions": [],
    "disable_all_extensions": "none",
    "localization": "None",
    "show_warnings": False,
}
options_templates: dict[str, options.OptionInfo] = {
    key: OptionInfo(default, key, section=("system", "System")) for key, default in _system.items()
}
opts = options.Options(options_templates)
opts.load(config_filename)


def __getattr__(name: str) -> Any:
    """The model is loaded when somebody first asks for it."""
    if name == "sd_model":
        from . import sd_models

        return sd_models.model_data.get_sd_model()
    raise AttributeError(name)


def walk_files(path: str, allowed_extensions: list[str] | None = None) -> list[str]:
    """All files below a folder, by extension."""
    files = sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    return [file for file in files if not allowed_extensions or Path(file).suffix in allowed_extensions]


def listfiles(dirname: str) -> list[str]:
    """The files in a folder."""
    return sorted(str(file) for file in Path(dirname).iterdir() if file.is_file())
