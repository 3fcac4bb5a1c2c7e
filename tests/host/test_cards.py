"""The picker's page and its routes, in the running host."""

from __future__ import annotations

import base64
import io
import json
import math
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.host.conftest import Start
from tests.host.driver import ROOT, Host, HostError
from tests.host.networks import FILES, RANK, base, lora

PROMPT = "a red circle on a blue ground"
TRAINER = """
import pathlib, sys
from tests.train.test_network import SETTINGS
from tests.train.test_save import saver, trained_network
from tests.train.tiny import TinyModel
saver(pathlib.Path(sys.argv[1]), trained_network(TinyModel(), SETTINGS["lora"])).save("", 1, 1)
"""
"""Saves a network as a training does."""
ELSEWHERE = {"Origin": "http://elsewhere.example"}


def cards(host: Host, **query: Any) -> dict[str, Any]:
    return host.request("GET", "/lyco/cards", **query)


def card(host: Host, name: str) -> dict[str, Any]:
    (found,) = (one for one in cards(host, limit=500)["cards"] if one["name"] == name)
    return found


def post(host: Host, name: str, action: str, body: dict[str, Any]) -> dict[str, Any]:
    return host.request("POST", f"/lyco/cards/{card(host, name)['id']}/{action}", body)


def single(host: Host, name: str) -> str:
    """The WebUI's own route, which other extensions ask."""
    answer = host.request(
        "GET", "/sd_extra_networks/get-single-card", page="lora", tabname="txt2img", name=name
    )
    return answer["html"]


def picture(colour: tuple[int, int, int]) -> str:
    data = io.BytesIO()
    Image.new("RGB", (6, 8), colour).save(data, "png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def follow(host: Host, before: str) -> dict[str, Any]:
    """As the page does: asks until there is another revision."""
    for _ in range(100):
        answer = host.request("GET", "/lyco/cards/revision")
        if answer["revision"] != before:
            return answer
        time.sleep(0.1)
    raise AssertionError("nothing was noticed")


def test_the_page_is_ours_and_alone(host: Host) -> None:
    assert host.ask("owners")["pages"].count("lora") == 1
    assert "&lt;lora:one/twin:" in single(host, "one/twin")
    told = host.request("GET", "/sd_extra_networks/metadata", page="lora", item="file-of-gamma")
    assert json.loads(told["metadata"])["ss_output_name"] == "gamma"


def test_the_page_goes_and_comes_with_the_tag(host: Host) -> None:
    host.set_options(lyco_own_lora=False)
    assert host.request("GET", "/lyco/cards/revision")["tag_kind"] == "lyco"
    host.reload_ui()
    assert host.ask("owners")["pages"].count("lora") == 1
    with pytest.raises(HostError, match="500"):
        single(host, "one/twin")  # the builtin knows no such name
    host.set_options(lyco_own_lora=True)
    host.reload_ui()
    assert "&lt;lora:one/twin:" in single(host, "one/twin")


def test_every_file_is_a_card_that_a_tag_can_name(host: Host) -> None:
    found = {one["name"]: one for one in cards(host, limit=500)["cards"]}
    assert set(FILES) | {"file-of-gamma"} <= set(found)
    for name in FILES:
        assert (found[name]["tag_name"], found[name]["algo"], found[name]["rank"]) == (name, "lora", RANK)
    assert found["file-of-gamma"]["alias"] == "gamma"
    host.set_options(lyco_card_name="alias")
    assert card(host, "file-of-gamma")["tag_name"] == "gamma"
    assert card(host, "one/twin")["tag_name"] == "one/twin"
    tree = host.request("GET", "/lyco/folders")["folders"]
    assert {one["path"] for one in tree[0]["children"]} >= {"Lora/one", "Lora/two"}
    assert cards(host, folder="Lora/one")["total"] == 1
    assert cards(host, text="TWIN two")["total"] == 1
    assert len(cards(host, limit=2, offset=1)["cards"]) == 2


def test_a_broken_file_says_what_is_wrong_and_odd_names_work(host: Host) -> None:
    (host.networks / "cut.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{" + bytes(20))
    odd = "水彩 \"{q}' 🎨"
    host.write(odd, lora(8))
    assert "shorter than its header" in card(host, "cut")["problem"]
    assert card(host, odd)["tag_name"] == odd
    assert odd.split()[0] in single(host, odd)
    tags = host.request("POST", "/lyco/parse", {"prompt": f"🎨<lora:{odd}>"})["tags"]
    assert tags[0]["card_id"] == card(host, odd)["id"]


def test_words_come_with_the_tag_as_the_user_wants_it(host: Host) -> None:
    captions = {"10_day": {"day scene": 40, "sun": 40}, "10_night": {"night scene": 30}}
    images = {"10_day": {"img_count": 40}, "10_night": {"img_count": 30}}
    metadata = {"ss_tag_frequency": json.dumps(captions), "ss_dataset_dirs": json.dumps(images)}
    host.write("taught", lora(8), metadata)
    assert [one["words"] for one in card(host, "taught")["trigger_sets"]] == [
        ["day scene", "sun"],
        ["night scene"],
    ]
    found = {"": card(host, "taught")["insert_words"]}
    for wanted in ("trigger words", "nothing", "activation text"):
        host.set_options(lyco_card_words=wanted)
        found[wanted] = card(host, "taught")["insert_words"]
    assert found == {"": [], "trigger words": ["day scene", "sun"], "nothing": [], "activation text": []}
    post(host, "taught", "notes", {"activation_text": "sks"})
    for wanted, words in (("trigger words", ["sks"]), ("nothing", []), ("activation text", ["sks"])):
        host.set_options(lyco_card_words=wanted)
        assert card(host, "taught")["insert_words"] == words
    host.set_options(lyco_card_words="activation text")


def test_all_networks_folders_are_read(host: Host) -> None:
    """`--lora-dir` and `--lyco-dir-backcompat` (`--lyco-dir`) as they are without a flag."""
    elsewhere = host.data_dir / "models" / "LyCORIS" / "old" / "in the other folder.safetensors"
    elsewhere.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in lora(8).items()}, elsewhere)
    assert card(host, "in the other folder")["folder"] == "LyCORIS/old"
    names = [one["name"] for one in host.request("GET", "/lyco/folders")["folders"]]
    assert names == ["Lora", "LyCORIS"]


