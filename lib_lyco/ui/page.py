"""A page with tabs of ours and nothing else, served by gradio: what `lyco ui` opens."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr


@dataclass(frozen=True)
class Address:
    """Where a page is served, and to whom."""

    host: str
    port: int
    login: Sequence[tuple[str, str]] = ()
    """Names and passwords; empty asks for none."""


class Page:
    """A page that is served.

    Args:
        title: Of the browser's tab.
        tabs: What each tab is called, and what adds its content to the blocks being built.
        head: HTML for the page's head: our scripts and styles.
    """

    def __init__(self, title: str, tabs: Mapping[str, Callable[[], None]], head: str) -> None:
        # before its version 6 gradio takes the head here
        blocks: Any = gr.Blocks
        given = {"head": head, "analytics_enabled": False, "title": title}
        self._head = head
        self._blocks: Any = blocks(**_taken(blocks.__init__, given))
        with self._blocks, gr.Tabs():
            for name, build in tabs.items():
                with gr.Tab(name):
                    build()

    def serve(self, address: Address) -> Any:
        """Serves it in a thread; returns the server, for further routes.

        Raises:
            OSError: The port is taken.
        """
        given = {
            "head": self._head,
            "server_name": address.host,
            "server_port": address.port,
            "auth": list(address.login) or None,
            "prevent_thread_lock": True,
            "quiet": True,
            "show_api": False,
            "ssr_mode": False,
        }
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        return self._blocks.launch(**_taken(self._blocks.launch, given))[0]

    def close(self) -> None:
        """Ends serving."""
        self._blocks.close(verbose=False)


def _taken(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that this version of gradio takes."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in given.items() if name in known}
