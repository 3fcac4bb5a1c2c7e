"""Networks in infotexts: their hashes written, and pasted prompts made to name the files that are here.

A picture names its networks by tags, and their content by `Lora hashes: name: hash, ...`. Pictures of
others do it in their own ways, all read here: a1111-sd-webui-lycoris wrote `Lyco hashes`,
sd-webui-additional-networks no tags but fields (`AddNet Model 1: name(hash)`, `AddNet Weight A 1` for
the UNet, `AddNet Weight B 1` for the text encoders). Where a tag's name and hash are of different files
here, the hash counts: files get renamed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modules import script_callbacks, scripts
from modules.processing import StableDiffusionProcessing

from lib_lyco.catalog.entry import CatalogEntry
from lib_lyco.errors import NetworkNotFoundError, PromptError
from lib_lyco.files.hashes import short_hash
from lib_lyco.files.header import read_metadata
from lib_lyco.host.app import RUN_SIGN, HostApp
from lib_lyco.host.applied import AppliedState
from lib_lyco.host.network_hash import compute_hash
from lib_lyco.prompt.edit import Tag, map_tags

NEEDS = (
    ("modules.script_callbacks", "on_before_ui"),
    ("modules.script_callbacks", "on_infotext_pasted"),
    ("modules.scripts", "scripts_txt2img"),
    ("modules.hashes", "sha256"),
    ("modules.cache", "cache"),
)

WRITTEN = "Lora hashes"
READ = ("Lyco hashes", WRITTEN)
PROMPTS = ("Prompt", "Negative prompt", "Hires prompt", "Hires negative prompt")

_ADDNET_MODEL = re.compile(r"(.+?)(?:\(([0-9a-fA-F]+)\))?")
_FORBIDDEN = str.maketrans("", "", ":,")
"""What would end a name in the list of hashes: left out there, as the builtin does."""


def register(app: HostApp) -> None:
    """Follows each activation, and each paste after the builtin."""

    def paste(infotext: str, params: dict[str, Any]) -> None:
        del infotext
        Paste(app).bring_back(params)

    app.after_begin.append(lambda p, state: write_hashes(app, p, state))
    # while the scripts load, we are before the builtin; what is added now comes after its own
    script_callbacks.on_before_ui(lambda: script_callbacks.on_infotext_pasted(paste))


def write_hashes(app: HostApp, p: StableDiffusionProcessing, state: AppliedState) -> None:
    """Notes the hashes of what was applied; the second pass of hires fix adds to the first's.

    The list is kept on the job, where the builtin keeps its own.
    """
    if not app.options.add_hashes:
        return
    noted: dict[str, str] = getattr(p, "lora_hashes", {}) if state.hires else {}
    for request, _ in state.requested:
        found = _hash_of(app, request.name)
        if found:
            noted[request.name.translate(_FORBIDDEN)] = short_hash(found)
    if noted:
        setattr(p, "lora_hashes", noted)  # noqa: B010  the class declares no such thing
        p.extra_generation_params[WRITTEN] = ", ".join(f"{name}: {text}" for name, text in noted.items())
    elif app.options.own_lora:
        # an earlier batch, or an earlier cell of a grid, may have left its own
        p.extra_generation_params.pop(WRITTEN, None)


def _hash_of(app: HostApp, name: str) -> str | None:
    """The hash of the file that a tag's name means; None where there is none."""
    if name.startswith(RUN_SIGN):
        return None
    if name in app.stand_ins:
        return read_metadata(app.stand_ins[name]).get("sshs_model_hash")
    entry = app.catalog.entry(name)
    return entry.hash or compute_hash(entry.path)


