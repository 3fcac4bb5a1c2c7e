"""What the forms of the tab ask, and the answers. All addresses are below `/lyco/train/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from lib_lyco.errors import ConfigError, DataError, LycoError, one_line
from lib_lyco.files.replacing import replace_file
from lib_lyco.naming.layer import Family
from lib_lyco.studio.check import Case, check_run, refused
from lib_lyco.studio.exchange import changed, export_text, import_text, plain
from lib_lyco.studio.families import Families
from lib_lyco.studio.form import describe_form, group_of, is_installed
from lib_lyco.studio.outlook import Outlook, look_ahead
from lib_lyco.studio.presets import PERSONAL, Preset, Presets
from lib_lyco.studio.rights import Rights
from lib_lyco.studio.simple import QUALITIES, SUBJECTS, Answers, Choice, Seen, choose_options, look_at
from lib_lyco.studio.states import PACE
from lib_lyco.studio.workplace import Base, Provider
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.web.route import Ask, Route

_PREFIX = "/lyco/train"
_PROMPT_FILES = (".txt", ".toml", ".json")
_UNKNOWN = (
    "Of which kind the base model is cannot be told from its file: these are values for SD1. "
    "For another kind take one of the presets."
)
_NO_NAME = re.compile(r'[/\\:*?"<>|\x00-\x1f]+')


class FormRoutes:
    """The answers.

    Args:
        provider: What may be trained on.
        rights: What whoever asks may do.
        data: Folder for presets and texts of the user's.
        output: Folder of the networks, for runs that name none.
        device: Where runs are; None is the GPU if there is one.
    """

    def __init__(
        self,
        provider: Provider,
        rights: Rights,
        data: Path,
        output: Path,
        device: torch.device | None = None,
    ) -> None:
        self._provider = provider
        self._rights = rights
        self._data = data
        self._output = output
        self._presets = Presets(data / "presets")
        self._families = Families()
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("GET", f"{_PREFIX}/options", self.options),
            Route("POST", f"{_PREFIX}/simple", self.simple),
            Route("POST", f"{_PREFIX}/plan", self.plan),
            Route("POST", f"{_PREFIX}/check", self.check),
            Route("POST", f"{_PREFIX}/import", self.read),
            Route("POST", f"{_PREFIX}/export", self.write),
            Route("POST", f"{_PREFIX}/prompts", self.prompts),
            Route("GET", f"{_PREFIX}/presets", self.presets),
            Route("POST", f"{_PREFIX}/presets", self.keep),
            Route("POST", f"{_PREFIX}/presets/remove", self.remove),
        ]

    def options(self, ask: Ask) -> Mapping[str, Any]:
        """The whole form, what may be trained on, and the presets."""
        del ask
        bases = [
            {"name": one.name, "title": one.title, "family": one.family, "problem": one.problem}
            for one in self._provider.bases()
        ]
        return {
            "groups": describe_form(),
            "bases": bases,
            "presets": self._listed(),
            "simple": {
                "subjects": [{"id": name, "title": title} for name, title in SUBJECTS.items()],
                "qualities": [{"id": name, "title": title} for name, title in QUALITIES.items()],
            },
            "personal": sorted(PERSONAL),
            "output": str(self._output),
        }

    def simple(self, ask: Ask) -> Mapping[str, Any]:
        """Seven answers become options, each with its reason."""
        body = ask.body
        folder, trigger = _text(body, "folder"), _text(body, "trigger").strip(" ,")
        base = self._base(_text(body, "base"))
        answers = Answers(
            subject=_one_of(body, "subject", SUBJECTS),
            quality=_one_of(body, "quality", QUALITIES),
            family=_known(base),
            trigger=trigger,
        )
        seen, problem = self._seen(folder, trigger)
        choices = choose_options(answers, seen)
        values = {one.option: one.value for one in choices} | {
            "images": folder,
            "base_model": _text(body, "base"),
        }
        values["name"] = _file_name(_text(body, "name") or trigger or Path(folder).name)
        prompt = _text(body, "prompt").strip()
        if prompt:
            values["sample_prompts"] = str(self._written(values["name"], prompt))
            values["sample_every_n_epochs"] = values["save_every_n_epochs"]
        return {
            "config": changed(make_config(values)),
            "reasons": [_reason(one) for one in choices],
            "problem": problem,
            "note": "" if base and base.family else _UNKNOWN,
        }

    def plan(self, ask: Ask) -> Mapping[str, Any]:
        """The sentence below the form; `quick` leaves out what takes seconds."""
        try:
            config = self._config(ask)
        except LycoError as error:
            problem = refused(error)
            remark = {"severity": "error", "option": problem.field, "text": problem.text}
            return {"sentence": "", "parts": [], "figures": {}, "remarks": [remark]}
        base = None if ask.body.get("quick") else self._base(config.base_model)
        told = self._outlook(config, base)
        return {
            "sentence": ", ".join(told.parts),
            "parts": told.parts,
            "figures": _figures(told),
            "remarks": [asdict(one) for one in told.remarks],
        }

    def check(self, ask: Ask) -> Mapping[str, Any]:
        """Everything that blocks, and advice."""
        try:
            config = self._config(ask)
        except LycoError as error:
            return {"problems": [self._told(asdict(refused(error)))]}
        base = self._base(config.base_model)
        case = Case(config, base, self._outlook(config, base), _text(ask.body, "trigger"))
        problems = [asdict(one) for one in check_run(case)]
        refusal = self._rights.refusal(ask.is_local)
        if refusal:
            problems.insert(0, {"level": "blocks", "text": refusal, "field": "", "section": "form"})
        return {"problems": [self._told(one) for one in problems]}

    def read(self, ask: Ask) -> Mapping[str, Any]:
        """What a pasted text asks for."""

        def may_read(path: Path) -> None:
            self._rights.demand_path(path, "config_file")

        return import_text(_text(ask.body, "text"), self._data / "pasted", may_read)

    def write(self, ask: Ask) -> Mapping[str, Any]:
        """The options as text."""
        to = "toml" if ask.body.get("format") == "toml" else "command"
        return {"text": export_text(make_config(_values(ask)), to)}

    def prompts(self, ask: Ask) -> Mapping[str, Any]:
        """Sample prompts become a file; without text it is read."""
        name, path = _file_name(_text(ask.body, "name")), _text(ask.body, "path")
        if "text" in ask.body:
            return {"path": str(self._written(name, _text(ask.body, "text"))), "text": ask.body["text"]}
        found = self._rights.demand_path(path, "sample_prompts")
        if found.suffix.lower() not in _PROMPT_FILES:
            raise DataError("This is no file of prompts.", where="sample_prompts", got=found.name)
        try:
            return {"path": path, "text": found.read_text(encoding="utf-8-sig")}
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "The sample prompts cannot be read.", where="sample_prompts", got=str(error)
            ) from error

    def presets(self, ask: Ask) -> Mapping[str, Any]:
        """All presets."""
        del ask
        return {"presets": self._listed()}

    def keep(self, ask: Ask) -> Mapping[str, Any]:
        """Keeps the options as a preset of the user's."""
        kept = self._presets.keep(_text(ask.body, "title"), make_config(_values(ask)))
        return {"preset": _preset(kept), "presets": self._listed()}

    def remove(self, ask: Ask) -> Mapping[str, Any]:
        """Removes one."""
        self._presets.remove(_text(ask.body, "id"))
        return {"presets": self._listed()}

    def _listed(self) -> list[Mapping[str, Any]]:
        return [_preset(one) for one in self._presets.all()]

    def _config(self, ask: Ask) -> TrainConfig:
        config = make_config({"output": str(self._output), **_values(ask)})
        if not config.images and not config.dataset_config:
            raise ConfigError("There is no image folder.", where="images", remedy="Name one.")
        self._rights.demand_paths(config, [one.name for one in self._provider.bases()])
        return config

    def _outlook(self, config: TrainConfig, base: Base | None) -> Outlook:
        return look_ahead(config, base, self._device, self._data / PACE)

    def _base(self, name: str) -> Base | None:
        found = next((one for one in self._provider.bases() if one.name == name), None)
        if found is None and not Path(name).is_file():
            return None
        base = found or Base(name, name, None, Path(name))
        return replace(base, family=self._families.find(base))

    def _seen(self, folder: str, trigger: str) -> tuple[Seen, str]:
        """What there is in the folder, and why nothing is."""
        memory = self._provider.memory()
        total, has_8bit = (memory.total if memory else None), is_installed("bitsandbytes")
        if not folder:
            return Seen(memory=total, has_8bit=has_8bit), ""
        try:
            self._rights.demand_path(folder, "images")
            plan = plan_run(make_config({"images": folder, "repeats": 1.0}))
        except LycoError as error:
            return Seen(memory=total, has_8bit=has_8bit), one_line(error)
        captions = [one.caption for one in plan.records]
        tagged, triggered = look_at(captions, trigger)
        return Seen(len(captions), plan.samples_per_epoch, tagged, triggered, total, has_8bit), ""

    def _written(self, name: str, text: str) -> Path:
        path = self._data / "prompts" / f"{name}.txt"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())
        return path

    def _told(self, problem: dict[str, Any]) -> dict[str, Any]:
        return {**problem, "group": group_of(problem["field"])}


