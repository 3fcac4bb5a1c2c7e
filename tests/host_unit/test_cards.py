"""The page's frame, names in tags, previews, the editor, and who may ask: one piece at a time."""

from __future__ import annotations

import ast
import base64
import importlib
import io
import json
from collections.abc import Generator, Mapping
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any, TypeGuard

import pytest
from PIL import Image

from lib_lyco.catalog.index import Index
from lib_lyco.errors import FileError, ModelError
from lib_lyco.network.network import Network
from lib_lyco.web.server import is_from_here
from tests.architecture import ROOT
from tests.catalog.test_find import put
from tests.host_unit.stand_in import stand_in_modules

HASH = "c3" * 32
BUCKETS = json.dumps(
    {"buckets": {"0": {"resolution": [512, 768], "count": 5}, "1": {"resolution": [64, 64]}, "2": 0}}
)


@pytest.fixture
def shared(tmp_path: Path) -> Generator[ModuleType]:
    with stand_in_modules(tmp_path / "data") as module:
        yield module


@pytest.fixture
def index(shared: ModuleType, tmp_path: Path) -> Generator[Index]:
    folder = tmp_path / "Lora"
    shared.cmd_opts.lora_dir = str(folder)
    for name in ("one/twin", "two/twin"):
        put(folder / f"{name}.safetensors", {"ss_output_name": "same"})
    put(folder / "v1.pt.safetensors", {"ss_output_name": "first", "ss_training_started_at": "nan"})
    put(folder / "a:b.safetensors", {"sshs_model_hash": HASH})
    put(folder / "plain.safetensors", {"ss_output_name": "its alias"})
    made = Index(None, [folder])
    made.scan()
    yield made
    made.close()


def feature(name: str) -> Any:
    return importlib.import_module(f"lib_lyco.host.{name}")


def card(index: Index, name: str) -> Any:
    return index.card(index.entry(name).id)


# --- the page


def test_the_frame_asks_nothing_and_never_changes(shared: ModuleType) -> None:
    """Whatever the number of files: there is nothing here that could be asked for them."""
    page = feature("cards").LycoPage(SimpleNamespace(catalog=None))
    frames = {page.create_html("txt2img", empty=empty) for empty in (True, False)}
    (frame,) = frames
    for part in ("pane", "cards", "extra_search"):
        assert f'id="txt2img_lora_{part}"' in frame
    # with these the WebUI's own script would take the pane for one of its own
    assert "extra_sort_dir" not in frame and "extra_refresh" not in frame


def test_a_page_that_nobody_owns_is_ours_too(shared: ModuleType) -> None:
    pages = importlib.import_module("modules.ui_extra_networks")
    builtin, other = pages.ExtraNetworksPage("Lora"), pages.ExtraNetworksPage("Checkpoints")
    for own, before, after in ((True, builtin, "LycoPage"), (False, builtin, "ExtraNetworksPage")):
        pages.extra_pages[:] = [other, before]
        feature("cards").put_page(SimpleNamespace(catalog=None, options=SimpleNamespace(own_lora=own)))
        assert [page.name for page in pages.extra_pages] == ["checkpoints", "lora"]
        assert type(pages.extra_pages[-1]).__name__ == after
    pages.extra_pages[:] = [other]
    feature("cards").put_page(SimpleNamespace(catalog=None, options=SimpleNamespace(own_lora=False)))
    assert type(pages.extra_pages[-1]).__name__ == "LycoPage"


def test_items_are_made_when_asked_for(index: Index) -> None:
    made: list[str] = []

    def make(one: Any) -> str:
        made.append(one.name)
        return one.name

    items = feature("cards").ByName(index, make)
    assert len(items) == 5 and "one/twin" in list(items) and made == []
    assert items.get("one/twin") == "one/twin"
    assert items.get("absent", {}) == {}
    items["one/twin"] = "what the WebUI puts back"
    assert items["one/twin"] == "one/twin"


@pytest.mark.parametrize(
    ("name", "alias", "said"),
    [
        ("plain", False, "plain"),
        ("plain", True, "its alias"),
        ("one/twin", True, "one/twin"),  # two have the alias
        ("v1.pt.safetensors", False, "first"),  # without its suffix the name would be v1
        ("a:b", False, HASH[:12]),
    ],
)
def test_a_tag_names_the_file_and_no_other(index: Index, name: str, alias: bool, said: str) -> None:
    names = feature("tag_names").TagNames(index)
    entry = next(one for one in index.list() if one.name == name.removesuffix(".safetensors"))
    assert names.of(index.card(entry.id), alias) == said
    assert index.find(said) == entry.path


