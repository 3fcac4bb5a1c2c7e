import argparse

from modules.options import OptionInfo as OptionInfo
from modules.options import Options
from modules.shared_state import State

opts: Options
state: State
cmd_opts: argparse.Namespace
"""The command line, flags of extensions included."""
