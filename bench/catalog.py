"""Measures how networks on disk are found: `python -m bench.catalog --webui ../stable-diffusion-webui`.

Beside the index runs the scan of the WebUI's builtin Lora extension, its own code from a checkout
(`networks.list_available_networks` with `modules.util`, `modules.cache` and `modules.hashes`; version
1.10). It needs the WebUI's package diskcache. What else it imports is replaced by as little as it touches.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from threading import Thread
from types import ModuleType, SimpleNamespace
from typing import Any

from lib_lyco.catalog.facts import read_facts
from lib_lyco.catalog.index import Index
from lib_lyco.catalog.layout import Layouts
from lib_lyco.catalog.query import Query
from lib_lyco.naming.kohya import kohya_stem
from lib_lyco.naming.layer import Family
from lib_lyco.naming.table import layer_table

RANKS = (1, 2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128)
NUM_TAGS = 200
NUM_FOLDERS = 200
PAUSE = 0.2
"""Seconds between two questions."""
QUERIES = {
    "first page": Query(),
    "three words": Query(text="net 7 lora"),
    "nothing found": Query(text="absent"),
    "what could be a hash": Query(text="deadbeef12"),
    "newest, fitting SDXL": Query(sort="created", descending=True, base_family="sdxl"),
    "by path, page 50": Query(sort="path", offset=4900),
}

Times = dict[str, list[tuple[float, float]]]
"""Step -> wall and CPU seconds of each round."""


def main() -> None:
    """Makes files, runs both in turn, prints the tables."""
    parser = argparse.ArgumentParser(prog="bench.catalog", description=__doc__)
    parser.add_argument(
        "--webui", type=Path, help="a checkout of the WebUI; without it the index runs alone"
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--own-layouts", type=int, default=500, help="files of layouts never met")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to make the files (some 200 kB each)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        networks = folder / "Lora"
        num_bytes = make_files(networks, options.files)
        print(f"{options.files} files, {num_bytes / 1e9:.2f} GB of headers, {len(RANKS) * 4} layouts\n")
        builtin = Builtin(options.webui, networks) if options.webui else None
        times: Times = {}
        for number in range(options.rounds + 1):
            # the first round fills the system's page cache and counts for nothing
            measured: Times = {}
            run_round(measured, folder / f"round{number}", networks, builtin)
            for step, one in measured.items() if number else ():
                times.setdefault(step, []).extend(one)
        print_times(times, options.files)
        own = folder / "Own"
        make_files(own, options.own_layouts, own_layouts=True)
        print(f"\n{options.own_layouts} files, each of a layout of its own\n")
        if options.webui:
            vars(sys.modules["modules.shared"])["cmd_opts"].lora_dir = str(own)
        times = {}
        for number in range(options.rounds + 1):
            measured = {}
            run_cold(measured, folder / f"own{number}", own, builtin)
            for step, one in measured.items() if number else ():
                times.setdefault(step, []).extend(one)
        print_times(times, options.own_layouts)


def run_cold(times: Times, caches: Path, networks: Path, builtin: Builtin | None) -> None:
    """A first scan by both."""
    if builtin is not None:
        builtin.start(caches / "theirs")
        timed(times, "builtin: cold", builtin.scan)
    index = Index(caches / "index.sqlite", [networks])
    timed(times, "ours: cold", index.scan)
    index.close()
    shutil.rmtree(caches)


def answer_during_scan(times: Times, networks: Path) -> None:
    """Asks for a page again and again while all is read for the first time."""
    index = Index(None, [networks])
    scanning = Thread(target=index.scan)
    scanning.start()
    seconds: list[tuple[float, float]] = []
    while scanning.is_alive():
        wall, cpu = time.perf_counter(), time.thread_time()
        index.search(Query(base_family="sd1"))
        seconds.append((time.perf_counter() - wall, time.thread_time() - cpu))
        time.sleep(PAUSE)
    index.close()
    times["ours: an answer during a cold scan"] = seconds
    times["ours: the slowest of 20 such answers"] = [
        max(seconds[start : start + 20]) for start in range(0, len(seconds), 20)
    ]


def run_round(times: Times, caches: Path, networks: Path, builtin: Builtin | None) -> None:
    """Each step, the builtin's turn before ours."""
    index = Index(caches / "index.sqlite", [networks])
    if builtin is not None:
        builtin.start(caches / "theirs")
        timed(times, "builtin: cold", builtin.scan)
    timed(times, "ours: cold", index.scan)
    if builtin is not None:
        builtin.start(caches / "theirs")
        timed(times, "builtin: new start", builtin.scan)
    index.close()
    index = Index(caches / "index.sqlite", [networks])
    timed(times, "ours: new start, first answer", lambda: index.search(Query(base_family="sd1")))
    timed(times, "ours: new start, folders read", index.scan)
    if builtin is not None:
        timed(times, "builtin: refresh", builtin.scan)
    timed(times, "ours: refresh", index.scan)
    timed(times, "ours: has a folder changed?", index.follow)
    for name, query in QUERIES.items():
        timed(times, f"ours: {name}", lambda query=query: index.search(query))
    card = index.search(Query(limit=1)).cards[0]
    timed(times, "ours: star and show the starred", lambda: starred(index, card.id))
    for family in ("sd1", "sdxl"):
        path = next(path for path in sorted(networks.rglob(f"*{family}*.safetensors")))
        timed(
            times,
            f"ours: one file of a new layout, {family}",
            lambda path=path: read_facts(path, Layouts()),
        )
    index.close()
    answer_during_scan(times, networks)
    shutil.rmtree(caches)