# --- previews


def data_url(kind: str, colour: str = "red") -> str:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(data, kind)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


@pytest.mark.parametrize(("kind", "suffix"), [("png", ".png"), ("jpeg", ".jpg"), ("webp", ".webp")])
def test_a_picture_is_known_by_its_bytes(shared: ModuleType, kind: str, suffix: str) -> None:
    url = data_url(kind)
    data, found = feature("previews").read_picture(url.replace(f"image/{kind}", "image/anything"))
    assert (base64.b64encode(data).decode(), found) == (url.partition(",")[2], suffix)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,!!!",
        "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(),
        data_url("png")[:-40],
        data_url("bmp"),
    ],
)
def test_what_is_no_picture_is_refused(shared: ModuleType, url: str) -> None:
    with pytest.raises(FileError):
        feature("previews").read_picture(url)


# --- the editor


class Fields:
    """Stands for `ui.editor.EditorFields`: shows what it is given."""

    edited = viewed = ()

    def show(self, values: Mapping[str, Any], tags: Any, prompt: str) -> list[Any]:
        return [dict(values), list(tags), prompt]


@pytest.fixture
def editor(index: Index, shared: ModuleType) -> Any:
    app = SimpleNamespace(catalog=index, editor_fields=Fields)
    return feature("editor").LycoEditor(None, "txt2img", None, app)


def test_the_editor_shows_and_saves(editor: Any, index: Index) -> None:
    path = card(index, "plain").path.with_suffix(".json")
    path.write_text('{"sd version": "SDXL", "other": 1}', encoding="utf-8")
    index.scan()
    name, description, table, shown, problem, values, tags, prompt = editor.show("plain")
    assert (name, description, tags, prompt) == ("plain", "", [], "")
    assert "has no layers" in problem
    assert "plain.safetensors" in table and "<img" not in shown
    assert values["sd_version"] == "SDXL"
    assert editor.save("plain", "d", "SD1", "a, b", 0.5, "n", "notes") == ""
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "sd version": "SD1",
        "other": 1,
        "description": "d",
        "activation text": "a, b",
        "preferred weight": 0.5,
        "negative text": "n",
        "notes": "notes",
    }
    assert editor.show("plain")[1] == "d"


def test_the_editor_says_what_cannot_be_saved(editor: Any, index: Index) -> None:
    assert "no network called" in editor.save("absent", "", "", "", 0, "", "")
    assert "no network called" in editor.show("absent")[4]
    card(index, "plain").path.with_suffix(".json").write_text("[]", encoding="utf-8")
    assert "cannot be read" in editor.save("plain", "", "", "", 0, "", "")


def test_a_picture_of_the_gallery_becomes_the_preview(editor: Any, index: Index) -> None:
    gallery = [data_url("png", "red"), data_url("png", "blue")]
    for chosen, colour in ((0, (255, 0, 0)), (7, (0, 0, 255)), (-1, (255, 0, 0))):
        html, problem = editor.save_preview(chosen, gallery, "one/twin")
        assert problem == "" and "twin.png" in html
        with Image.open(card(index, "one/twin").path.with_suffix(".png")) as saved:
            assert saved.getpixel((0, 0)) == colour
    assert "no picture" in editor.save_preview(0, [], "one/twin")[1]


def test_a_random_prompt_prefers_frequent_tags(shared: ModuleType) -> None:
    draw, tags = feature("editor").random_prompt, [("cat (animal)", 10), ("rare", 1), ("half", 5)]
    drawn = [draw(tags, Random(seed)).split(", ") for seed in range(400)]
    counts = {tag: sum(tag in one for one in drawn) for tag in (r"cat \(animal\)", "half", "rare")}
    assert counts[r"cat \(animal\)"] == 400
    assert 160 < counts["half"] < 240 and 15 < counts["rare"] < 70
    assert draw([], Random(0)) == ""


def test_a_chip_is_put_in_and_taken_out(shared: ModuleType) -> None:
    toggle = importlib.import_module("lib_lyco.ui.editor").toggle_word
    assert toggle("", "a cat") == "a cat"
    assert toggle("wet, ", "a cat") == "wet, a cat"
    assert toggle("wet,a cat , dry", "a cat") == "wet, dry"


