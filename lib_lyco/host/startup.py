"""The extension's life in the host: it says one line when it has started, and goes when scripts go."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from modules import script_callbacks

from lib_lyco.host.app import HostApp
from lib_lyco.host.probe import Missing

RIVALS = {
    # a module that only they load -> what they are
    "loractl": "sd-webui-loractl",
    "lora_block_weight.py": "sd-webui-lora-block-weight",
    "lycoris": "a1111-sd-webui-lycoris",
}


def follow_host(app: HostApp, missing: Sequence[Missing]) -> None:
    """Hooks the app's end to the host's unloading of scripts, and says once what has started."""
    script_callbacks.on_script_unloaded(app.close)
    script_callbacks.on_app_started(lambda demo, api: _say(app, missing))


def _say(app: HostApp, missing: Sequence[Missing]) -> None:
    tags = "<lora:> and <lyco:> tags" if app.options.own_lora else "<lyco:> tags (<lora:> is the builtin's)"
    parts = [f"lyco: ready for {tags}", *map(str, missing)]
    sys.stdout.write("; ".join(parts) + "\n")
