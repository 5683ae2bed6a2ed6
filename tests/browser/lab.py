"""A JupyterLab server with a configuration of its own, and one notebook page in it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import nbformat

START_SECONDS = 90
ACTION_MILLISECONDS = 60_000

# A first start would otherwise ask about news and about the kernel, and wait for an answer.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": True},
}
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}

# The status bar says "idle" before there is a kernel, and run-all would then do nothing.
KERNEL_IS_THERE = """async () => {
    const { context, sessionContext } = window.jupyterapp.shell.currentWidget;
    await context.ready;
    await sessionContext.ready;
    while (!sessionContext.session?.kernel) await new Promise(done => setTimeout(done, 100));
    await sessionContext.session.kernel.info;
    return true;
}"""
# The server remembers the theme, so each page sets its own.
USE_THEME = """async (theme) => {
    const current = () => document.body.dataset.jpThemeName;
    if (current() !== theme)
        await window.jupyterapp.commands.execute('apputils:change-theme', { theme });
    while (current() !== theme) await new Promise(done => setTimeout(done, 100));
    return true;
}"""
RUN = "(which) => window.jupyterapp.commands.execute(`notebook:run-all-${which}`)"
GO_TO_CELL = "(cell) => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell; }"


class LabServer:
    """A server that is up inside the ``with`` block.

    Attributes:
        address: where it listens, without a path.
        token: what a page needs to be let in.
        notebooks: the folder that it serves.
    """

    def __init__(self, root: Path, project: Path) -> None:
        self.root = root
        self.notebooks = root / "notebooks"
        self.notebooks.mkdir()
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        settings = root / "config" / "labconfig" / "default_setting_overrides.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
        own = {variable: str(root / folder) for variable, folder in FOLDERS.items()}
        path = os.pathsep.join(filter(None, (str(project), os.environ.get("PYTHONPATH"))))
        self.environment = os.environ | own | {"PYTHONPATH": path}

    def __enter__(self) -> Self:
        self._log = (self.root / "lab.log").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0"),
                f"--IdentityProvider.token={self.token}",
                f"--ServerApp.root_dir={self.notebooks}",
                "--LabApp.expose_app_in_browser=True",  # the page gets window.jupyterapp
            ],
            env=self.environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_until_up()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def end_kernels(self) -> None:
        """Closing a page leaves its kernel running, with all that it holds."""
        for kernel in json.loads(self._ask("kernels")):
            self._ask(f"kernels/{kernel['id']}", "DELETE", timeout_seconds=30)

    def _ask(self, path: str, method: str = "GET", timeout_seconds: float = 2) -> bytes:
        request = urllib.request.Request(
            f"{self.address}/api/{path}",
            headers={"Authorization": f"token {self.token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
            return answer.read()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ask("status")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self.root / "lab.log").read_text(encoding="utf-8")
                    raise RuntimeError(f"JupyterLab did not come up:\n{log[-4000:]}") from None
                time.sleep(0.25)

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class OpenPage:
    """One notebook in the browser.

    Attributes:
        page: playwright's page.
        name: of the notebook, without its ending.
        errors: exceptions that nobody caught in the page.
        elsewhere: addresses outside the server that the page asked for.
    """

    def __init__(self, page: Any, lab: LabServer, name: str) -> None:
        self.page, self.lab, self.name = page, lab, name
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(ACTION_MILLISECONDS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda websocket: self._note(websocket.url))

    def _note(self, address: str) -> None:
        own = (self.lab.address, self.lab.address.replace("http", "ws", 1), "data:", "blob:")
        if not address.startswith(own):
            self.elsewhere.append(address)

    def run(self, cells: Sequence[str], theme: str) -> None:
        """Opens a notebook of these cells and runs them all; a cell that fails is an error."""
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        self.run_notebook(notebook, theme)

    def run_notebook(self, notebook: Any, theme: str, *, until: int | None = None) -> None:
        """Opens a notebook and runs its cells; one that fails is an error.

        Args:
            notebook: as nbformat has it.
            theme: of JupyterLab.
            until: position of the first cell that is left for ``run_rest``.
        """
        nbformat.write(notebook, self.lab.notebooks / f"{self.name}.ipynb")
        workspace = secrets.token_hex(4)  # a used one would open its old tabs
        self.page.goto(
            f"{self.lab.address}/lab/workspaces/{workspace}/tree/{self.name}.ipynb"
            f"?token={self.lab.token}&reset"
        )
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        assert self.page.evaluate(KERNEL_IS_THERE)
        assert self.page.evaluate(USE_THEME, theme)
        if until is None:
            self._run("cells")
        else:
            self.page.evaluate(GO_TO_CELL, until)
            self._run("above")

    def run_rest(self) -> None:
        """Runs the cells that were left."""
        self._run("below")

    def _run(self, which: str) -> None:
        ran = self.page.evaluate(RUN, which)
        assert ran is True, self.page.locator(".jp-OutputArea-output").all_inner_texts()

    def assert_clean(self) -> None:
        """No error in the page, and nothing was asked for outside the server."""
        assert self.errors == []
        assert self.elsewhere == []