def test_details_are_those_of_the_header(index: Index, shared: ModuleType) -> None:
    metadata = {
        "ss_dataset_dirs": '{"1_a": {"img_count": 5}, "b": {"img_count": "x"}, "c": 7}',
        "ss_bucket_info": BUCKETS,
        "ss_clip_skip": "None",
        "ss_sd_model_name": "<b>.ckpt",
    }
    found = dict(feature("details").details(card(index, "a:b"), metadata))
    assert found["Images"] == "5" and found["Resolutions"] == "512x768, 64x64"
    assert found["Hash"] == HASH[:12] and found["Trained on"] == "<b>.ckpt"
    assert "Clip skip" not in found and "Trained" not in found


def test_sizes_of_several_datasets_are_put_together(index: Index, shared: ModuleType) -> None:
    # as train_network.py writes a dataset_config; without buckets the info of one is null
    infos = [json.loads(BUCKETS), {"buckets": {"0": {"resolution": [64, 64], "count": 99}}}, None]
    metadata = {"ss_datasets": json.dumps([{"bucket_info": info} for info in infos])}
    found = dict(feature("details").details(card(index, "a:b"), metadata))
    assert found["Resolutions"] == "64x64, 512x768"


def test_an_x_ray_does_not_wait_for_a_picture(index: Index, shared: ModuleType) -> None:
    def load(path: Path) -> Network:
        return Network(path.stem, "", "sd1", {})

    engine = SimpleNamespace(weights=lambda: ("sd1", None))
    app = SimpleNamespace(catalog=index, cache=SimpleNamespace(load=load), engine=engine)
    given = {"ids": card(index, "plain").id}
    lock = importlib.import_module("modules.call_queue").queue_lock
    xray = feature("xray_json").xray_json
    with lock, pytest.raises(ModelError, match="in use"):
        xray(app, given)
    assert [one["name"] for one in xray(app, given)["networks"]] == ["plain"]
    assert not lock.locked()


def test_every_label_has_its_japanese(index: Index, shared: ModuleType) -> None:
    japanese = json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))
    tree = ast.parse((ROOT / "lib_lyco" / "ui" / "editor.py").read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.keyword))
    labels = {node.value.value for node in calls if node.arg in ("label", "info") and is_text(node.value)}
    assert len(labels) == 11
    stated = dict.fromkeys(feature("details").STATED, "x")
    facts = {"ss_dataset_dirs": '{"a": {"img_count": 1}}', "ss_bucket_info": BUCKETS}
    labels |= {f"{label}:" for label, _ in feature("details").details(card(index, "a:b"), stated | facts)}
    assert labels <= set(japanese)


def is_text(node: ast.expr) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# --- who may ask


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({}, True),  # no browser
        ({"origin": "http://a.example", "host": "a.example"}, True),
        ({"origin": "http://a.example:7860", "host": "a.example"}, False),
        ({"origin": "null", "host": "a.example"}, False),
        ({"origin": "https://a.example", "host": "127.0.0.1:7860"}, False),
        ({"origin": "https://a.example", "host": "127.0.0.1", "x-forwarded-host": "A.example"}, True),
        ({"origin": "https://a.example", "host": "127.0.0.1", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://b.example", "host": "b.example", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://friend.example", "sec-fetch-site": "cross-site"}, True),
        ({"origin": "https://x.pattern.example"}, True),
        ({"origin": "https://x.pattern.example.evil"}, False),
    ],
)
def test_only_pages_of_ours_may_write(shared: ModuleType, headers: dict[str, str], may: bool) -> None:
    shared.cmd_opts.cors_allow_origins = "https://friend.example"
    shared.cmd_opts.cors_allow_origins_regex = r"https://\w+\.pattern\.example"
    assert is_from_here(headers, feature("web").is_allowed) is may


def test_without_a_page_there_are_no_routes(shared: ModuleType) -> None:
    added: list[str] = []

    def add(path: str, endpoint: object, **arguments: object) -> None:
        added.append(path)

    web = feature("web")
    routes = [web.Route("GET", "/lyco/x", dict)]
    web.add_routes(SimpleNamespace(routes=[SimpleNamespace(path="/")], add_api_route=add), routes)
    assert added == []
    check = SimpleNamespace(path="/login_check", endpoint=lambda: None)
    web.add_routes(SimpleNamespace(routes=[check], add_api_route=add), routes)
    assert added == ["/lyco/x"]
