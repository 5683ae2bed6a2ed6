"""What ARCHITECTURE.md says about imports, private torch names, its own paths, and notebooks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("explorer", "widgets", "sample_models")
OURS = (*PACKAGES, "tests", "notebooks")

MAY_IMPORT = {
    "explorer": ("explorer",),
    "widgets": ("explorer", "widgets"),
    "sample_models": ("explorer", "sample_models"),
}
SAMPLE_MODELS_MAY_USE = {  # modules of explorer, for names that its __init__ does not hand out
    "config",
    "custom_ops",
    "decorators",
    "intermediate_tensors",
    "target",
}
NOTEBOOK_LIBRARIES = ("IPython", "ipywidgets", "anywidget", "jupyterlab")
PRIVATE_TORCH_FOLDER = PurePosixPath("explorer/torch_private")
STORE_FOLDER = PurePosixPath("explorer/store")

Name = tuple[int, str]  # line, dotted name


def source_files() -> list[str]:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def imported_names(tree: ast.AST, file: PurePosixPath) -> Iterator[tuple[int, str, str]]:
    """(line, dotted name, the name it is bound to) of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                yield node.lineno, alias.name, bound
        elif isinstance(node, ast.ImportFrom):
            package = file.parent.parts[: len(file.parent.parts) - node.level + 1]
            parts = [*(package if node.level else ()), *([node.module] if node.module else ())]
            for alias in node.names:
                yield node.lineno, ".".join([*parts, alias.name]), alias.asname or alias.name


def used_names(tree: ast.AST, file: PurePosixPath) -> list[Name]:
    """Dotted names that are imported, read as attributes of an import, or looked up by a string."""
    names = []
    meaning = {}
    for line, name, bound in imported_names(tree, file):
        names.append((line, name))
        first = name.partition(".")[0]
        meaning[bound] = first if bound == first else name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.append((node.lineno, dotted(node, meaning)))
        elif isinstance(node, ast.Call):
            names.append((node.lineno, looked_up(node, meaning)))
    return [(line, name) for line, name in names if name]


