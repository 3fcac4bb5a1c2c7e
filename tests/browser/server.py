"""A tiny server: a page of the WebUI's structure, our scripts and style, and the made-up API."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.browser.fake_api import FakeApi
from tests.browser.made_up import picture

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8"}


@contextmanager
def serve(api: FakeApi) -> Generator[str]:
    """The page's address, as long as it is served."""

    class Handler(_Handler):
        fake = api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page() -> str:
    """The frames as our server sends them, and our scripts in the order in which the WebUI loads them."""
    frame = (HERE / "samples" / "pane.html").read_text(encoding="utf-8")
    scripts = "".join(
        f'<script src="file/javascript/{path.name}"></script>\n'
        for path in sorted((ROOT / "javascript").glob("*.js"))
    )
    text = (HERE / "page.html").read_text(encoding="utf-8")
    for tab in ("txt2img", "img2img"):
        text = text.replace(f"<!-- {tab} pane -->", frame.replace("txt2img", tab))
    return text.replace("<!-- scripts -->", scripts)


class _Handler(BaseHTTPRequestHandler):
    fake: FakeApi

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))
        if path == "/":
            self._send(200, page().encode(), _TYPES[".html"])
        elif path.startswith("/lyco/"):
            self._send_json(*self.fake.answer("GET", path.removeprefix("/lyco/"), query, {}))
        elif path.startswith("/file/"):
            file = ROOT / path.removeprefix("/file/")
            self._send(200, file.read_bytes(), _TYPES[file.suffix])
        elif path.startswith("/picture/"):
            self._send(200, picture(path), "image/png")
        elif path == "/sd_extra_networks/get-single-card":
            place = escape(f"/made-up/{query['name']}.safetensors")
            self._send_json(200, {"html": f'<div><b data-clipboard-text="{place}"></b></div>'})
        else:
            self._send(404, b"", "text/plain")

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send_json(*self.fake.answer("POST", self.path.removeprefix("/lyco/"), {}, body))

    def _send_json(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