@pytest.mark.parametrize("second", ["--lyco-dir", "--lyco-dir-backcompat"])
def test_the_flags_folders_are_read(start: Start, kind: str, tmp_path: Path, second: str) -> None:
    if kind == "stand-in":
        pytest.skip("the flags are the real one's")
    arguments = ["--api"]
    for number, flag in enumerate(("--lora-dir", second)):
        folder = tmp_path / flag.strip("-")
        folder.mkdir()
        tensors = {key: value.contiguous() for key, value in lora(number).items()}
        save_file(tensors, folder / f"by {flag}.safetensors")
        arguments += [flag, str(folder)]
    found = {one["name"] for one in cards(start(*arguments))["cards"]}
    assert found == {"by --lora-dir", f"by {second}"}


def test_networks_of_another_base_model_are_hidden_and_counted(host: Host) -> None:
    name = "lora_te2_text_model_encoder_layers_31_mlp_fc1"
    parts = {"lora_down.weight": (RANK, 1280), "lora_up.weight": (5120, RANK)}
    host.write("for-sdxl", {f"{name}.{part}": torch.ones(shape) for part, shape in parts.items()})
    answer = cards(host, limit=500)
    assert "for-sdxl" not in {one["name"] for one in answer["cards"]}
    assert answer["hidden"] == {"other base model": 1}
    assert (answer["base"]["family"], answer["base"]["title"]) == ("sd1", "Stable Diffusion 1")
    shown = {one["name"]: one for one in cards(host, show_hidden=1, limit=500)["cards"]}
    assert (shown["for-sdxl"]["family"], shown["for-sdxl"]["fits"], shown["alpha"]["fits"]) == (
        "sdxl",
        False,
        True,
    )
    host.set_options(lora_show_all=True)
    assert cards(host)["hidden"] == {}
    assert cards(host, show_hidden=0)["hidden"] == {"other base model": 1}