def dotted(node: ast.expr, meaning: dict[str, str]) -> str:
    """``torch.fx.Graph`` for an attribute chain that starts at an imported name, else empty."""
    if isinstance(node, ast.Name):
        return meaning.get(node.id, "")
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value, meaning)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def looked_up(call: ast.Call, meaning: dict[str, str]) -> str:
    """What ``import_module("a.b")`` or ``getattr(a, "b")`` reaches, else empty."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    function = call.func.id if isinstance(call.func, ast.Name) else function
    texts = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    if not texts or not isinstance(texts[0], str):
        return ""
    if function in ("import_module", "__import__"):
        return texts[0]
    owner = dotted(call.args[0], meaning)
    return f"{owner}.{texts[0]}" if function in ("getattr", "attrgetter") and owner else ""


def is_private_torch(name: str) -> bool:
    """Whether a dotted name goes through a part of torch that starts with an underscore."""
    first, *rest = name.split(".")
    if first != "torch" or rest[:1] == ["ops"]:  # torch.ops.aten._softmax is an op, not a module
        return False
    if rest == ["_check"]:  # torch documents it, and models are told to call it
        return False
    return any(part.startswith("_") and not part.startswith("__") for part in rest)


def violations(file: PurePosixPath, source: str) -> list[str]:
    """What in one file breaks the rules, a sentence each."""
    tree = ast.parse(source)
    package = file.parts[0]
    names = used_names(tree, file)
    found = [
        f"line {line}: {package} may not use {name}"
        for line, name in names
        if name.partition(".")[0] in OURS and name.partition(".")[0] not in MAY_IMPORT[package]
    ]
    if package == "explorer":
        found += _uses(names, NOTEBOOK_LIBRARIES, "explorer does without a notebook")
    if file.is_relative_to(STORE_FOLDER):
        found += _uses(names, ("torch",), "explorer/store starts without torch")
    if package == "widgets":
        found += _uses(names, ("torch",), "widgets shows what explorer computed, it calls no torch")
    if package == "sample_models":
        found += _reaches_into_explorer(names)
    if not file.is_relative_to(PRIVATE_TORCH_FOLDER):
        found += [
            f"line {line}: {name} is private to torch and belongs to {PRIVATE_TORCH_FOLDER}"
            for line, name in names
            if is_private_torch(name)
        ]
    found += [
        f"line {node.lineno}: no global statement; pass the value or return it"
        for node in ast.walk(tree)
        if isinstance(node, ast.Global)
    ]
    return found


def _uses(names: list[Name], libraries: tuple[str, ...], why: str) -> list[str]:
    return [
        f"line {line}: {name}: {why}" for line, name in names if name.partition(".")[0] in libraries
    ]


def _reaches_into_explorer(names: list[Name]) -> list[str]:
    modules = {path.stem for path in (ROOT / "explorer").iterdir()} - SAMPLE_MODELS_MAY_USE
    return [
        f"line {line}: sample_models takes the public names of explorer, not {name}"
        for line, name in names
        if name.startswith("explorer.") and name.split(".")[1] in modules
    ]


@pytest.mark.parametrize("file", source_files())
def test_source_keeps_the_rules(file: str) -> None:
    assert violations(PurePosixPath(file), (ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("explorer/stages/split.py", "import widgets", "explorer may not use widgets"),
        ("explorer/cli.py", "from sample_models import toy_llama", "may not use sample_models"),
        ("explorer/cli.py", "from ..widgets import show", "may not use widgets"),
        ("explorer/cli.py", "def f():\n    from widgets.panel import show", "line 2"),
        ("explorer/cli.py", "import importlib\nimportlib.import_module('widgets')", "line 2"),
        ("explorer/report/html.py", "from IPython.display import HTML", "without a notebook"),
        ("explorer/report/html.py", "import ipywidgets as w", "without a notebook"),
        ("widgets/panel.py", "from sample_models import toy_llama", "may not use sample_models"),
        ("sample_models/moe.py", "import widgets", "may not use widgets"),
        ("sample_models/moe.py", "from explorer.artifacts import Piece", "explorer.artifacts"),
        ("sample_models/moe.py", "from explorer import artifacts", "explorer.artifacts"),
        ("sample_models/moe.py", "import explorer\nexplorer.artifacts.Piece", "explorer.artifacts"),
        ("explorer/session.py", "import torch._dynamo", "private to torch"),
        ("explorer/session.py", "import torch._dynamo as dynamo", "private to torch"),
        ("explorer/session.py", "from torch._dynamo import config", "private to torch"),
        ("explorer/session.py", "from torch import _inductor", "private to torch"),
        ("explorer/session.py", "import torch\ntorch._dynamo.reset()", "line 2: torch._dynamo"),
        ("explorer/session.py", "import torch as t\nt._dynamo.reset()", "line 2: torch._dynamo"),
        ("explorer/session.py", "from torch import fx\nfx._pytree.x", "line 2: torch.fx._pytree"),
        ("explorer/session.py", "import torch.utils._pytree", "torch.utils._pytree"),
        ("explorer/session.py", "import torch\ngetattr(torch, '_dynamo')", "line 2: torch._dynamo"),
        ("widgets/panel.py", "import torch", "it calls no torch"),
        ("widgets/panel.py", "import torch._inductor", "private to torch"),
        ("sample_models/moe.py", "import torch._inductor", "private to torch"),
        ("sample_models/moe.py", "import torch\ntorch._check_is_size(1)", "private to torch"),
        ("explorer/store/key.py", "import torch", "without torch"),
        ("explorer/store/key.py", "from torch.fx import Graph", "without torch"),
        ("explorer/counters.py", "n = 0\ndef f():\n    global n\n    n = 1", "line 3: no global"),
    ],
)
def test_planted_violation_is_found(file: str, source: str, expected: str) -> None:
    found = violations(PurePosixPath(file), source)
    assert any(expected in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("explorer/session.py", "from explorer.artifacts import Piece"),
        ("explorer/stages/split.py", "from . import graphs\nfrom ..artifacts import Piece"),
        ("explorer/torch_private/capture.py", "import torch._dynamo\ntorch._dynamo.reset()"),
        ("explorer/session.py", "import torch\ntorch.ops.aten._softmax\ntorch.__version__"),
        ("explorer/session.py", "class A:\n    def f(self):\n        return self._dynamo"),
        (
            "widgets/panel.py",
            "import explorer\nfrom explorer.report.views import x\nimport IPython",
        ),
        ("sample_models/moe.py", "from explorer import CompileTarget\nimport sample_models.toy"),
        ("sample_models/moe.py", "from explorer.custom_ops import direct_register_custom_op"),
        ("sample_models/moe.py", "import torch\ntorch._check(True)"),
    ],
)
def test_allowed_source_is_left_alone(file: str, source: str) -> None:
    assert violations(PurePosixPath(file), source) == []


def paths_in(text: str) -> list[str]:
    """What stands between backquotes and looks like a path of this repository."""
    spans = re.findall(r"`([\w.\-/]+)`", text)
    ending = re.compile(r"/|\.(py|md|toml|txt|js|css|ipynb|yml)$")
    return sorted({span for span in spans if ending.search(span)})


def test_architecture_page_names_paths() -> None:
    assert len(paths_in((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))) > 20


@pytest.mark.parametrize("path", paths_in((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")))
def test_path_in_architecture_page_exists(path: str) -> None:
    assert (ROOT / path).exists()


def notebooks() -> list[str]:
    files = (ROOT / "notebooks").rglob("*.ipynb")
    kept = [file for file in files if ".ipynb_checkpoints" not in file.parts]
    return sorted(file.relative_to(ROOT).as_posix() for file in kept)


@pytest.mark.parametrize("notebook", notebooks())
def test_notebook_is_stored_without_outputs(notebook: str) -> None:
    cells = json.loads((ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    code = [(number, cell) for number, cell in enumerate(cells) if cell["cell_type"] == "code"]
    assert code, "a notebook without code shows nothing"
    run = [number for number, cell in code if cell["outputs"] or cell["execution_count"]]
    assert run == [], f"cells {run} hold outputs; clear them before saving"
