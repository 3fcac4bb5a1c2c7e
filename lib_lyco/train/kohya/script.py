"""Scripts that start a training: out of a batch file, a shell script or a pasted line comes its command.

Nothing is run. Variables are followed, conditions on them decided, jumps made; of everything else
(`cd`, `call venv`, `pause`, `echo`) only the words are read, in search of the trainer's file name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath

from lib_lyco.errors import ConfigError
from lib_lyco.train.kohya.batch import run_batch

_TRAINERS = ("train_network.py", "sdxl_train_network.py")
OURS = "lyco train"
_BATCH = re.compile(
    r"\^[ \t]*\r?$|%\w+%|^\s*(@|rem\b|::|setlocal\b|set\s+\"?\w+=|call\s+:|goto\s)", re.M | re.I
)
_POWERSHELL = re.compile(r"`[ \t]*\r?$|^\s*\$\w+\s*=|^\s*\$env:", re.M)
_WINDOWS_PATH = re.compile(r"(?<![\w/])[A-Za-z]:\\|\\\\\w|[\w.)]\\[\w.]")
_WRITTEN_FOR = {".bat": True, ".cmd": True, ".sh": False}
"""Whether a file of this extension is a batch file."""
_SHELL_LINE = re.compile(r"\\[ \t]*\r?$", re.M)


@dataclass(frozen=True)
class Command:
    """One call of a trainer."""

    trainer: str
    """`train_network.py` or `sdxl_train_network.py`, or `OURS`."""
    arguments: tuple[str, ...]
    """What follows it."""
    launch: tuple[str, ...]
    """What stands before it: `accelerate launch` and its flags."""


def read_command(text: str, where: str = "", suffix: str = "") -> Command:
    """The training command of a script, or of a line on its own.

    Args:
        text: A .bat or .cmd, a .sh, a .ps1, a command line, or flags alone.
        where: The file, for errors.
        suffix: Its extension; without a known one, what the text looks like decides.

    Raises:
        ConfigError: There is no training in it, there are several, or something in it cannot be followed.
    """
    commands = _trainings(_commands(text, where, suffix))
    if not commands:
        raise ConfigError(
            "The script starts no training that is known.",
            where=where,
            expected="a call of " + " or ".join(_TRAINERS),
            remedy="Paste the line that starts with accelerate or python, with all lines it goes on in.",
        )
    if len(commands) > 1 and len(set(commands)) > 1:
        raise ConfigError(
            "The script starts more than one training.",
            where=where,
            got=f"{len(commands)} calls",
            expected="one",
            remedy="Keep the one that is wanted.",
        )
    return commands[0]


def _commands(text: str, where: str, suffix: str) -> Sequence[Sequence[str]]:
    text = text.strip().strip("`").lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")
    if suffix == ".ps1" or (suffix not in _WRITTEN_FOR and _POWERSHELL.search(text)):
        return _powershell(text)
    if _WRITTEN_FOR.get(suffix, _looks_like_batch(text)):
        return run_batch(text, where)
    return _shell(text, where)


def _looks_like_batch(text: str) -> bool:
    if text.startswith("#!"):
        return False
    return bool(_BATCH.search(text) or (_WINDOWS_PATH.search(text) and not _SHELL_LINE.search(text)))


def _trainings(commands: Sequence[Sequence[str]]) -> list[Command]:
    """Every call of a trainer; a line of flags alone goes on with the one before, as pasted pages do."""
    found: list[Command] = []
    for words in commands:
        if found and words and words[0].startswith("--"):
            found[-1] = replace(found[-1], arguments=(*found[-1].arguments, *words))
        elif command := _training(words):
            found.append(command)
    return found


def _training(words: Sequence[str]) -> Command | None:
    words = list(words)
    for place, word in enumerate(words):
        name = PureWindowsPath(word).name  # takes both kinds of slashes
        if name in _TRAINERS:
            return Command(name, tuple(words[place + 1 :]), tuple(words[:place]))
        if PureWindowsPath(word).stem in ("lyco", "lib_lyco") and words[place + 1 : place + 2] == ["train"]:
            return Command(OURS, tuple(words[place + 2 :]), tuple(words[:place]))
    if words and words[0].startswith("--"):
        return Command(_TRAINERS[0], tuple(words), ())
    return None


def _shell(text: str, where: str) -> list[list[str]]:
    """POSIX: `NAME=value`, `export`, `$NAME`, `${NAME}`, comments, lines that go on after a backslash."""
    values: dict[str, str] = {}
    commands: list[list[str]] = []
    for line in re.sub(r"\\[ \t]*\r?\n", " ", text).splitlines():
        line = re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: values.get(found[1] or found[2], ""), line)
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise ConfigError(
                "A line of the script cannot be read.", where=where, got=f"{error}: {line[:80]}"
            ) from error
        while words and words[0] in ("export", "set", "sudo", "env"):
            words = words[1:]
        while words and (found := re.fullmatch(r"(\w+)=(.*)", words[0], re.S)):
            values[found[1]] = found[2]
            words = words[1:]
        commands.append(words)
    return commands


def _powershell(text: str) -> list[list[str]]:
    """`$name = "value"`, lines that go on after a backtick; backslashes are only backslashes."""
    values: dict[str, str] = {}
    commands: list[list[str]] = []
    for line in re.sub(r"`[ \t]*\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        assigned = re.fullmatch(r"\$(?:env:)?(\w+)\s*=\s*(.*)", line)
        pattern = r"\$(?:env:)?(\w+)|\$\{(\w+)\}"
        line = re.sub(
            pattern,
            lambda found: values.get((found[1] or found[2]).lower(), ""),
            assigned[2] if assigned else line,
        )
        words = re.findall(r'(?:"[^"]*"|\'[^\']*\'|[^\s"\'])+', line)
        bare = [word.replace('"', "").replace("'", "") for word in words]
        if assigned:
            values[assigned[1].lower()] = " ".join(bare)
        else:
            commands.append([word for word in bare if word != "&"])
    return commands
