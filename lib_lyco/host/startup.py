"""The extension's life in the host: it says one line when it has started, and goes when scripts go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from modules import extensions, script_callbacks

from lib_lyco.host.app import HostApp
from lib_lyco.host.probe import Missing

RIVALS = {
    # a script of theirs -> what to tell
    "loractl.py": "sd-webui-loractl is on, too: Lyco reads its tags, so it can be disabled",
    "lora_block_weight.py": "sd-webui-lora-block-weight is on, too: Lyco reads its tags and presets, so it "
    "can be disabled; what it applies itself comes on top",
    "lycoris_script.py": "a1111-sd-webui-lycoris is on, too: disable it, it writes into the same weights",
    "lyco_script.py": "a1111-sd-webui-lycoris is on, too: disable it, it writes into the same weights",
    "composable_lora_script.py": "composable-lora is on, too: disable it, it acts on the same layers",
}
"""Extensions that drive the builtin, or do what it does."""


def follow_host(app: HostApp, missing: Sequence[Missing]) -> None:
    """Hooks the app's end to the host's unloading of scripts, and says once what has started."""
    script_callbacks.on_script_unloaded(app.close)
    script_callbacks.on_app_started(lambda demo, api: _start(app, missing))


def _start(app: HostApp, missing: Sequence[Missing]) -> None:
    _say(app, missing)
    # the first page finds the networks known
    app.watcher.look(0.0)


def _say(app: HostApp, missing: Sequence[Missing]) -> None:
    tags = "<lora:> and <lyco:> tags" if app.options.own_lora else "<lyco:> tags (<lora:> is the builtin's)"
    rivals = find_rivals()
    parts = [f"lyco: ready for {tags}", *map(str, missing), *rivals]
    sys.stdout.write("; ".join(parts) + "\n")
    app.engine.tell_once(rivals)


def find_rivals() -> list[str]:
    """What to tell about other extensions that are on."""
    # not by the host's list of scripts: a file that only hears callbacks is not in it
    folders = [Path(extension.path) / "scripts" for extension in extensions.active()]
    found = (told for name, told in RIVALS.items() if any((folder / name).is_file() for folder in folders))
    return list(dict.fromkeys(found))