def starred(index: Index, card_id: str) -> None:
    index.star(card_id, True)
    assert index.search(Query(starred=True)).total == 1


def timed(times: Times, step: str, work: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    times.setdefault(step, []).append((time.perf_counter() - wall, time.process_time() - cpu))


def print_times(times: Times, num_files: int) -> None:
    """Medians as a table."""
    print("| | wall | CPU |\n|---|---|---|")
    for step, seconds in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*seconds, strict=True))
        rate = f" ({num_files / cpu:.0f} files/s)" if step.endswith(": cold") else ""
        print(f"| {step} | {wall * 1e3:.1f} ms | {cpu * 1e3:.1f} ms{rate} |")


def make_files(folder: Path, count: int, *, own_layouts: bool = False) -> int:
    """Networks with headers as kohya's trainer writes them; their tensors take no room on the disk.

    Three of four are for SD1, each of a random rank, or of one that no other has, half of them without
    text encoders. A third has notes, another third a preview.

    Returns:
        Bytes of headers.
    """
    rng = random.Random(1)
    families: tuple[Family, ...] = ("sd1", "sd1", "sd1", "sdxl")
    layout = lru_cache(len(RANKS) * 4)(made_up_layout)
    num_bytes = 0
    for number in range(count):
        family = rng.choice(families)
        rank = number + 1 if own_layouts else rng.choice(RANKS)
        text, size = layout(family, rank, rng.random() < 0.5)
        header = f'{{"__metadata__":{json.dumps(made_up_metadata(number, rng))},{text}}}'.encode()
        header += b" " * (-len(header) % 8)
        place = folder / f"kind{number % 20}" / f"set{number % NUM_FOLDERS}" / f"net {number} {family}"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".safetensors").open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + size)
        if number % 3 == 0:
            notes = {"description": f"About {number}", "activation text": "sks", "preferred weight": 0.8}
            place.with_suffix(".json").write_text(json.dumps(notes), encoding="utf-8")
        elif number % 3 == 1:
            place.with_suffix(".png").write_bytes(b"no picture")
        num_bytes += len(header)
    return num_bytes


def made_up_layout(family: Family, rank: int, te: bool) -> tuple[str, int]:
    """The header's entries for kohya's default layers, and the bytes of their tensors."""
    entries: list[str] = []
    end = 0
    for stem, shape in kohya_layers(family, te):
        ones = [1] * (len(shape) - 2)
        parts = {
            "alpha": [],
            "lora_down.weight": [rank, *shape[1:]],
            "lora_up.weight": [shape[0], rank, *ones],
        }
        for part, dims in parts.items():
            start, end = end, end + 2 * product(dims)
            info = {"dtype": "F16", "shape": dims, "data_offsets": [start, end]}
            entries.append(f'"{stem}.{part}":{json.dumps(info, separators=(",", ":"))}')
    return ",".join(entries), end


