from collections.abc import Callable
from typing import Any

from modules.sd_models import HostModel
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from torch import Tensor

class CFGDenoiserParams:
    x: Tensor
    sigma: Tensor
    sampling_step: int
    """Lags one behind from the second step on."""
    total_sampling_steps: int
    denoiser: CFGDenoiser

def on_cfg_denoiser(callback: Callable[[CFGDenoiserParams], None]) -> None:
    """Before each call of the denoiser; after a refiner has been swapped in."""

def on_before_ui(callback: Callable[[], None]) -> None:
    """After the registries were cleared; last registered, first called."""

def on_app_started(callback: Callable[[Any, Any], None]) -> None:
    """With gradio's Blocks (None without a UI) and the FastAPI app."""

def on_model_loaded(callback: Callable[[HostModel], None]) -> None:
    """After weights were loaded; not when a resident checkpoint is chosen."""

def on_infotext_pasted(callback: Callable[[str, dict[str, Any]], None]) -> None:
    """With an infotext and what was read from it, which may be changed."""

def on_script_unloaded(callback: Callable[[], None]) -> None: ...
def on_ui_tabs(callback: Callable[[], list[tuple[Any, str, str]]]) -> None:
    """Returns the page's tabs: gradio's blocks, title, id. Not with `--nowebui`."""