def test_the_page_follows_files_and_the_checkpoint(host: Host) -> None:
    before = host.request("GET", "/lyco/cards/revision")
    assert host.request("GET", "/lyco/cards/revision") == before
    path = host.write("fresh", lora(9))
    found = follow(host, before["revision"])
    assert card(host, "fresh")["algo"] == "lora"
    path.rename(path.with_name("renamed.safetensors"))
    found = follow(host, host.request("GET", "/lyco/cards/revision")["revision"])
    assert {"fresh", "renamed"} & {one["name"] for one in cards(host, limit=500)["cards"]} == {"renamed"}
    host.use("other")
    other = follow(host, found["revision"])
    assert (found["base"]["checkpoint"].split(".")[0], other["base"]["checkpoint"].split(".")[0]) == (
        "lyco-embedded",
        "other",
    )


@pytest.mark.skipif(find_spec("diffusers") is None, reason="the trained model is diffusers'")
def test_what_a_trainer_saves_in_another_process_appears(host: Host) -> None:
    before = host.request("GET", "/lyco/cards/revision")
    subprocess.run([sys.executable, "-c", TRAINER, str(host.networks / "trained")], cwd=ROOT, check=True)
    follow(host, before["revision"])
    assert {one["algo"] for one in cards(host, text="trained/net", show_hidden=1)["cards"]} == {"lora"}


def test_notes_are_the_builtins_and_foreign_fields_stay(host: Host) -> None:
    notes = host.networks / "alpha.json"
    notes.write_text('{"civitai": {"id": 7}, "description": "old"}', encoding="utf-8")
    body = {"activation_text": "sks 猫, wet", "preferred_weight": 0.7, "negative_text": "blurry"}
    after = post(host, "alpha", "notes", body)
    assert after["card"]["description"] == "old"
    assert after["card"]["insert_words"] == ["sks 猫", "wet"]
    # the names and the form of the builtin's editor (`ui_edit_user_metadata.py`)
    assert json.loads(notes.read_text(encoding="utf-8")) == {
        "civitai": {"id": 7},
        "description": "old",
        "activation text": "sks 猫, wet",
        "preferred weight": 0.7,
        "negative text": "blurry",
    }
    html = single(host, "alpha")
    assert "0.7" in html and "sks 猫, wet" in html and "(blurry:1)" in html
    for bad in ({"activation_text": "two\nlines"}, {"preferred_weight": "much"}, {"notes": None}):
        with pytest.raises(HostError, match="400"):
            post(host, "alpha", "notes", bad)


def test_stars_and_uses_are_kept_and_sorted_by(host: Host) -> None:
    assert post(host, "beta", "star", {"starred": True})["card"]["starred"] is True
    for name in ("paint", "words", "words"):
        post(host, name, "used", {})
    assert [one["name"] for one in cards(host, starred=1)["cards"]] == ["beta"]
    order = [one["name"] for one in cards(host, sort="most_used", desc=1)["cards"]]
    assert order[:2] == ["words", "paint"]
    assert post(host, "beta", "star", {"starred": False})["card"]["starred"] is False
    with pytest.raises(HostError, match="400.*one of name, path"):
        cards(host, sort="size")


def test_a_preview_is_replaced_and_served_by_the_webui(host: Host) -> None:
    for colour in ((255, 0, 0), (0, 255, 0)):
        after = post(host, "two/twin", "preview", {"image": picture(colour)})
        shown = after["card"]["previews"]
        assert [one["name"] for one in shown] == ["twin.png"]
        with Image.open(host.networks / "two" / "twin.png") as saved:
            assert saved.getpixel((0, 0)) == colour
    query = parse_qs(urlsplit(shown[0]["url"]).query)
    assert Path(query["filename"][0]) == host.networks / "two" / "twin.png"
    assert host.status("GET", "/sd_extra_networks/thumb", filename=query["filename"][0]) == 200
    assert (
        host.status("GET", "/sd_extra_networks/thumb", filename=str(host.data_dir / "config.json")) != 200
    )
    (host.networks / "two" / "twin.preview.jpg").write_bytes(b"")
    host.request("POST", "/lyco/refresh", {})
    after = post(host, "two/twin", "preview", {"name": "twin.preview.jpg"})
    assert [one["name"] for one in after["card"]["previews"]] == ["twin.preview.jpg", "twin.png"]
    for bad in ({"image": "data:image/png;base64,AAAA"}, {"image": "/etc/passwd"}, {"name": "../x"}, {}):
        with pytest.raises(HostError, match="400"):
            post(host, "two/twin", "preview", bad)