def kohya_layers(family: Family, te: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    table = layer_table(family)
    for layer in table:
        shape = table.shape(layer)
        place = "attentions" if layer.component == "unet" else "layers"
        is_kohyas = place in layer.path and len(shape) >= 2 and "norm" not in layer.path
        if is_kohyas and (te or layer.component == "unet"):
            yield kohya_stem(layer, family), shape


def product(dims: list[int]) -> int:
    total = 1
    for size in dims:
        total *= size
    return total


def made_up_metadata(number: int, rng: random.Random) -> dict[str, str]:
    tags = {f"tag {rng.randrange(3000)}": rng.randrange(1, 40) for _ in range(NUM_TAGS)}
    return {
        "ss_output_name": f"alias {number}",
        "ss_session_id": str(rng.random()),
        "ss_network_module": "networks.lora",
        "ss_training_started_at": str(1.6e9 + number),
        "sshs_model_hash": f"{rng.getrandbits(256):064x}",
        "ss_tag_frequency": json.dumps({"10_thing": tags}),
        "ss_dataset_dirs": json.dumps({"10_thing": {"n_repeats": 10, "img_count": 40}}),
        **{f"ss_option_{n}": "value" for n in range(60)},
    }


class Builtin:
    """The builtin's own scan."""

    def __init__(self, webui: Path, networks: Path) -> None:
        modules = stand_ins(webui, networks)
        sys.modules.update(modules)
        for name in ("util", "cache", "hashes"):
            # the WebUI's own
            modules[f"modules.{name}"] = importlib.import_module(f"modules.{name}")
        vars(modules["modules.shared"])["walk_files"] = modules["modules.util"].walk_files
        sys.path.insert(0, str(webui / "extensions-builtin" / "Lora"))
        self._networks = importlib.import_module("networks")
        self._cache: Any = modules["modules.cache"]

    def start(self, caches: Path) -> None:
        """As a new process: nothing in memory, what there is in the cache's folder."""
        for one in self._cache.caches.values():
            one.close()
        self._cache.caches.clear()
        caches.mkdir(parents=True, exist_ok=True)
        self._cache.cache_dir = str(caches)

    def scan(self) -> None:
        self._networks.list_available_networks()


def stand_ins(webui: Path, networks: Path) -> dict[str, ModuleType]:
    """What the builtin's scan imports and does not run, or runs for one constant."""
    commands = SimpleNamespace(lora_dir=str(networks), lyco_dir_backcompat="", no_hashing=False)
    contents: dict[str, dict[str, Any]] = {
        "gradio": {},
        "modules": {"__path__": [str(webui / "modules")]},
        "modules.shared": {"cmd_opts": commands, "opts": SimpleNamespace(list_hidden_files=False)},
        "modules.paths": {"data_path": str(networks.parent), "script_path": str(webui)},
        "modules.paths_internal": {"cwd": str(webui), "script_path": str(webui)},
        "modules.sd_models": {"read_metadata_from_safetensors": read_metadata_function(webui)},
        **{f"modules.{name}": {} for name in ("devices", "errors", "patches", "scripts", "sd_hijack")},
        "modules.textual_inversion": {},
        "modules.textual_inversion.textual_inversion": {},
        "modules.models": {},
        "modules.models.sd3": {},
        "modules.models.sd3.mmdit": {"QkvLinear": object},
    }
    stubs: dict[str, ModuleType] = {}
    for name, attributes in contents.items():
        stub = stubs[name] = ModuleType(name)
        vars(stub).update(attributes)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stubs[parent], child, stub)
    return stubs


def read_metadata_function(webui: Path) -> Callable[[str], dict[str, Any]]:
    """The WebUI's own reading of a header, without the rest of its module."""
    tree = ast.parse((webui / "modules" / "sd_models.py").read_text(encoding="utf-8"))
    name = "read_metadata_from_safetensors"
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    scope: dict[str, Any] = {"errors": None}
    exec(compile(ast.Module([function], []), "sd_models.py", "exec"), scope)
    return scope[name]


if __name__ == "__main__":
    main()
