"""What is written, and when."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong
from lib_lyco.train.precision import PRECISIONS


@dataclass(frozen=True)
class SavingOptions:
    """What is written, and when."""

    output: str = option("output", "saving", "Folder of the files written.", free=True)
    name: str = option("network", "saving", "File name without its extension.", free=True)
    save_every_epochs: int = option(
        0, "saving", "Save after every so many epochs; 0 saves at the end only.", low=0, free=True
    )
    save_every_steps: int = option(
        0, "saving", "Save after every so many steps; 0 is off.", low=0, free=True
    )
    save_precision: str = option(
        "fp16", "saving", "Dtype of the saved tensors.", choices=PRECISIONS, free=True
    )
    comment: str = option("", "saving", "Text kept in the file's metadata.", free=True)
    resume: str = option(
        "",
        "saving",
        "Go on from a state: its file, a folder (the newest of this name), or auto (the output folder's).",
        free=True,
    )
    keep_states: int = option(
        1,
        "saving",
        "Resume states kept, newest first, one written with every save; 0 writes none.",
        low=0,
        free=True,
    )

    def check_saving(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if not self.name or any(sign in self.name for sign in '/\\:*?"<>|\0'):
            raise wrong("name", self.name, "a file name without folders")
