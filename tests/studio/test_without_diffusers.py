"""The WebUI has no diffusers: the tab is there all the same, and says what can be known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lib_lyco.demo.concepts import CAT, write_training_folder
from tests.architecture import ROOT

LOOK = """
import sys
sys.modules["diffusers"] = None  # as if it were not installed: an import of it is a ModuleNotFoundError

import json
from pathlib import Path
import torch
import lib_lyco.studio.training_tab, lib_lyco.train.run
from lib_lyco.demo.embedded import checkpoint
from lib_lyco.studio.outlook import look_ahead
from lib_lyco.studio.workplace import Base
from lib_lyco.train.config import make_config

config = make_config({"images": sys.argv[1], "output": sys.argv[2], "repeats": 2, "epochs": 3})
base = Base("", "the embedded model", "sd1", checkpoint())
print(json.dumps(look_ahead(config, base, torch.device("cpu")).parts))
"""


def test_the_tab_is_there_and_tells_steps_and_the_files_size(tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_training_folder(images, [CAT], size=64)
    count = len(list(images.rglob("*.png")))
    command = [sys.executable, "-c", LOOK, str(images), str(tmp_path)]
    parts = json.loads(subprocess.check_output(command, cwd=ROOT, timeout=300))
    assert parts[0] == f"{count} images x 2 x 3 epochs = {count * 6} steps"
    assert len(parts) == 2 and parts[1].startswith("file ")
