from types import ModuleType
from typing import Any, NamedTuple

from modules.processing import Processed, StableDiffusionProcessing

class ScriptRunner:
    infotext_fields: list[tuple[Any, Any]]
    """Components of scripts, each with what it takes from a pasted infotext."""

class _AlwaysVisible: ...

AlwaysVisible: _AlwaysVisible

class Script:
    """Every subclass in the namespace of a scripts/*.py file is made twice, for txt2img and img2img."""

    def title(self) -> str: ...
    def show(self, is_img2img: bool) -> object:
        """AlwaysVisible, or whether it can be selected."""
    def process(self, p: StableDiffusionProcessing, *args: object) -> None: ...
    def before_process_batch(
        self, p: StableDiffusionProcessing, *args: object, **kwargs: object
    ) -> None: ...
    def postprocess(self, p: StableDiffusionProcessing, processed: Processed, *args: object) -> None: ...

class ScriptClassData(NamedTuple):
    script_class: type[Script]
    path: str
    basedir: str
    module: ModuleType

scripts_data: list[ScriptClassData]
scripts_txt2img: ScriptRunner

def basedir() -> str:
    """The extension's folder; only while its scripts load."""
