"""The ways people choose a network: quicksettings, infotext, API, X/Y/Z plot."""

from __future__ import annotations

import time

import pytest

from tests.host.driver import Host
from tests.host.networks import sshs_hash

PROMPT = "a red circle on a blue ground"
HIRES = {"enable_hr": True, "denoising_strength": 0.7, "hr_scale": 2.0, "hr_upscaler": "Latent"}


def short_hash(host: Host, name: str) -> str:
    """A file is known by its hash once it was in a picture."""
    host.txt2img(f"{PROMPT} <lora:{name}>", steps=1)
    return sshs_hash(host.networks / f"{name}.safetensors")[:12]


@pytest.mark.parametrize(
    ("options", "tags"),
    [
        ({"sd_lora": "alpha"}, "<lora:alpha:1>"),
        ({"sd_lora": "alpha", "extra_networks_default_multiplier": 0.5}, "<lora:alpha:0.5>"),
        ({"lyco_networks": ["alpha", "beta"]}, "<lora:alpha:1><lora:beta:1>"),
        ({"sd_lora": "alpha", "lyco_networks": ["beta"]}, "<lora:alpha:1><lora:beta:1>"),
        ({"sd_lora": "words"}, "<lora:words:1>"),
    ],
)
def test_default_networks_are_tags_written_once(host: Host, options: dict[str, object], tags: str) -> None:
    wanted = host.txt2img(PROMPT + tags)
    assert not host.txt2img(PROMPT).like(wanted)  # and now its text is remembered
    host.set_options(**options)
    picture = host.txt2img(PROMPT, n_iter=2)
    assert picture.pixels[0].tolist() == wanted.pixels[0].tolist()
    for infotext in picture.infotexts:
        assert infotext.splitlines()[0] == PROMPT + tags


def test_default_networks_are_written_once_with_hires_too(host: Host) -> None:
    wanted = host.txt2img(f"{PROMPT}<lora:alpha:1>", **HIRES)
    host.set_options(sd_lora="alpha")
    picture = host.txt2img(PROMPT, n_iter=2, **HIRES)
    assert picture.pixels[0].tolist() == wanted.pixels[0].tolist()
    for infotext in picture.infotexts:
        assert infotext.count("<lora:alpha:1>") == 1
        assert "Hires prompt" not in infotext


def test_default_networks_are_in_a_hires_prompt_too(host: Host) -> None:
    fields = {"hr_prompt": f"a green square {PROMPT}", **HIRES}
    wanted = host.txt2img(
        f"{PROMPT}<lora:alpha:1>", **{**fields, "hr_prompt": f"{fields['hr_prompt']}<lora:alpha:1>"}
    )
    host.set_options(sd_lora="alpha")
    assert host.txt2img(PROMPT, **fields).distance(wanted) == 0


def test_a_default_network_that_the_prompt_names_is_not_added(host: Host) -> None:
    wanted = host.txt2img(f"{PROMPT} <lora:alpha:0.5>")
    host.set_options(sd_lora="alpha")
    assert host.txt2img(f"{PROMPT} <lora:alpha:0.5>").distance(wanted) == 0


def test_a_default_network_that_is_gone_is_told(host: Host) -> None:
    plain = host.txt2img(PROMPT)
    host.set_options(lyco_networks=["gone"])
    picture = host.txt2img(PROMPT)
    assert "gone" in picture.comments
    assert picture.distance(plain) == 0


def test_hashes_are_written_as_the_builtin_writes_them(host: Host) -> None:
    infotext = host.txt2img(f"{PROMPT} <lora:alpha:0.5> <lora:beta>").infotext
    written = f'Lora hashes: "alpha: {short_hash(host, "alpha")}, beta: {short_hash(host, "beta")}"'
    assert written in infotext
    assert "Lora hashes" not in host.txt2img(PROMPT).infotext
    host.set_options(lora_add_hashes_to_infotext=False)
    assert "Lora hashes" not in host.txt2img(f"{PROMPT} <lora:alpha>").infotext


def test_hashes_of_both_passes_are_written(host: Host) -> None:
    picture = host.txt2img(f"{PROMPT} <lora:alpha>", hr_prompt=f"{PROMPT} <lora:beta>", **HIRES)
    assert f"beta: {short_hash(host, 'beta')}" in picture.infotext
    assert f"alpha: {short_hash(host, 'alpha')}" in picture.infotext


LINE = "Steps: 4, Sampler: DDIM, CFG scale: 3, Seed: 1, Size: 64x64"


