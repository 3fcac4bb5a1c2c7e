"""The section's routes: what they answer, and that nobody gets out of the folders that are allowed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_lyco.errors import ConfigError, DataError, LycoError, UnsafeFileError
from lib_lyco.studio.dataset.routes import dataset_routes
from lib_lyco.studio.rights import Rights
from lib_lyco.web.route import Ask, Content
from tests.studio.dataset.pictures import put_image, put_text

Call = Callable[..., Any]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Asks a route; only what is below `allowed` may be used."""
    routes = dataset_routes(Rights((tmp_path / "allowed",)), tmp_path / "allowed" / "data", tuple)
    answers = {(route.method, route.path.rpartition("dataset/")[2]): route.answer for route in routes}

    def ask(route: str, **body: Any) -> Mapping[str, Any] | Content:
        return answers["POST", route](Ask(body=body))

    def get(route: str, upload: Path | None = None, **given: str) -> Mapping[str, Any] | Content:
        method = "POST" if upload else "GET"
        return answers[method, route](Ask(given=given, upload=upload))

    def either(route: str, *upload: Path, **more: Any) -> Mapping[str, Any] | Content:
        is_get = route in ("thumbnail", "picture", "overlay", "job", "taggers", "upload")
        return get(route, *upload, **more) if is_get else ask(route, **more)

    return either


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put_text(put_image(tmp_path / "allowed" / "set" / "a.png").with_suffix(".txt"), "one, two")
    put_image(tmp_path / "secret" / "s.png")
    return tmp_path / "allowed" / "set"


def test_a_page_is_told_what_it_does_not_know(call: Call, folder: Path) -> None:
    for name in ("b", "excluded/c"):
        put_text(put_image(folder / f"{name}.png").with_suffix(".txt"), "one")
    about = {"folder": str(folder), "config": {}}
    listed = call("list", **about)
    assert [image["tags"] for image in listed["images"]] == [["one", "two"], ["one"], ["one"]]
    assert listed["tags"] == [("one", 2), ("two", 1)]
    edited = call("edit", **about, mark=listed["mark"], names=["a.png"], action="add", tags=["three"])
    assert edited["since"] == listed["mark"]
    assert edited["images"] == [
        {"name": "a.png", "tags": ["one", "two", "three"], "text": "one, two, three"}
    ]
    assert (edited["tags"], edited["undo"]) == ([("three", 1)], "Add tags: three")
    assert "names" not in edited
    left = call("exclude", **about, mark=edited["mark"], names=["a.png"], excluded=True)
    assert left["names"] == ["b.png", "excluded/a.png", "excluded/c.png"]
    assert [(image["name"], image["excluded"]) for image in left["images"]] == [("excluded/a.png", True)]
    assert sorted(left["tags"]) == [("one", 1), ("three", 0), ("two", 0)]
    undone = call("undo", **about, mark=left["mark"])
    assert undone["names"] == ["a.png", "b.png", "excluded/c.png"]
    undone = call("undo", **about, mark=undone["mark"])
    assert undone["images"] == [{"name": "a.png", "tags": ["one", "two"], "text": "one, two"}]
    assert (undone["undo"], undone["redo"]) == ("", "Add tags: three")
    assert call("list", **about, mark=undone["mark"])["images"] == []
    whole = call("list", **about)["images"]
    assert [{**image, "key": ""} for image in whole] == [{**image, "key": ""} for image in listed["images"]]
    assert "since" not in call("redo", **about, mark=edited["mark"])


def test_the_first_images_are_told_before_the_rest(call: Call, folder: Path) -> None:
    put_image(folder / "b.png")
    first = call("list", folder=str(folder), config={}, first=1)
    assert [image["name"] for image in first["images"]] == ["a.png"]
    whole = call("list", folder=str(folder), config={}, mark=first["mark"])
    assert [image["name"] for image in whole["images"]] == ["a.png", "b.png"]


def test_what_somebody_else_wrote_meanwhile_is_changed_and_not_lost(call: Call, folder: Path) -> None:
    call("list", folder=str(folder), config={})
    put_text(folder / "a.txt", "other words")
    edited = call("edit", folder=str(folder), config={}, names=["a.png"], action="add", tags=["x"])
    assert edited["images"][0]["text"] == "other words, x"
    put_text(folder / "a.txt", "again")
    call("edit", folder=str(folder), config={}, names=["a.png"], action="caption", text="other words, x")
    assert (folder / "a.txt").read_text(encoding="utf-8") == "other words, x\n"


@pytest.mark.parametrize("name", ["list", "edit", "undo", "redo", "exclude", "masks", "duplicates", "tag"])
def test_other_folders_are_not_looked_into(call: Call, folder: Path, tmp_path: Path, name: str) -> None:
    for place in (tmp_path / "secret", folder / ".." / ".." / "secret"):
        with pytest.raises(UnsafeFileError):
            call(name, folder=str(place), config={}, names=["s.png"], action="sort", tagger="x")


@pytest.mark.parametrize("name", ["../../secret/s.png", "/etc/passwd", "a.txt", "", "gone.png", "a.png\0"])
@pytest.mark.parametrize("route", ["thumbnail", "picture", "overlay"])
def test_addresses_lead_to_images_alone(call: Call, folder: Path, route: str, name: str) -> None:
    with pytest.raises(LycoError):
        call(route, folder=str(folder), name=name)


def test_a_link_out_of_the_folder_is_not_followed(call: Call, folder: Path, tmp_path: Path) -> None:
    (folder / "link.png").symlink_to(tmp_path / "secret" / "s.png")
    with pytest.raises(UnsafeFileError):
        call("thumbnail", folder=str(folder), name="link.png")
    with pytest.raises(UnsafeFileError):
        call("list", folder=str(folder), config={"mask_folder": str(tmp_path / "secret")})


def test_pictures_may_be_kept_as_long_as_they_stay_the_same(call: Call, folder: Path) -> None:
    (image,) = call("list", folder=str(folder), config={})["images"]
    made = call("thumbnail", folder=str(folder), name="a.png", key=image["key"])
    assert (made.keep, Image.open(io.BytesIO(made.data)).size) == (True, (40, 30))
    assert not call("picture", folder=str(folder), name="a.png", key="old").keep


def test_uploads_stay_in_allowed_folders(call: Call, folder: Path, tmp_path: Path) -> None:
    upload = put_image(tmp_path / "upload.png", colour="blue")
    with pytest.raises(UnsafeFileError):
        call("upload", upload, folder=str(tmp_path / "secret"), name="b.png")
    with pytest.raises(LycoError):
        call("upload", upload, set="../out", name="b.png")
    taken = call("upload", upload, folder=str(folder), name="b.png")
    assert (taken["saved"], taken["refused"]) == (["b.png"], [])
    fresh = call("upload", upload, set="birds", name="b.png")
    assert Path(fresh["folder"]) == tmp_path / "allowed" / "data" / "images" / "birds"


def test_requests_that_cannot_be_are_told(call: Call, folder: Path) -> None:
    with pytest.raises(ConfigError):
        call("list", folder=" ", config={})
    with pytest.raises(ConfigError):
        call("edit", folder=str(folder), config={}, names=[], action="sort")
    with pytest.raises(ConfigError):
        call("tag", folder=str(folder), config={}, names=["a.png"], tagger="none", wish={})
    with pytest.raises(ConfigError):
        call("tag", folder=str(folder), config={}, names=["a.png"], tagger="none", wish={"threshold": 7})
    with pytest.raises(DataError):
        call("edit", folder=str(folder), config={}, names=["gone.png"], action="sort")
