"""The WebUI runs this at every start and at every Reload UI."""

from lib_lyco.entry.webui import register

register()
