"""Pastes, default networks, axes and routes: the cases that no ordinary picture shows."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lib_lyco.catalog.catalog import Catalog
from lib_lyco.errors import NetworkNotFoundError, PromptError
from lib_lyco.prompt.presets import BUILT_IN
from tests.architecture import ROOT
from tests.catalog.test_find import put
from tests.host_unit.stand_in import stand_in_modules

A, B = "a1" * 32, "b2" * 32


@pytest.fixture
def shared(tmp_path: Path) -> Generator[ModuleType]:
    with stand_in_modules(tmp_path / "data") as module:
        yield module


@pytest.fixture
def app(shared: ModuleType, tmp_path: Path) -> Any:
    """What features see of HostApp, with two networks on disk: one called alpha, one with an alias."""
    folder = tmp_path / "Lora"
    put(folder / "alpha.safetensors", {"sshs_model_hash": A})
    put(folder / "deep" / "b.safetensors", {"sshs_model_hash": B, "ss_output_name": "beta"})
    options = importlib.import_module("lib_lyco.host.options").Options()
    return SimpleNamespace(options=options, catalog=Catalog([folder]), presets=BUILT_IN)


def feature(name: str) -> Any:
    return importlib.import_module(f"lib_lyco.host.{name}")


# --- infotexts


def pasted(app: Any, **params: Any) -> dict[str, Any]:
    feature("infotext").Paste(app).bring_back(params)
    return params


def test_a_name_that_means_the_file_already_stays(app: Any) -> None:
    """By path, alias or suffix: only a name of nothing, or of another content, is replaced."""
    for name in ("deep/b", "b", "beta", "b.safetensors"):
        assert pasted(app, Prompt=f"<lora:{name}:1>", **{"Lora hashes": f"{name}: {B[:12]}"})["Prompt"] == (
            f"<lora:{name}:1>"
        )
    found = pasted(app, Prompt="<lora:alpha:1>", **{"Lora hashes": f"alpha: {B[:12]}"})
    assert found["Prompt"] == "<lora:beta:1>"


def test_a_pasted_name_is_the_alias_or_the_files(app: Any, shared: ModuleType) -> None:
    hashes = {"Lora hashes": f"gone: {B[:12]}"}
    assert pasted(app, Prompt="<lora:gone:1>", **hashes)["Prompt"] == "<lora:beta:1>"
    shared.opts.data["lora_preferred_name"] = "Filename"
    assert pasted(app, Prompt="<lora:gone:1>", **hashes)["Prompt"] == "<lora:b:1>"


def test_every_prompt_of_a_picture_is_mended(app: Any) -> None:
    prompts = ("Prompt", "Negative prompt", "Hires prompt", "Hires negative prompt")
    found = pasted(app, **dict.fromkeys(prompts, "x <lora:gone:1>"), **{"Lora hashes": f"gone: {A[:12]}"})
    assert [found[key] for key in prompts] == ["x <lora:alpha:1>"] * 4


def test_a_new_file_is_found_by_a_paste(app: Any, tmp_path: Path) -> None:
    app.catalog.list()
    put(tmp_path / "Lora" / "new.safetensors", {"sshs_model_hash": "c3" * 32})
    found = pasted(app, Prompt="<lora:gone:1>", **{"Lora hashes": f"gone: {'c3' * 6}"})
    assert found["Prompt"] == "<lora:new:1>"


def addnet(number: int, model: str, **weights: str) -> dict[str, str]:
    kinds = {"both": "Weight", "unet": "Weight A", "te": "Weight B"}
    fields = {f"AddNet {kinds[kind]} {number}": text for kind, text in weights.items()}
    return {f"AddNet Module {number}": "LoRA", f"AddNet Model {number}": model, **fields}


def test_fields_of_additional_networks_are_tags(app: Any) -> None:
    found = pasted(
        app,
        Prompt="a cat",
        **addnet(1, f"gone({A[:12]})", unet="0.7", te="0.6"),
        **addnet(2, "elsewhere(17cd20c7b6ea)", unet="0.3", te="0.3"),
        **addnet(3, "alpha", both="0.5"),
        **addnet(4, "b(v2)", unet="x", te="nan"),
    )
    tags = "<lora:alpha:0.6:0.7><lora:elsewhere:0.3><lora:alpha:0.5><lora:b(v2):1>"
    assert found["Prompt"] == f"a cat\n{tags}"


def test_tags_that_the_builtin_made_of_the_fields_are_replaced(app: Any) -> None:
    """The builtin, called before us, adds a line with the UNet's strength for both (`networks.py`)."""
    found = pasted(
        app, Prompt="a cat\n<lora:gone:0.7>", **addnet(1, f"gone({A[:12]})", unet="0.7", te="0.6")
    )
    assert found["Prompt"] == "a cat\n<lora:alpha:0.6:0.7>"