@pytest.mark.parametrize(
    ("prompt", "more", "pasted"),
    [
        ("<lora:alpha:0.5>", 'Lora hashes: "alpha: {alpha}"', "<lora:alpha:0.5>"),
        ("<lora:renamed:0.5>", 'Lora hashes: "renamed: {alpha}"', "<lora:alpha:0.5>"),
        ("<lora:renamed>", 'Lora hashes: "renamed: {alpha}"', "<lora:alpha>"),
        (
            "<lyco:renamed:1:1:lbw=OUTALL>",
            'Lyco hashes: "renamed: {alpha}"',
            "<lyco:alpha:1:1:lbw=OUTALL>",
        ),
        ("<lora:renamed:1@0,0@1:hr=0.5>", 'Lora hashes: "renamed: {beta}"', "<lora:beta:1@0,0@1:hr=0.5>"),
        ("<lora:renamed:1:MIDD>", 'Lora hashes: "renamed: {beta}"', "<lora:beta:1:MIDD>"),
        ("<lora:unknown:1>", 'Lora hashes: "unknown: 0123456789ab"', "<lora:unknown:1>"),
        (
            "",
            "AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: renamed({alpha}), "
            "AddNet Weight A 1: 0.6, AddNet Weight B 1: 0.7",
            "<lora:alpha:0.7:0.6>",
        ),
    ],
)
def test_pasting_brings_the_tags_back(host: Host, prompt: str, more: str, pasted: str) -> None:
    hashes = {name: short_hash(host, name) for name in ("alpha", "beta")}
    infotext = f"{PROMPT} {prompt}\n{LINE}, {more.format(**hashes)}"
    back, expected = host.ask("pasted", infotext=infotext)["Prompt"], [*PROMPT.split(), pasted]
    if back.split() != expected:  # which files have a hash is looked up once a second at most
        time.sleep(1.1)
        back = host.ask("pasted", infotext=infotext)["Prompt"]
    assert back.split() == expected


def test_what_was_written_is_read_back(host: Host) -> None:
    prompt = f"{PROMPT} <lora:alpha:0.5:te=0.2:lbw=MIDD> <lora:one/twin:0.3>"
    picture = host.txt2img(prompt)
    back = host.ask("pasted", infotext=picture.infotext)["Prompt"]
    assert host.txt2img(back).distance(picture) == 0


def test_the_routes_of_the_builtin_answer_as_before(host: Host) -> None:
    found = {network["alias"]: network for network in host.request("GET", "/sdapi/v1/loras")}
    assert set(found["gamma"]) == {"name", "alias", "path", "metadata"}
    assert found["gamma"]["name"] == "file-of-gamma"
    assert found["gamma"]["path"] == str(host.networks / "file-of-gamma.safetensors")
    assert found["gamma"]["metadata"]["ss_output_name"] == "gamma"
    assert found["alpha"] == {
        "name": "alpha",
        "alias": "alpha",
        "path": str(host.networks / "alpha.safetensors"),
        "metadata": {},
    }
    host.write("new-file", {})
    assert host.request("POST", "/sdapi/v1/refresh-loras") is None
    names = [network["name"] for network in host.request("GET", "/sdapi/v1/loras")]
    assert "new-file" in names


def test_our_route_tells_what_is_applied(host: Host) -> None:
    host.txt2img(f"{PROMPT} <lora:alpha:0.5> <lora:alfa>")
    applied = host.request("GET", "/lyco/v1/applied")
    assert [network["tag"] for network in applied["networks"]] == ["<lora:alpha:0.5>"]
    assert any("applied 9 of 9" in line for line in applied["lines"])
    assert any("<lora:alfa>" in problem for problem in applied["problems"])
    assert applied["model"].startswith("lyco-embedded")


@pytest.mark.parametrize(
    ("axis", "values", "tags"),
    [
        ("[Lyco] Network", ["None", "beta"], ["", "<lora:beta:0.5>"]),
        ("[Lyco] Strength", ["0.2", "0.8"], ["<lora:alpha:0.2>", "<lora:alpha:0.8>"]),
        ("[Lyco] Text encoder strength", ["0", "1"], ["<lora:alpha:0:0.5>", "<lora:alpha:1:0.5>"]),
        ("[Lyco] UNet strength", ["0", "1"], ["<lora:alpha:0.5:0>", "<lora:alpha:0.5:1>"]),
        ("[Lyco] Block preset", ["NONE", "MIDD"], ["<lora:alpha:0>", "<lora:alpha:0.5:lbw=MIDD>"]),
    ],
)
def test_axes_of_the_plot(host: Host, axis: str, values: list[str], tags: list[str]) -> None:
    cells = host.plot(f"{PROMPT} <lora:alpha:0.5>", {axis: values})
    for number, tag in enumerate(tags):
        wanted = host.txt2img(f"{PROMPT} {tag}")
        assert cells.pixels[number].tolist() == wanted.pixels[0].tolist()


def test_the_network_axis_adds_a_tag_where_there_is_none(host: Host) -> None:
    cells = host.plot(PROMPT, {"[Lyco] Network": ["alpha", "None"]})
    for number, tag in enumerate(("<lora:alpha>", "")):
        assert cells.pixels[number].tolist() == host.txt2img(f"{PROMPT}{tag}").pixels[0].tolist()
