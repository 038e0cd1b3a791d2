"""`python -m hybridloop.assistant.attached …` is `hybridloop …` that SIGTERM ends once its standard input closes.

The server has the other end of that pipe, so no run outlives it, also after kill -9: the run closes its session.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_server(pipe: int) -> None:
    os.read(pipe, 1)  # the server writes nothing
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_server, args=[os.dup(0)], daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what the command starts must not read the pipe
    sys.argv[0] = "hybridloop"
    runpy.run_module("hybridloop", run_name="__main__")
