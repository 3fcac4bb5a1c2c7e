"""Networks added to every prompt: the builtin's `sd_lora`, and our `lyco_networks` beside it.

They are written into the prompts before the host takes the tags out of them. So they are in the key of
the conditioning cache, in the infotext exactly once, and everything else that reads tags reads them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from modules import scripts
from modules.processing import StableDiffusionProcessing, StableDiffusionProcessingTxt2Img

from lib_lyco.errors import NetworkNotFoundError
from lib_lyco.host.app import HostApp
from lib_lyco.prompt.edit import find_tags

NEEDS = (
    ("modules.scripts", "Script.before_process_batch"),
    ("modules.scripts", "scripts_data"),
    ("modules.scripts", "ScriptClassData"),
)


def register(app: HostApp) -> None:
    """Adds a script without controls that runs for every picture.

    Its file is this one, not scripts/lyco.py: the host runs a script's file once more when it is told to
    reload the bodies of scripts.
    """
    here = Path(__file__)
    entry = scripts.ScriptClassData(make_script(app), str(here), scripts.basedir(), sys.modules[__name__])
    scripts.scripts_data.append(entry)


def make_script(app: HostApp) -> type[scripts.Script]:
    """The host makes its scripts itself, one for txt2img and one for img2img, so it needs a class."""

    class DefaultNetworks(scripts.Script):
        def title(self) -> str:
            return "Lyco: networks added to every prompt"

        def show(self, is_img2img: bool) -> object:
            del is_img2img
            return scripts.AlwaysVisible

        def before_process_batch(
            self, p: StableDiffusionProcessing, *args: object, **kwargs: object
        ) -> None:
            """The last moment before tags are read: whatever else writes prompts has written them."""
            del args, kwargs
            add_defaults(app, p)
            app.engine.hear(p)

    return DefaultNetworks


def add_defaults(app: HostApp, p: StableDiffusionProcessing) -> None:
    """Writes the default networks into all prompts of a job that do not name them yet."""
    names = app.options.networks
    sd_lora = app.options.sd_lora
    if sd_lora is not None and app.options.own_lora:
        # otherwise the builtin sees to it
        names = [sd_lora, *names]
    if not names or p.disable_extra_networks or p.all_prompts is None:
        return
    complete = _completer(app, names, p.comment)
    p.all_prompts = [complete(prompt) for prompt in p.all_prompts]
    p.main_prompt = complete(p.main_prompt)
    if p.prompts is not None:
        p.prompts[:] = [complete(prompt) for prompt in p.prompts]
    if isinstance(p, StableDiffusionProcessingTxt2Img) and p.all_hr_prompts:
        p.all_hr_prompts = [complete(prompt) for prompt in p.all_hr_prompts]


def _completer(app: HostApp, names: Sequence[str], complain: Callable[[str], None]) -> Callable[[str], str]:
    """What adds to a prompt the tags of those networks that it does not name, by whatever name."""
    known: dict[str, Path | None] = {}

    def find(name: str) -> Path | None:
        if name not in known:
            try:
                known[name] = app.catalog.find(name)
            except NetworkNotFoundError as error:
                known[name] = None
                if name in names:
                    complain(
                        f"A network that the settings add to every prompt: {error.what}. {error.remedy}"
                    )
        return known[name]

    kind = "lora" if app.options.own_lora else "lyco"
    defaults = {path: name for name in names if (path := find(name)) is not None}
    strength = f"{app.options.default_strength:g}"

    def complete(prompt: str) -> str:
        named = {find(tag.name) for tag in find_tags(prompt)}
        return prompt + "".join(
            f"<{kind}:{name}:{strength}>" for path, name in defaults.items() if path not in named
        )

    return complete