def form_routes(
    provider: Provider, rights: Rights, data: Path, output: Path, device: torch.device | None = None
) -> list[Route]:
    """The routes of the forms; the arguments are those of `FormRoutes`."""
    return FormRoutes(provider, rights, data, output, device).routes()


def _known(base: Base | None) -> Family:
    return base.family if base and base.family in ("sd2", "sdxl") else "sd1"


def _figures(told: Outlook) -> Mapping[str, Any]:
    data = told.data
    return {
        "images": len(data.images) if data else None,
        "epochs": data.epochs if data else None,
        "steps": data.total_steps if data else None,
        "seconds": told.seconds,
        "memory": told.memory,
        "file": told.file,
    }


def _preset(preset: Preset) -> Mapping[str, Any]:
    return {
        "id": preset.id,
        "title": preset.title,
        "group": preset.group,
        "about": preset.about,
        "own": preset.own,
        "values": plain(preset.values),
    }


def _reason(choice: Choice) -> Mapping[str, Any]:
    return {"option": choice.option, "value": choice.value, "why": choice.why}


def _values(ask: Ask) -> Mapping[str, Any]:
    values = ask.body.get("config", {})
    if not isinstance(values, dict):
        raise ConfigError("The options are no table.", where="config", got=type(values).__name__)
    return values


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise ConfigError("This is no text.", where=name, got=repr(value)[:40])
    return value


def _one_of(body: Mapping[str, Any], name: str, choices: Mapping[str, str]) -> str:
    value = _text(body, name)
    if value not in choices:
        raise ConfigError("There is no such choice.", where=name, got=value, expected=", ".join(choices))
    return value


def _file_name(text: str) -> str:
    """A name for files out of any text."""
    name = _NO_NAME.sub(" ", text).strip(" .")[:80]
    return name or "network"
