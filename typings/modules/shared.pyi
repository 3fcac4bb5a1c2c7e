import argparse
from typing import Any

from modules.options import OptionInfo as OptionInfo
from modules.options import Options
from modules.shared_state import State

opts: Options
state: State
parallel_processing_allowed: bool
"""Whether previews may be decoded beside sampling."""
loaded_hypernetworks: list[Any]
"""What the present job's hypernetwork tags have loaded."""
cmd_opts: argparse.Namespace
"""The command line, flags of extensions included."""