def test_one_card_tells_all(host: Host) -> None:
    counts = {"1_a": {"sks cat": 8, "grass": 3}, "2_b": {"grass": 2}}
    metadata = {"ss_tag_frequency": json.dumps(counts), "ssmd_cover_images": '["AAAA"]'}
    host.write("tagged", lora(10), metadata)
    found = host.request("GET", f"/lyco/cards/{card(host, 'tagged')['id']}")
    assert [tuple(one) for one in found["tags"]] == [("sks cat", 8), ("grass", 5)]
    assert found["metadata"] == {"ss_tag_frequency": metadata["ss_tag_frequency"]}
    assert ("Algorithm", f"lora, rank {RANK}") in [tuple(one) for one in found["details"]]
    with pytest.raises(HostError, match="404"):
        host.request("GET", "/lyco/cards/nothing")


def test_tags_have_their_places_and_are_edited_in_them(host: Host) -> None:
    prompt = "🎨 <lora:alpha:0.8>, <lyco:one/twin:1:0@0,1@0.5> <lora:alfa:x=y> <lora:beta:0>"
    tags = host.request("POST", "/lyco/parse", {"prompt": prompt})["tags"]
    units = prompt.encode("utf-16-le")
    for tag in tags:
        assert units[2 * tag["start"] : 2 * tag["end"]].decode("utf-16-le") == tag["text"]
    assert [tag["card_id"] for tag in tags] == [
        card(host, "alpha")["id"],
        card(host, "one/twin")["id"],
        None,
        card(host, "beta")["id"],
    ]
    assert [tag["muted"] for tag in tags] == [False, False, False, True]
    assert [list(point) for point in tags[1]["schedule"]] == [[0, 0], [0.5, 1]]
    assert "<lora:alfa:x=y>" in tags[2]["problem"] and tags[0]["problem"] is None
    asked = {"prompt": prompt, "at": 0, "text": "<lora:alpha:0.8>"}
    after = host.request("POST", "/lyco/edit", {**asked, "set": {"te": "0.5"}, "name": "beta"})
    assert after["prompt"] == prompt.replace("<lora:alpha:0.8>", "<lora:beta:0.5:unet=0.8>")
    assert after["tags"][0]["te"] == 0.5
    gone = host.request("POST", "/lyco/edit", {**asked, "remove": True})
    assert gone["prompt"] == prompt.replace("<lora:alpha:0.8>", "")
    with pytest.raises(HostError, match="400"):
        host.request("POST", "/lyco/edit", {**asked, "text": "<lora:alpha:0.7>", "remove": True})


def test_the_strip_tells_what_became_of_each_tag(host: Host) -> None:
    before = host.request("GET", "/lyco/applied")["serial"]
    host.txt2img(f"{PROMPT} <lora:alpha:0.5:1><lora:alfa><lora:beta:a:b:c:d>")
    state = host.request("GET", "/lyco/applied")
    assert state["serial"] > before and state["model"].startswith("lyco-embedded")
    rows = {row["name"]: row for row in state["rows"]}
    row = rows["alpha"]
    assert (row["te"], row["unet"], row["applied"], row["total"]) == (0.5, 1.0, 9, 9)
    assert (row["card_id"], row["problem"]) == (card(host, "alpha")["id"], None)
    assert rows["alfa"]["tag"] == "<lora:alfa>" and "alpha" in rows["alfa"]["problem"]
    # the row says which tag it is
    assert rows["alfa"]["problem"].startswith("There is no network called 'alfa'")
    assert rows["beta"]["tag"] == "<lora:beta:a:b:c:d>" and rows["beta"]["applied"] == 0
    names = {one["name"]: one["weights"] for one in host.request("GET", "/lyco/presets")["blocks"]}
    assert names["NONE"] == {} and set(names["ALL"].values()) == {1.0}


