"""The WebUI's way in: called by scripts/lyco.py whenever the WebUI loads its scripts."""

from __future__ import annotations

from lib_lyco.catalog.index import Index
from lib_lyco.host.app import HostApp
from lib_lyco.host.folders import index_path, network_folders
from lib_lyco.host.network_hash import KnownHashes
from lib_lyco.host.options import Options, declare
from lib_lyco.host.probe import Feature, start_features
from lib_lyco.host.startup import follow_host
from lib_lyco.ui.editor import EditorFields
from lib_lyco.ui.popup import warn
from lib_lyco.ui.settings import COMPONENTS
from lib_lyco.ui.training import training_page

FEATURES = (
    Feature("applying networks", "lib_lyco.host.activation"),
    Feature("keeping encoded text up to date", "lib_lyco.host.conds"),
    Feature("embeddings that come with a network", "lib_lyco.host.embeddings"),
    Feature("networks added to every prompt", "lib_lyco.host.quicksettings"),
    Feature("networks in infotexts", "lib_lyco.host.infotext"),
    Feature("warnings of networks not found", "lib_lyco.host.not_found"),
    Feature("the API", "lib_lyco.host.api"),
    Feature("the page of cards", "lib_lyco.host.cards"),
    Feature("filling the page of cards", "lib_lyco.host.card_api"),
    Feature("axes for the X/Y/Z plot", "lib_lyco.host.xyz"),
    Feature("training", "lib_lyco.host.training"),
)
"""In this order; whatever acts on a tag comes first."""


def register() -> None:
    """Starts everything that this WebUI can carry, and says what it cannot."""
    catalog = Index(index_path(), network_folders(), KnownHashes().of)
    undeclare = declare(COMPONENTS, catalog)
    app = HostApp(Options(), catalog, warn, EditorFields, training_page)
    app.at_unload(catalog.close)
    app.at_unload(undeclare)
    follow_host(app, start_features(FEATURES, app))
