"""A disk that is full for a while: a file system of its own, in memory, where the user may mount one."""

import contextlib
import os
import subprocess
from pathlib import Path

HOW = "disk full is left out: only root may mount a file system; under `unshare -rm` everybody is"
SIZE = 64 * 2**20  # bytes


class Disk:
    """A file system of `SIZE` at `path`; a context manager that takes it away again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @classmethod
    def mounted(cls, path: Path) -> "Disk | None":
        """One that is mounted at `path`; None where that is not allowed."""
        path.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "chaos", str(path)]
        with contextlib.suppress(OSError):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return cls(path)
        return None

    @classmethod
    def is_possible(cls, path: Path) -> bool:
        """Whether this user may mount one."""
        disk = cls.mounted(path)
        if disk is not None:
            disk.unmount()
        path.rmdir()
        return disk is not None

    def fill(self, room: int) -> None:
        """Leave `room` bytes."""
        with self._ballast.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(2**16))
            os.truncate(file.fileno(), max(0, file.tell() - room))

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away, and what is on it."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)
