"""Writing a small file so that a failure at any moment leaves the old one as it was."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress

from lib_lyco.errors import FileError


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file under a temporary name, then puts it in its place; where `path` is a link, in the
    place that it leads to. An old file's permissions are kept.

    Raises:
        FileError: The disk is full, the folder may not be written, or another program holds the old
            file. What was at `path` before is still there.
    """
    try:
        # links of folders lead to the same place without being followed here, at a third of the time
        target = os.path.realpath(path) if os.path.islink(path) else os.fspath(path)
        folder, name = os.path.split(target)
        temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(4)}.tmp")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                # Before the rename, or a power cut could leave the new name with no content.
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except (OSError, ValueError) as error:
        raise FileError(
            "The file could not be written",
            where=str(path),
            got=str(error),
            expected="room on the disk and the right to write there",
            remedy="Mend that and save again; the file that was there before is untouched.",
        ) from error
