"""Notebooks that run in a kernel forked from the fork server, which has imported what they import."""

from __future__ import annotations

import subprocess
from typing import Any

import nbclient
from jupyter_client.manager import AsyncKernelManager

from tests.forked_processes import ForkedPython


class ForkedKernelManager(AsyncKernelManager):
    """Manager of a kernel whose process is forked."""

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        assert self.provisioner is not None
        process = ForkedPython(
            kernel_cmd, stdin=subprocess.DEVNULL, env=options["env"], cwd=options.get("cwd"), start_new_session=True
        )
        vars(self.provisioner).update(process=process, pid=process.pid, pgid=process.pid)
        self._reconcile_connection_info(self.provisioner.connection_info)


class ForkedNotebookClient(nbclient.NotebookClient):  # type: ignore[misc]  # it has no types here
    """Client that runs a notebook in a forked kernel."""

    def __init__(self, book: Any, **options: Any) -> None:
        super().__init__(book, kernel_name="python3", timeout=300, kernel_manager_class=ForkedKernelManager, **options)
