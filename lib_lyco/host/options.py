"""The options: put on the host's settings page, and read from there, typed, as they are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from modules import shared
from modules.options import OptionInfo

from lib_lyco.apply.wanted import Mode
from lib_lyco.catalog.catalog import Catalog
from lib_lyco.host.option_table import CATEGORY, OURS, SECTION, SHARED, Option
from lib_lyco.naming.layer import Family

_MB = 1 << 20
_DEFAULTS = {option.key: option.default for option in (*OURS, *SHARED)}


def declare(components: Mapping[str, Callable[..., Any]], catalog: Catalog) -> Callable[[], None]:
    """Puts the options on the settings page; to be called while the scripts load.

    That early they are there in the page, for the API, and after Reload UI. What the builtin Lora
    extension has declared itself is left to it.

    Args:
        components: Kind of option -> what makes its component.
        catalog: Of the networks to choose from.

    Returns:
        What takes them from the page; their values stay saved.
    """
    # at the first start we come before the builtin, which then puts its own in the place of ours
    labels = shared.opts.data_labels
    infos = {
        option.key: _info(option, components[option.kind], catalog)
        for option in (*OURS, *SHARED)
        if option in OURS or option.key not in labels
    }
    for key, info in infos.items():
        shared.opts.add_option(key, info)
        # of another type in the settings' file, it would make the host refuse to show or save any option
        shared.opts.data[key] = _value(key)

    def undo() -> None:
        # the host makes another table of them when it sorts its pages
        for key, info in infos.items():
            if shared.opts.data_labels.get(key) is info:
                del shared.opts.data_labels[key]

    return undo


def _info(option: Option, component: Callable[..., Any], catalog: Catalog) -> OptionInfo:
    arguments: Any = {"choices": list(option.choices)} if option.choices else dict(option.bounds)
    refresh = None
    if option.kind in ("network", "networks"):
        first = [option.default] if option.kind == "network" else []
        # asked by the host whenever a page is loaded
        arguments = lambda: {"choices": [*first, *network_names(catalog)]}  # noqa: E731
        refresh = catalog.refresh
    info = OptionInfo(option.default, option.label, component, arguments, section=SECTION, refresh=refresh)
    # attributes, since older hosts have no such arguments
    info.category_id = CATEGORY
    info.restrict_api = not option.by_api
    # the page takes it for HTML, in which <lyco:> would be an element
    return info.info(escape(option.help, quote=False)) if option.help else info


def network_names(catalog: Catalog) -> list[str]:
    """What a tag may call each network: its file's name, or its path where that is not enough."""
    return sorted((catalog.short_name(entry) for entry in catalog.list()), key=str.casefold)


class Options:
    """The options as they are now. A value of a wrong type in the settings' file counts as the default."""

    @property
    def own_lora(self) -> bool:
        """Whether `<lora:>` is ours; `<lyco:>` always is."""
        return bool(_value("lyco_own_lora"))

    @property
    def networks(self) -> list[str]:
        """Networks added to every prompt."""
        return [str(name) for name in _value("lyco_networks")]

    @property
    def sd_lora(self) -> str | None:
        """The builtin's one network added to every prompt, if any."""
        name = _value("sd_lora")
        return name if name not in ("", "None") else None

    @property
    def default_strength(self) -> float:
        """Of a network that is added to a prompt: the host's own option."""
        value = getattr(shared.opts, "extra_networks_default_multiplier", 1.0)
        return float(value) if isinstance(value, (int, float)) else 1.0

    @property
    def mode(self) -> Mode:
        """Merge or bypass; the builtin's `lora_functional` means bypass."""
        return "bypass" if _value("lora_functional") or _value("lyco_mode") == "bypass" else "merge"

    @property
    def memory_bytes(self) -> int:
        """Budget for merged weights that are not in use."""
        return max(int(_value("lyco_memory_mb")), 0) * _MB

    @property
    def cache_bytes(self) -> int:
        """Budget for network files kept in memory."""
        return max(int(_value("lyco_cache_mb")), 0) * _MB

    @property
    def report(self) -> str:
        """What goes into a picture's comment: `problems`, `always` or `never`."""
        return str(_value("lyco_report"))

    @property
    def block_presets(self) -> str:
        """The user's file of block presets; empty for none."""
        return str(_value("lyco_block_presets"))

    @property
    def add_hashes(self) -> bool:
        """Whether the infotext names the hashes of networks."""
        return bool(_value("lora_add_hashes_to_infotext"))

    @property
    def bundled_ti_to_infotext(self) -> bool:
        """Whether an embedding that comes with a network names it among the TI hashes."""
        return bool(_value("lora_bundled_ti_to_infotext"))

    @property
    def prefers_alias(self) -> bool:
        """Whether a pasted prompt gets a network's alias rather than its file's name."""
        return _value("lora_preferred_name") != "Filename"

    @property
    def inserts_alias(self) -> bool:
        """Whether a card's tag says the network's alias rather than its file's name."""
        return _value("lyco_card_name") == "alias"

    @property
    def card_words(self) -> str:
        """What a card's tag brings along: `activation text`, `trigger words` or `nothing`."""
        return str(_value("lyco_card_words"))

    @property
    def shows_all(self) -> bool:
        """Whether cards of other base models are shown unless somebody hides them."""
        return bool(_value("lora_show_all"))

    def hides_unknown(self, family: Family | None) -> bool:
        """Whether cards for nobody knows which base model are hidden while one of this family is in use."""
        versions: object = getattr(shared.opts, "lora_hide_unknown_for_versions", ())
        return family is not None and isinstance(versions, list) and family.upper() in versions

    @property
    def warns_console(self) -> bool:
        """Whether a network that is not found is named in the console."""
        return bool(_value("lora_not_found_warning_console"))

    @property
    def warns_popup(self) -> bool:
        """Whether a network that is not found is named in a popup."""
        return bool(_value("lora_not_found_gradio_warning"))


def _value(key: str) -> Any:
    """The option's value, or its default where it is missing or of another type."""
    default = _DEFAULTS[key]
    value = getattr(shared.opts, key, default)
    kinds = (int, float) if type(default) is int else (type(default),)
    return value if type(value) in kinds else default