def test_the_strips_tell_of_both_passes(host: Host) -> None:
    hires = {"enable_hr": True, "denoising_strength": 0.7, "hr_scale": 2.0, "hr_upscaler": "Latent"}
    host.txt2img(f"{PROMPT} <lora:alpha:0.5>", hr_prompt=f"{PROMPT} <lora:beta:1>", **hires)
    state = host.request("GET", "/lyco/applied")
    assert [(row["name"], row["applied"]) for row in state["rows"]] == [("alpha", 9)]
    assert [(row["name"], row["applied"]) for row in state["hires_rows"]] == [("beta", 9)]


def test_the_x_ray_is_of_the_originals(host: Host) -> None:
    """||dW|| / ||W|| of the one layer in the middle block, by hand; opposite networks fight everywhere."""
    mine = lora(1)
    opposite = {key: -value if "lora_up" in key else value for key, value in mine.items()}
    host.write("opposite", opposite)
    stem = "lora_unet_mid_block_attentions_0_proj_in"
    up, down = (mine[f"{stem}.lora_{part}.weight"].double().flatten(1) for part in ("up", "down"))
    weight = base()["model.diffusion_model.middle_block.1.proj_in.weight"].double()
    expected = 0.5 * float((up @ down).norm() / weight.norm())  # alpha / rank is a half
    ids = f"{card(host, 'alpha')['id']},{card(host, 'opposite')['id']}"
    for prompt in (PROMPT, f"{PROMPT} <lora:alpha>"):
        host.txt2img(prompt)
        found = host.request("GET", "/lyco/xray", ids=ids, unet="1,0.5")
        (middle,) = (one for one in found["networks"][0]["blocks"] if one["block"] == "MID")
        assert math.isclose(middle["relative"], expected, rel_tol=1e-3)
        (half,) = (one for one in found["networks"][1]["blocks"] if one["block"] == "MID")
        assert math.isclose(half["relative"], expected / 2, rel_tol=1e-3)
        assert all(math.isclose(one["cosine"], -1, abs_tol=1e-3) for one in found["overlaps"])
        assert any("fight" in sentence for sentence in found["findings"])
        assert found["svg"].startswith("<svg")
    with pytest.raises(HostError, match="400"):
        host.request("GET", "/lyco/xray", ids="")


def test_an_x_ray_adds_up_a_network_named_twice_and_passes_over_a_broken_one(host: Host) -> None:
    (host.networks / "torn.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{" + bytes(20))
    alpha, torn = card(host, "alpha")["id"], card(host, "torn")["id"]
    once = host.request("GET", "/lyco/xray", ids=alpha, te="1", unet="0.75")
    again = host.request(
        "GET", "/lyco/xray", ids=f"{torn},{alpha},{alpha}", te="1,0.5,0.5", unet="1,0.5,0.25"
    )
    assert again["findings"][0].startswith("torn: ") and "header" in again["findings"][0]
    assert [network["id"] for network in again["networks"]] == [alpha]
    for one, other in zip(once["networks"][0]["blocks"], again["networks"][0]["blocks"], strict=True):
        assert one["block"] == other["block"] and math.isclose(one["norm"], other["norm"], rel_tol=1e-6)
    with pytest.raises(HostError, match="400"):
        host.request("GET", "/lyco/xray", ids=torn)


def test_other_sites_may_not_write(host: Host) -> None:
    path, body = f"/lyco/cards/{card(host, 'alpha')['id']}/star", {"starred": True}
    assert host.status("POST", path, body=body, headers=ELSEWHERE) == 403
    assert (
        host.status("POST", path, body=body, headers={**ELSEWHERE, "Sec-Fetch-Site": "cross-site"}) == 403
    )
    assert (
        host.status("POST", path, body=body, headers={**ELSEWHERE, "Sec-Fetch-Site": "same-origin"}) == 200
    )
    assert card(host, "alpha")["starred"] is True
    post(host, "alpha", "star", {"starred": False})


def test_only_who_has_logged_in_may_ask(start: Start) -> None:
    guarded = start("--api", "--gradio-auth", "me:secret")
    for user, status in ((None, 401), ("me:wrong", 401), ("me:secret", 200)):
        assert guarded.status("GET", "/lyco/cards", user=user) == status
        assert guarded.status("POST", "/lyco/refresh", user=user, body={}) == status
