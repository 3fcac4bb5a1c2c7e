"""`lyco ui`: the training tab in a browser, without a WebUI."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

from lib_lyco.entry.device import add_device_flag, pick_device
from lib_lyco.entry.own_provider import OwnProvider
from lib_lyco.entry.page_files import PageFiles
from lib_lyco.entry.terminal import say
from lib_lyco.errors import ConfigError, MissingPackageError
from lib_lyco.studio.rights import Rights
from lib_lyco.studio.training_tab import TrainingTab
from lib_lyco.web.server import add_routes


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds where the page is, where data lies, and who may come."""
    parser.add_argument("--port", type=int, default=7861, help="port of the page (default: 7861)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0: every machine")
    parser.add_argument(
        "--folder", type=Path, default=Path("lyco-data"), help="runs and networks (default: lyco-data)"
    )
    parser.add_argument("--base", type=Path, help="checkpoint of the base model; default: the embedded one")
    parser.add_argument("--language", default="", help="of the page, like ja_JP; default: English")
    parser.add_argument(
        "--gradio-auth", default="", metavar="NAME:PASSWORD,...", help="who may log in; default: no login"
    )
    parser.add_argument(
        "--lyco-train-dir",
        type=Path,
        action="append",
        default=[],
        help="a further folder that may be used when other machines reach the page; may be repeated",
    )
    add_device_flag(parser)


def run(arguments: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C; a run in progress is saved then, and goes on another day.

    Raises:
        MissingPackageError: gradio is not installed.
        ConfigError: An argument cannot work.
    """
    with served(arguments) as address:
        say(f"The training tab is at {address}  (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        say("Ending; a run in progress is saved.")


@contextmanager
def served(arguments: argparse.Namespace) -> Generator[str]:
    """Within it the page is served; the page's address."""
    try:
        from lib_lyco.ui.page import Address, Page
        from lib_lyco.ui.training import training_tab
    except ImportError as error:
        raise MissingPackageError(
            "The page needs gradio.", got=str(error), remedy='pip install "lyco[ui]"'
        ) from error
    login = _logins(arguments.gradio_auth)
    folder: Path = arguments.folder.expanduser().resolve()
    files = PageFiles(arguments.language)
    roots = None if _is_loopback(arguments.host) else (folder, *arguments.lyco_train_dir)
    tab = TrainingTab(
        data=folder,
        networks=folder / "models" / "Lora",
        provider=OwnProvider(arguments.base, pick_device(arguments.device)),
        rights=Rights(roots, bool(login)),
    )
    page = Page("lyco", {"Train": training_tab}, files.head())
    try:
        server = page.serve(Address(arguments.host, arguments.port, login))
        tab.start()
        add_routes(server, [*files.routes(), *tab.routes()])
        host = "127.0.0.1" if arguments.host in ("0.0.0.0", "::") else arguments.host
        yield f"http://{host}:{arguments.port}/"
    finally:
        page.close()
        tab.close()


def _logins(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for one in text.split(",") if text else ():
        name, colon, password = one.strip().partition(":")
        if not (name and colon and password):
            raise ConfigError(
                "The login cannot be read.", where="--gradio-auth", expected="NAME:PASSWORD,NAME:PASSWORD"
            )
        found.append((name, password))
    return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
