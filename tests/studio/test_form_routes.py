"""What the page asks of the forms: answers that work, and paths that stay in their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image

from lib_lyco.demo.madeup import Known, write_checkpoint
from lib_lyco.errors import LycoError, UnsafeFileError
from lib_lyco.studio.form_routes import form_routes
from lib_lyco.studio.rights import Rights
from lib_lyco.studio.workplace import Base, Memory, Place
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.web.route import Ask

GB = 1 << 30


class Offering:
    """A provider that trains nothing."""

    def bases(self) -> Sequence[Base]:
        """One whose file is not known."""
        return (Base("", "loaded", "sdxl", None),)

    def memory(self) -> Memory | None:
        """A card of 8 GB."""
        return Memory(0, 8 * GB)

    def open(self, config: TrainConfig) -> AbstractContextManager[Place]:
        """Nothing."""
        raise NotImplementedError


class Server:
    """The routes, called without a server."""

    def __init__(self, folder: Path, roots: tuple[Path, ...] | None = None) -> None:
        self.data, self.output = folder / "data", folder / "networks"
        made = form_routes(Offering(), Rights(roots), self.data, self.output, torch.device("cpu"))
        self.routes = {(one.method, one.path.removeprefix("/lyco/train/")): one for one in made}

    def post(self, path: str, /, **body: Any) -> Mapping[str, Any]:
        """A POST's answer."""
        return cast("Mapping[str, Any]", self.routes["POST", path].answer(Ask(body=body)))

    def get(self, path: str) -> Mapping[str, Any]:
        """A GET's answer."""
        return cast("Mapping[str, Any]", self.routes["GET", path].answer(Ask()))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four pictures without captions."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


ANSWERS = {"subject": "outfit", "quality": "quick", "base": ""}


def test_the_form_is_told_with_what_may_be_trained_on(tmp_path: Path) -> None:
    told = Server(tmp_path).get("options")
    assert [one["title"] for one in told["bases"]] == ["loaded"]
    assert {one["id"] for one in told["simple"]["subjects"]} == {"character", "style", "concept", "outfit"}
    assert told["output"] == str(tmp_path / "networks")
    assert told["presets"]


def test_seven_answers_make_a_config(tmp_path: Path, images: Path) -> None:
    server = Server(tmp_path)
    told = server.post(
        "simple", **ANSWERS, folder=str(images), trigger="a/b", name="", prompt="a/b, hat --w 64"
    )
    config = make_config(told["config"])
    assert (config.algo, config.resolution, config.name) == ("locon", (1024, 1024), "a b")
    # 800 showings / (4 images x 4 epochs)
    assert (config.repeats, config.epochs) == (50, 4)
    prompts = Path(config.sample_prompts)
    assert prompts.parent == server.data / "prompts"
    assert prompts.read_text(encoding="utf-8") == "a/b, hat --w 64"
    assert told["problem"] == ""


@pytest.mark.parametrize(("family", "side"), [("sd1", None), ("sd2", [768, 768]), ("sdxl", [1024, 1024])])
def test_values_are_for_the_base_model_that_is_in_the_file(
    tmp_path: Path, images: Path, family: Known, side: list[int] | None
) -> None:
    base = str(write_checkpoint(tmp_path / "base.safetensors", family))
    told = Server(tmp_path).post("simple", **{**ANSWERS, "base": base}, folder=str(images))
    assert told["config"].get("resolution") == side and told["note"] == ""


def test_a_base_model_of_an_unknown_kind_is_said_to_be_one(tmp_path: Path, images: Path) -> None:
    base = tmp_path / "base.ckpt"
    base.write_bytes(b"something")
    told = Server(tmp_path).post("simple", **{**ANSWERS, "base": str(base)}, folder=str(images))
    assert "cannot be told" in told["note"]


def test_a_folder_that_is_not_there_is_told_and_the_form_goes_on(tmp_path: Path) -> None:
    told = Server(tmp_path).post("simple", **ANSWERS, folder=str(tmp_path / "gone"))
    assert "gone" in told["problem"]
    assert told["config"]["images"].endswith("gone")


@pytest.mark.parametrize("body", [{"subject": "house"}, {"quality": 3}, {"folder": ["a"]}])
def test_answers_that_are_none(tmp_path: Path, body: dict[str, Any]) -> None:
    with pytest.raises(LycoError):
        Server(tmp_path).post("simple", **{**ANSWERS, **body})


def test_the_sentence(tmp_path: Path, images: Path) -> None:
    config = {"images": str(images), "resolution": [64, 64], "bucket_min": 64, "epochs": 2}
    told = Server(tmp_path).post("plan", config=config)
    assert told["sentence"] == "4 images x 10 x 2 epochs = 80 steps"
    assert told["figures"]["steps"] == 80
    (remark,) = Server(tmp_path).post("plan", config={"images": "x", "rank": 0})["remarks"]
    assert remark["option"] == "rank"


def test_a_check_names_field_and_group(tmp_path: Path) -> None:
    (problem,) = Server(tmp_path).post("check", config={})["problems"]
    assert (problem["level"], problem["field"], problem["group"]) == ("blocks", "images", "Folders")
    (problem,) = Server(tmp_path).post("check", config={"images": "x", "alpa": 3})["problems"]
    assert "alpha" in problem["text"]


def test_paths_stay_in_their_folders(tmp_path: Path, images: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    server = Server(tmp_path, (allowed,))
    (problem,) = server.post("check", config={"images": str(images)})["problems"]
    assert problem["level"] == "blocks"
    assert "may not be used" in problem["text"]
    assert "may not be used" in server.post("simple", **ANSWERS, folder=str(images))["problem"]
    (tmp_path / "secret.toml").write_text("rank = 3", encoding="utf-8")
    for body in ({"path": str(tmp_path / "secret.toml")}, {"path": "../secret.toml"}):
        with pytest.raises(UnsafeFileError):
            server.post("prompts", **body)
    with pytest.raises(UnsafeFileError):
        server.post("import", text=f"train_network.py --config_file={tmp_path / 'secret.toml'}")


def test_prompts_are_kept_and_read(tmp_path: Path) -> None:
    server = Server(tmp_path)
    path = server.post("prompts", name="../tom", text="a cat")["path"]
    assert Path(path).resolve().parent == (server.data / "prompts").resolve()
    assert server.post("prompts", path=path)["text"] == "a cat"
    (tmp_path / "key.pem").write_text("secret", encoding="utf-8")
    with pytest.raises(LycoError):
        server.post("prompts", path=str(tmp_path / "key.pem"))


def test_presets_come_and_go(tmp_path: Path) -> None:
    server = Server(tmp_path)
    kept = server.post("presets", title="Mine", config={"rank": 5})["preset"]
    assert kept["values"] == {"rank": 5}
    assert server.get("presets")["presets"][0] == kept
    assert kept not in server.post("presets/remove", id=kept["id"])["presets"]


def test_options_go_out_and_come_in(tmp_path: Path) -> None:
    server = Server(tmp_path)
    config = {"rank": 5, "resolution": [640, 448], "optimizer_args": ["eps=1e-7"]}
    text = server.post("export", config=config, format="toml")["text"]
    assert server.post("import", text=text)["config"] == config
    assert server.post("export", config=config, format="command")["text"].startswith("lyco train ")
