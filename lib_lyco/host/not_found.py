"""Networks that were not found, named in console and popup where the builtin's options ask for it."""

from __future__ import annotations

import sys

from lib_lyco.errors import NetworkNotFoundError, one_line
from lib_lyco.host.app import HostApp
from lib_lyco.host.applied import AppliedState

NEEDS = ()


def register(app: HostApp) -> None:
    """Follows each activation."""
    app.after_begin.append(lambda p, state: tell(app, state))


def tell(app: HostApp, state: AppliedState) -> None:
    """Says it in the console and in a popup, as the options have it."""
    for error in state.errors:
        if not isinstance(error, NetworkNotFoundError):
            continue
        if app.options.warns_console:
            sys.stderr.write(f"lyco: {one_line(error)}\n")
        if app.options.warns_popup:
            app.popup(one_line(error))
