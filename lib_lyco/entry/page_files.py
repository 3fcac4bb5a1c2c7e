"""Our scripts, style and texts as routes, and the lines that load them: the WebUI does this by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path

from lib_lyco.errors import ConfigError, FileError
from lib_lyco.web.route import Ask, Content, Route

ROOT = Path(__file__).resolve().parent.parent.parent
_SHIM = Path(__file__).resolve().parent.parent / "ui" / "page.js"
_PREFIX = "/lyco/page"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class PageFiles:
    """The files of the page.

    Args:
        language: Name of a file in localizations/; empty is English.

    Raises:
        ConfigError: There is no such language.
    """

    def __init__(self, language: str = "") -> None:
        scripts = [_SHIM, *sorted((ROOT / "javascript").glob("*.js"))]
        self._files: Mapping[str, Path] = {path.name: path for path in (*scripts, ROOT / "style.css")}
        self._texts = _texts(language)
        self._scripts = [path.name for path in scripts]

    def head(self) -> str:
        """HTML that loads everything, in the order in which the WebUI would."""
        address = f".{_PREFIX}"
        lines = [f'<link rel="stylesheet" href="{address}/style.css">']
        lines += [f'<script src="{address}/{name}"></script>' for name in ("texts.js", *self._scripts)]
        return "\n".join(lines)

    def routes(self) -> list[Route]:
        """The addresses of the files."""
        return [Route("GET", f"{_PREFIX}/{{name}}", self.file)]

    def file(self, ask: Ask) -> Content:
        """One file.

        Raises:
            FileError: There is none of this name.
        """
        name = ask.given["name"]
        if name == "texts.js":
            return Content(f"window.localization = {self._texts};".encode(), _TYPES[".js"])
        path = self._files.get(name)
        if path is None or not path.is_file():
            raise FileError("The page has no such file", got=escape(name)[:80])
        return Content(path.read_bytes(), _TYPES[path.suffix])


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
