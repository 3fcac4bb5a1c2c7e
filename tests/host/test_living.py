"""Living in the host: starting, reloading, handing `<lora:>` over, settings."""

from __future__ import annotations

import json

import pytest

from tests.host.driver import ROOT, Host

PROMPT = "a red circle on a blue ground"
OURS = "lib_lyco.host.activation"


def our_lines(host: Host) -> list[str]:
    return [line for line in host.log.splitlines() if line.startswith("lyco:")]


def test_a_start_prints_one_line_and_no_error(host: Host) -> None:
    assert our_lines(host)[0] == "lyco: ready for <lora:> and <lyco:> tags"
    begin = host.log[: host.log.index("lyco: ready")]
    assert "lib_lyco" not in begin  # as it would be in a traceback
    assert "Error loading script" not in begin


def test_reload_ui_twice(host: Host) -> None:
    picture, lines = host.txt2img(f"{PROMPT} <lora:alpha>"), len(our_lines(host))
    axes = [axis["label"] for axis in host.ask("axes")]
    for _ in range(2):
        host.reload_ui()
    assert len(our_lines(host)) == lines + 2
    assert host.txt2img(f"{PROMPT} <lora:alpha>").distance(picture) == 0
    assert host.ask("owners")["tags"]["lora"] == OURS
    assert [axis["label"] for axis in host.ask("axes")] == axes
    assert len(set(axes)) == len(axes)


def test_both_tags_are_ours_and_the_builtin_is_idle(host: Host) -> None:
    tags = host.ask("owners")["tags"]
    assert (tags["lora"], tags["lyco"]) == (OURS, OURS)
    host.txt2img(f"{PROMPT} <lora:alpha>")
    assert host.ask("builtin") == {"loaded": []}


def test_lora_is_given_back_and_taken_again(host: Host) -> None:
    clean, ours = host.txt2img(PROMPT), host.txt2img(f"{PROMPT} <lora:alpha>")
    digest = host.ask("digest")
    host.txt2img(PROMPT)
    base = host.ask("digest")
    assert digest != base

    host.txt2img(f"{PROMPT} <lora:alpha>")
    host.set_options(lyco_own_lora=False)
    assert host.ask("digest") == base
    tags = host.ask("owners")["tags"]
    assert tags["lora"] != OURS
    assert tags["lyco"] == OURS
    assert host.txt2img(f"{PROMPT} <lyco:alpha>").distance(ours) == 0
    host.txt2img(f"{PROMPT} <lora:beta>")
    assert host.ask("builtin") == {"loaded": ["beta"]}

    host.set_options(lyco_own_lora=True)
    assert host.ask("builtin") == {"loaded": []}
    assert host.ask("digest") == base
    assert host.txt2img(f"{PROMPT} <lora:alpha>").distance(ours) == 0
    assert host.txt2img(PROMPT).distance(clean) == 0


def test_lora_is_the_builtins_for_one_picture(host: Host) -> None:
    clean, tagged = host.txt2img(PROMPT), f"{PROMPT} <lora:alpha>"
    ours = host.txt2img(tagged)
    host.txt2img(tagged, override_settings={"lyco_own_lora": False})
    assert host.ask("builtin") == {"loaded": ["alpha"]}
    assert host.txt2img(tagged).distance(ours) == 0
    assert host.ask("builtin") == {"loaded": []}
    assert host.txt2img(PROMPT).distance(clean) == 0


def test_both_at_once_is_refused_and_told(host: Host) -> None:
    host.set_options(lyco_own_lora=False)
    picture = host.txt2img(f"{PROMPT} <lora:alpha> <lyco:beta>")
    assert "<lyco:>" in picture.comments
    assert host.ask("builtin") == {"loaded": ["alpha"]}
    host.txt2img(PROMPT)


OPTIONS = (
    "lyco_own_lora",
    "lyco_networks",
    "lyco_mode",
    "lyco_memory_mb",
    "lyco_cache_mb",
    "lyco_report",
    "lyco_block_presets",
)


def test_every_option_has_a_label_in_english_and_japanese(host: Host) -> None:
    labels = host.ask("labels")
    japanese = json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))
    for key in OPTIONS:
        assert labels[key].isascii()
        assert not japanese[labels[key]].isascii()


def test_an_option_is_saved(host: Host) -> None:
    host.set_options(lyco_report="never")
    saved = json.loads((host.data_dir / "config.json").read_text(encoding="utf-8"))
    assert saved["lyco_report"] == "never"


@pytest.mark.parametrize(
    ("report", "found"), [("problems", (True, False)), ("always", (True, True)), ("never", (False, False))]
)
def test_the_comment_says_what_is_asked_for(host: Host, report: str, found: tuple[bool, bool]) -> None:
    host.set_options(lyco_report=report)
    comments = host.txt2img(f"{PROMPT} <lora:alpha> <lora:alfa>").comments
    assert ("<lora:alfa>" in comments, "applied 9 of 9" in comments) == found


def test_the_memory_for_sets_is_kept_to(host: Host) -> None:
    host.set_options(lyco_memory_mb=0)
    for tags in ("<lora:alpha>", "<lora:beta>", ""):
        host.txt2img(f"{PROMPT} {tags}")
        assert host.request("GET", "/lyco/v1/applied")["parked_bytes"] == 0
    host.set_options(lyco_memory_mb=1024)
    for tags in ("<lora:alpha>", "<lora:beta>"):
        host.txt2img(f"{PROMPT} {tags}")
    assert host.request("GET", "/lyco/v1/applied")["parked_bytes"] > 0
