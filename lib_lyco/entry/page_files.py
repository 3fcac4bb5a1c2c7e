"""Our scripts, style and texts as routes, and the lines that load them; the WebUI does this by itself."""

from __future__ import annotations

import json
from pathlib import Path

from lib_lyco.errors import ConfigError
from lib_lyco.web.route import Ask, Content, Route

ROOT = Path(__file__).resolve().parent.parent.parent
_SHIM = Path(__file__).resolve().parent.parent / "ui" / "page.js"
_PREFIX = "/lyco/page"
_START = "lyco.startTraining();"
"""The frame may be there already, and nothing else change on the page."""


class PageFiles:
    """The files of the page.

    Args:
        language: Name of a file in localizations/; empty is English.

    Raises:
        ConfigError: There is no such language.
    """

    def __init__(self, language: str = "") -> None:
        self._texts = _texts(language)

    def head(self) -> str:
        """HTML that loads everything."""
        style = f'<link rel="stylesheet" href=".{_PREFIX}/style.css">'
        # one script: gradio adds those of the head when the page is there, and keeps no order
        return f'{style}\n<script src=".{_PREFIX}/scripts.js"></script>'

    def routes(self) -> list[Route]:
        """The addresses of the files."""
        return [
            Route("GET", f"{_PREFIX}/style.css", self.style),
            Route("GET", f"{_PREFIX}/scripts.js", self.scripts),
        ]

    def style(self, ask: Ask) -> Content:
        """Our style."""
        del ask
        return Content((ROOT / "style.css").read_bytes(), "text/css; charset=utf-8")

    def scripts(self, ask: Ask) -> Content:
        """Our scripts in the order in which the WebUI loads them, behind what they use of it."""
        del ask
        files = [_SHIM, *sorted((ROOT / "javascript").glob("*.js"))]
        parts = [f"// {path.name}\n{path.read_text(encoding='utf-8')}" for path in files]
        whole = [f"window.localization = {self._texts};", *parts, _START]
        return Content("\n;\n".join(whole).encode(), "text/javascript; charset=utf-8")


def _texts(language: str) -> str:
    """Translations as JSON."""
    folder = ROOT / "localizations"
    known = sorted(path.stem for path in folder.glob("*.json"))
    if not language:
        return "{}"
    if language not in known:
        raise ConfigError(
            "There is no such language.", where="--language", got=language, expected=", ".join(known)
        )
    return json.dumps(json.loads((folder / f"{language}.json").read_text(encoding="utf-8")))
