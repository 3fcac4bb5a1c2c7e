"""Measures the planning of a run with very many images: scan, captions, buckets, order, identity.

    python -m bench.train.scan --images 100000

The images are small JPEG and PNG files in folders of 1000, three quarters of them with a caption file,
and a tenth as many for regularisation; what is read of an image is its header, so its size in pixels
does not matter. The files were just written and lie in the system's cache, a cold disk adds its own
time. Seconds are CPU seconds.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image

from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.identity import run_identity
from lib_lyco.train.metadata import BaseFacts, network_metadata

_PER_FOLDER = 1000
_SIZES = ((512, 512), (640, 427), (600, 800), (1411, 1024), (300, 451), (1920, 1080), (832, 1216))
_Out = TypeVar("_Out")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the seconds of each part and the memory that it added."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        train, reg = Path(folder) / "train", Path(folder) / "reg"
        write_images(train, chosen.images)
        write_images(reg, chosen.images // 10)
        config = TrainConfig(
            images=str(train), reg_images=str(reg), batch_size=4, epochs=10, precision="fp32"
        )
        plan = measured("scan, captions, buckets, steps", lambda: plan_run(config))
        print(plan)
        batches = measured("the order of an epoch", lambda: plan.order.epoch(3))
        shown = measured("the samples of an epoch, one by one", lambda: sum(map(len, batches)))
        assert shown == plan.samples_per_epoch
        base = BaseFacts("sd1", "epsilon", "model")
        measured("identity for resuming", lambda: run_identity(config, plan, base))
        measured("metadata of the file", lambda: network_metadata(config, plan, base, 0.0))


def write_images(folder: Path, count: int) -> None:
    """Folders `2_name` of images, of several shapes and two kinds of files."""
    kinds = [encoded(kind, size) for size in _SIZES for kind in ("JPEG", "PNG")]
    for number in range(count):
        place = folder / f"2_name {number // _PER_FOLDER}"
        if number % _PER_FOLDER == 0:
            place.mkdir(parents=True)
        extension, data = kinds[number % len(kinds)]
        (place / f"{number}{extension}").write_bytes(data)
        if number % 4:
            (place / f"{number}.txt").write_text(f"1girl, solo, smile, tag {number % 50}", encoding="utf-8")


def encoded(kind: str, size: tuple[int, int]) -> tuple[str, bytes]:
    """Extension and bytes of a plain picture."""
    buffer = BytesIO()
    Image.new("RGB", size, "gray").save(buffer, kind)
    return (".jpg" if kind == "JPEG" else ".png"), buffer.getvalue()


def measured(name: str, work: Callable[[], _Out]) -> _Out:
    """Does the work and prints its CPU seconds and by how much the process grew."""
    memory, start = peak_bytes(), time.process_time()
    result = work()
    seconds = time.process_time() - start
    print(f"{name:36} {seconds:7.2f} s  {(peak_bytes() - memory) / 2**20:7.0f} MiB more")
    return result


def peak_bytes() -> int:
    """The most memory that the process has had (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
