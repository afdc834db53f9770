"""Start a program that does not outlive whoever started it; run as a script, never imported.

``python tether.py PARENT PROGRAM ARGUMENT…`` becomes PROGRAM. On Linux the kernel is told first
to end it when the thread that started it ends, ``kill -9`` included; the request survives
``exec``. Elsewhere the program is merely started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was told
        sys.exit(1)


def main(parent: str, *command: str) -> None:
    """Become ``command``, tied to the process ``parent``."""
    if sys.platform == "linux":
        _die_with(int(parent))
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