def test_fields_are_left_to_additional_networks_where_it_is(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = SimpleNamespace(infotext_fields=[(None, "AddNet Module 1")])
    monkeypatch.setattr(importlib.import_module("modules.scripts"), "scripts_txt2img", runner)
    assert pasted(app, Prompt="a cat", **addnet(1, "alpha", unet="1"))["Prompt"] == "a cat"


# --- networks that are not found


@pytest.mark.parametrize("console", [True, False])
@pytest.mark.parametrize("popup", [True, False])
def test_networks_not_found_are_named_where_the_options_say(
    app: Any, shared: ModuleType, console: bool, popup: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shared.opts.data.update(lora_not_found_warning_console=console, lora_not_found_gradio_warning=popup)
    shown: list[str] = []
    app.popup = shown.append
    errors = (
        NetworkNotFoundError("There is no network called 'x'", where="<lora:x>"),
        PromptError("other"),
    )
    feature("not_found").tell(app, SimpleNamespace(errors=errors))
    line = "<lora:x>: There is no network called 'x'"
    assert shown == [line] * popup
    assert capsys.readouterr().err == f"lyco: {line}\n" * console


# --- networks added to every prompt


def job(**values: Any) -> Any:
    processing = importlib.import_module("modules.processing")
    comments: list[str] = []
    p = processing.StableDiffusionProcessingTxt2Img()
    known = {"all_prompts": ["x"], "main_prompt": "x", "prompts": ["x"], "comment": comments.append}
    for name, value in {**known, "comments": comments, "all_hr_prompts": None, **values}.items():
        setattr(p, name, value)
    return p


def test_only_prompts_without_the_network_get_it(app: Any, shared: ModuleType) -> None:
    shared.opts.data.update(lyco_networks=["deep/b", "alpha"])
    prompts = ["x", "x <lyco:beta:0.3>", "<lora:ALPHA:te=1> x", f"<lora:{A[:12]}> <lora:b>"]
    p = job(all_prompts=prompts, prompts=prompts[2:], all_hr_prompts=["y <lora:alpha>"])
    feature("quicksettings").add_defaults(app, p)
    added = ["<lora:deep/b:1><lora:alpha:1>", "<lora:alpha:1>", "<lora:deep/b:1>", ""]
    assert p.all_prompts == [prompt + tags for prompt, tags in zip(prompts, added, strict=True)]
    assert p.prompts == p.all_prompts[2:]
    assert p.main_prompt == "x<lora:deep/b:1><lora:alpha:1>"
    assert p.all_hr_prompts == ["y <lora:alpha><lora:deep/b:1>"]
    before = list(p.all_prompts)
    feature("quicksettings").add_defaults(app, p)
    assert p.all_prompts == before


def test_a_default_that_is_gone_is_told_and_the_others_stay(app: Any, shared: ModuleType) -> None:
    shared.opts.data.update(lyco_networks=["alpha", "alfa"], sd_lora="None")
    p = job()
    feature("quicksettings").add_defaults(app, p)
    assert p.all_prompts == ["x<lora:alpha:1>"]
    assert len(p.comments) == 1 and "'alfa'" in p.comments[0] and "alpha" in p.comments[0]


@pytest.mark.parametrize(("own", "prompt"), [(True, "x<lora:alpha:1>"), (False, "x")])
def test_the_builtins_default_is_its_own_where_it_owns_the_tag(
    app: Any, shared: ModuleType, own: bool, prompt: str
) -> None:
    shared.opts.data.update(sd_lora="alpha", lyco_own_lora=own)
    p = job()
    feature("quicksettings").add_defaults(app, p)
    assert p.all_prompts == [prompt]


def test_a_job_without_networks_gets_none(app: Any, shared: ModuleType) -> None:
    shared.opts.data.update(lyco_networks=["alpha"])
    p = job(disable_extra_networks=True)
    feature("quicksettings").add_defaults(app, p)
    assert p.all_prompts == ["x"]


# --- the X/Y/Z plot


@pytest.fixture
def axes(app: Any) -> dict[str, Any]:
    plot = SimpleNamespace(axis_options=[], AxisOption=Axis)
    feature("xyz").add_axes(app, plot)
    feature("xyz").add_axes(app, plot)
    assert len(plot.axis_options) == 5
    return {axis.label: axis for axis in plot.axis_options}


class Axis:
    """As much of the plot's as is used (`xyz_grid.AxisOption`)."""

    def __init__(
        self,
        label: str,
        type: type,
        apply: Callable[[Any, Any, Any], None],
        *,
        cost: float,
        choices: Callable[[], list[str]] | None = None,
        confirm: Callable[[Any, list[str]], None] | None = None,
    ) -> None:
        self.label, self.type, self.apply, self.cost = label, type, apply, cost
        self.choices, self.confirm = choices, confirm


def test_axes_have_japanese_names(axes: dict[str, Any]) -> None:
    japanese = json.loads((ROOT / "localizations" / "ja_JP.json").read_text(encoding="utf-8"))
    assert set(axes) == {text for text in japanese if text.startswith("[Lyco] ")}


def test_axes_change_the_first_tag_of_both_prompts(axes: dict[str, Any]) -> None:
    p = job(prompt="x <lora:alpha:0.8> <lora:beta>", hr_prompt="y <lora:alpha:0.5:lbw=MIDD>")
    axes["[Lyco] Network"].apply(p, "deep/b", [])
    assert (p.prompt, p.hr_prompt) == ("x <lora:deep/b:0.8> <lora:beta>", "y <lora:deep/b:0.5:lbw=MIDD>")
    axes["[Lyco] Strength"].apply(p, 0.1 + 0.2, [])
    assert (p.prompt, p.hr_prompt) == ("x <lora:deep/b:0.3> <lora:beta>", "y <lora:deep/b:0.3:lbw=MIDD>")
    axes["[Lyco] Network"].apply(p, "None", [])
    assert (p.prompt, p.hr_prompt) == ("x  <lora:beta>", "y ")


def test_a_prompt_may_be_a_list(axes: dict[str, Any]) -> None:
    p = job(prompt=["x <lora:alpha>", "y"], hr_prompt="")
    axes["[Lyco] Block preset"].apply(p, "MIDD", [])
    assert p.prompt == ["x <lora:alpha:lbw=MIDD>", "y"]


def test_values_that_mean_nothing_are_told_before_the_grid(axes: dict[str, Any]) -> None:
    axes["[Lyco] Network"].confirm(None, ["None", "alpha", "beta"])
    axes["[Lyco] Block preset"].confirm(None, ["MIDD", "IN05-OUT05"])
    with pytest.raises(RuntimeError, match="Did you mean alpha"):
        axes["[Lyco] Network"].confirm(None, ["alpha", "alfa"])
    with pytest.raises(RuntimeError, match="Did you mean MIDD"):
        axes["[Lyco] Block preset"].confirm(None, ["MIDDD"])


def test_a_strength_needs_a_tag_or_the_network_axis_before_it(
    axes: dict[str, Any], shared: ModuleType
) -> None:
    strength, network = axes["[Lyco] Strength"], axes["[Lyco] Network"]

    def drawn(x: Any, y: Any) -> None:
        # as the plot tells them (`xyz_grid.Script.run`)
        shared.state.xyz_plot_x, shared.state.xyz_plot_y = SimpleNamespace(axis=x), SimpleNamespace(axis=y)
        strength.apply(job(prompt="x", hr_prompt=""), 0.5, [])

    drawn(network, strength)
    for x, y in ((strength, network), (strength, SimpleNamespace(label="Nothing"))):
        with pytest.raises(PromptError, match="has no network"):
            drawn(x, y)


# --- routes


def test_our_route_has_the_guards_of_the_hosts_own(app: Any) -> None:
    class Server:
        def __init__(self, *routes: Any) -> None:
            self.routes = list(routes)

        def add_api_route(self, path: str, endpoint: object, **arguments: Any) -> None:
            del endpoint
            self.routes.append(SimpleNamespace(path=path, **arguments))

    guard = object()
    open_, guarded = Server(), Server(SimpleNamespace(path="/sdapi/v1/options", dependencies=[guard]))
    for server in (open_, guarded):
        feature("api").add_routes(app, server)
    paths = ["/sdapi/v1/loras", "/sdapi/v1/refresh-loras"]
    assert [route.path for route in open_.routes] == paths
    assert [route.path for route in guarded.routes[1:]] == [*paths, "/lyco/v1/applied"]
    assert guarded.routes[-1].dependencies == [guard]