class Paste:
    """One paste of an infotext."""

    def __init__(self, app: HostApp) -> None:
        self._catalog = app.catalog
        self._options = app.options
        self._is_fresh = False

    def bring_back(self, params: dict[str, Any]) -> None:
        """Edits the prompts among an infotext's parameters."""
        hashes = {name: text for key in READ for name, text in _read_hashes(params.get(key))}
        for key in PROMPTS:
            if hashes and isinstance(params.get(key), str):
                params[key] = map_tags(params[key], lambda tag: self._local(tag, hashes))
        self._add_fields(params)

    def _local(self, tag: Tag, hashes: Mapping[str, str]) -> Tag:
        """The tag with the name that its content has here."""
        text = hashes.get(tag.name.strip().translate(_FORBIDDEN))
        entry = self._by_hash(text) if text else None
        if entry is None or self._means(tag.name, entry):
            return tag
        return self._named(tag, entry)

    def _named(self, tag: Tag, entry: CatalogEntry) -> Tag:
        name = self._catalog.short_name(entry)
        if self._options.prefers_alias and self._means(entry.alias, entry):
            name = entry.alias
        try:
            return tag.with_name(name)
        except PromptError:
            # a file's name may have what a tag may not
            return tag.with_name(short_hash(entry.hash)) if entry.hash else tag

    def _by_hash(self, text: str) -> CatalogEntry | None:
        found = self._catalog.find_hash(text)
        if found is None and not self._is_fresh:
            self._is_fresh = True
            self._catalog.refresh()
            found = self._catalog.find_hash(text)
        return found

    def _means(self, name: str, entry: CatalogEntry) -> bool:
        try:
            return self._catalog.find(name) == entry.path
        except NetworkNotFoundError:
            return False

    def _add_fields(self, params: dict[str, Any]) -> None:
        """Turns additional-networks' fields into tags, unless that extension is there to take them."""
        if any(field[1] == "AddNet Module 1" for field in scripts.scripts_txt2img.infotext_fields):
            return
        fields = list(_addnet_fields(params))
        if not fields:
            return
        # the builtin, if it is there, has turned them into tags already, without the text encoders' part
        theirs = "\n" + "".join(field.builtin_tag for field in fields)
        prompt = str(params.get("Prompt", "")).removesuffix(theirs)
        ours = "".join(str(self._field_tag(field)) for field in fields)
        params["Prompt"] = f"{prompt}\n{ours}" if prompt else ours

    def _field_tag(self, field: _AddNetField) -> Tag:
        strengths = (field.unet,) if field.te == field.unet else (field.te, field.unet)
        tag = Tag("lora", field.name.translate(_FORBIDDEN), strengths)
        entry = self._by_hash(field.digits) if field.digits else None
        return tag if entry is None or self._means(field.name, entry) else self._named(tag, entry)


@dataclass(frozen=True)
class _AddNetField:
    """One network of additional-networks."""

    name: str
    digits: str
    """Of its hash; empty for none."""
    unet: str
    te: str
    builtin_tag: str
    """What the builtin makes of it."""


def _read_hashes(text: object) -> Iterator[tuple[str, str]]:
    """Name and hash of each network in a list of hashes."""
    for part in str(text or "").split(","):
        name, colon, found = part.rpartition(":")
        if colon:
            yield name.strip(), found.strip()


def _addnet_fields(params: Mapping[str, Any]) -> Iterator[_AddNetField]:
    for key in params:
        number = key.removeprefix("AddNet Model ")
        match = _ADDNET_MODEL.fullmatch(str(params[key]))
        if number == key or match is None or params.get(f"AddNet Module {number}") != "LoRA":
            continue
        both = str(params.get(f"AddNet Weight {number}", "1.0"))
        unet = str(params.get(f"AddNet Weight A {number}", both))
        te = str(params.get(f"AddNet Weight B {number}", unet))
        theirs = f"<lora:{match[1]}:{params.get(f'AddNet Weight A {number}', '1.0')}>"
        yield _AddNetField(match[1].strip(), match[2] or "", _number(unet), _number(te), theirs)


def _number(text: str) -> str:
    """The text of a strength, or 1 where it is none."""
    try:
        return text if math.isfinite(float(text)) else "1"
    except ValueError:
        return "1"
