"""Digests of functions: what an edit changes, what it does not, and which function is named."""

from __future__ import annotations

import inspect
import json
import multiprocessing
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from explorer.artifacts.traced import FunctionRole, TracedFunction
from explorer.store.places import NotFound, arguments_of, resolve
from explorer.store.source_changes import Change, changed
from explorer.store.source_digest import Found, recorded

ROOT = Path(__file__).resolve().parents[3]

CELL = """
from enum import Enum

G = 2
TABLE = {"a": 1.0, "b": [1, 2]}
NAMES = {"p", "q", "r"}
INSIDE = 1

class Mode(Enum):
    FAST = 1
    SLOW = 2

class Settings:
    scale = 3.0
    def __init__(self):
        self.k = 4

settings = Settings()

def of_helper(x):
    return x + 10

def helper(x, k=3, *, z=5):
    return of_helper(x) * k - z + len(NAMES)

def twice(function):
    def wrapper(*args, **kwargs):
        return 2 * function(*args, **kwargs)
    return wrapper

@twice
def decorated(x):
    return x - 1

def make(c):
    def inner(x):
        return x * c
    return inner

scaled = make(7.0)
plain = lambda x: x - 8

def forward(x):
    def nested(y):
        return y / 4 + INSIDE
    y = helper(x) * 2.0 + G
    if y in {1, 2, "three"}:
        y = plain(y) + scaled(y)
    return nested(y) + decorated(y) + TABLE["a"] + Settings.scale + settings.k + (Mode.FAST.value)
"""


def namespace_of(*cells: str, module: str = "__main__", file: str = "cell") -> dict[str, Any]:
    """What cells leave behind that run one after the other, as in a kernel."""
    scope: dict[str, Any] = {"__name__": module}
    for number, cell in enumerate(cells):
        # Without it the cell would have the future statements of this file.
        exec(compile(cell, f"/tmp/ipykernel_1/{file}{number}.py", "exec", dont_inherit=True), scope)
    return scope


def function_named(scope: dict[str, Any], name: str) -> types.FunctionType:
    return resolve(scope["__name__"], name, scope=scope)


def records(scope: dict[str, Any], *names: str) -> tuple[TracedFunction, ...]:
    return recorded(Found(function_named(scope, name)) for name in names)


def digest(source: str, *names: str) -> str:
    (first, *_) = records(namespace_of(source), "forward", *names)
    return first.digest


# ------------------------------------------------------------------------------ what makes a change

CHANGES = {
    "a constant": ("* 2.0 + G", "* 3.0 + G"),
    "the type of a constant": ("* 2.0 + G", "* 2 + G"),
    "an operator": ("* 2.0 + G", "* 2.0 - G"),
    "a set of constants": ('{1, 2, "three"}', '{1, 2, "four"}'),
    "a default": ("k=3", "k=4"),
    "a keyword default": ("z=5", "z=6"),
    "a closure value": ("make(7.0)", "make(8.0)"),
    "a global": ("G = 2", "G = 5"),
    "a global of another type": ("G = 2", "G = True + 1.0"),
    "an item of a set": ('"q"', '"Q"'),
    "a global that a function inside reads": ("INSIDE = 1", "INSIDE = 2"),
    "an item of a global": ('"a": 1.0', '"a": 1.5'),
    "an item deep in a global": ("[1, 2]}", "[1, 3]}"),
    "a member of an Enum": ("FAST = 1", "FAST = 3"),
    "an attribute of a class": ("scale = 3.0", "scale = 4.0"),
    "an attribute of an object": ("self.k = 4", "self.k = 5"),
    "the body of a helper": ("* k - z", "* k + z"),
    "the body of a helper's helper": ("return x + 10", "return x + 11"),
    "a lambda": ("x - 8", "x - 9"),
    "a function inside": ("return y / 4", "return y / 5"),
    "a decorator": ("return 2 * function", "return 3 * function"),
    "no decorator": ("@twice\n", ""),
    "what a decorator hides": ("return x - 1", "return x - 2"),
    "the body of a function that makes one": ("return x * c", "return x / c"),
    "another helper of the same code": ("y = helper(x)", "y = other(x)"),
    "a block around a line": ("    y = helper(x)", "    for _ in 'a': y = helper(x)"),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_edit_changes_the_digest(old: str, new: str) -> None:
    assert CELL.count(old) == 1
    edited = CELL.replace(old, new)
    if "other(" in new:
        edited = edited.replace("def twice", "other = lambda x: helper(x)\n\ndef twice")
    assert digest(edited) != digest(CELL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "try:\n        x = x + 1\n    except ValueError",
            "try:\n        x = x + 1\n    except KeyError",
        ),
        ("def forward(x, /", "def forward(x, *"),
        ("x, /, y=(1, frozenset({2, 3}))", "x, y=(1, frozenset({2, 3})), /"),
        ("(1, frozenset({2, 3}))", "(1, frozenset({2, 4}))"),
        ("-0.0", "0.0"),
        ("b'a'", "'a'"),
        ("1j", "2j"),
        ("...", "None"),
    ],
)
def test_edit_of_small_things_changes_the_digest(old: str, new: str) -> None:
    source = """
def forward(x, /, y=(1, frozenset({2, 3})), z=-0.0, a=b'a', b=1j, c=...):
    try:
        x = x + 1
    except ValueError:
        pass
    return x
"""
    assert old in source
    assert digest(source.replace(old, new)) != digest(source)


# ----------------------------------------------------------------------------- what makes no change

HARMLESS = {
    "a comment": ("    y = helper(x)", "    # why\n    y = helper(x)"),
    "blank lines": ("    y = helper(x)", "\n\n\n    y = helper(x)"),
    "another line": ("\nfrom enum", "\n\n\n\n\nfrom enum"),
    "a docstring": ("def forward(x):\n", 'def forward(x):\n    """Says it."""\n'),
    "a docstring inside": ("def nested(y):\n", 'def nested(y):\n        """Says it."""\n'),
    "a docstring of a helper": (
        "def helper(x, k=3, *, z=5):\n",
        "def helper(x, k=3, *, z=5):\n    'A'\n",
    ),
    "an annotation": (
        "def helper(x, k=3, *, z=5):",
        "def helper(x, k: int = 3, *, z: int = 5) -> int:",
    ),
    "a global that is not read": ("G = 2", "G = 2; UNREAD = 1"),
    "a class attribute that is not read": ("scale = 3.0", "scale = 3.0; other = 1"),
    "an attribute that is not read": ("self.k = 4", "self.k = 4; self.calls = 1"),
    "another order of the definitions": (
        'G = 2\nTABLE = {"a": 1.0, "b": [1, 2]}\n',
        'TABLE = {"a": 1.0, "b": [1, 2]}\nG = 2\n',
    ),
    "brackets": ("return y / 4", "return (\n            y\n            / 4)"),
    "another order of a set": ('{"p", "q", "r"}', '{"r", "q", "p"}'),
}


@pytest.mark.parametrize(("old", "new"), HARMLESS.values(), ids=HARMLESS)
def test_edit_without_an_effect_keeps_the_digest(old: str, new: str) -> None:
    assert CELL.count(old) == 1
    assert digest(CELL.replace(old, new)) == digest(CELL)
    named = ("helper", "of_helper")
    assert digest(CELL.replace(old, new), *named) == digest(CELL, *named)


def test_name_of_the_file_and_of_the_module_and_the_order_of_cells_do_not_count() -> None:
    first, second = CELL.split("def twice")
    whole = records(namespace_of(CELL), "forward", "helper")
    again = records(namespace_of(first, "def twice" + second, file="other"), "forward", "helper")
    moved = records(namespace_of(CELL, module="renamed"), "forward", "helper")
    assert [each.digest for each in whole] == [each.digest for each in again]
    assert [each.digest for each in whole] == [each.digest for each in moved]
    cells = CELL.split("\n\n")
    shuffled = ["\n\n".join(cells[:4]), *reversed(cells[4:6]), "\n\n".join(cells[6:])]
    assert digest("\n\n".join(shuffled)) == digest(CELL)


def test_local_class_has_neither_docstring_nor_line_in_its_digest() -> None:
    source = "def forward(x):\n    class Local:\n        k = 1\n    return Local.k + x\n"
    told = source.replace("        k = 1", '        """Says it."""\n\n\n        k = 1')
    assert digest("\n\n" + told) == digest(source)
    assert digest(source.replace("k = 1", "k = 2")) != digest(source)


def test_functions_that_call_each_other_have_a_digest() -> None:
    source = "def forward(x):\n    return other(x)\ndef other(x):\n    return forward(x - 1) + 1\n"
    assert digest(source) == digest(source)
    assert digest(source.replace("+ 1", "+ 2")) != digest(source)


def test_text_of_a_record_is_short_and_survives_json() -> None:
    source = CELL.replace("G = 2", f"G = {'x' * 5000!r}")
    (record,) = records(namespace_of(source), "forward")
    assert all(len(text) <= 120 for _, text in record.details)
    again = json.loads(json.dumps(record.as_plain()))
    assert TracedFunction.of_plain(again) == record
    assert digest(source) != digest(source.replace("xx'", "xy'"))


# ---------------------------------------------------------------------------------- other processes

IN_A_CHILD = """
import json, sys, types
package = types.ModuleType("explorer")
package.__path__ = [sys.argv[1] + "/explorer"]
sys.modules["explorer"] = package
from explorer.store.source_digest import Found, recorded
scope = {"__name__": "__main__"}
exec(compile(sys.stdin.read(), "/tmp/ipykernel_77/1.py", "exec"), scope)
found = recorded([Found(scope["forward"]), Found(scope["helper"])])
print(json.dumps([[each.digest for each in found], "torch" in sys.modules]))
"""


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_digest_is_the_same_in_another_process_that_has_no_torch(seed: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IN_A_CHILD, str(ROOT)],
        input=CELL,
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [each.digest for each in records(namespace_of(CELL), "forward", "helper")]
    assert json.loads(ran.stdout) == [here, False]


def _digests(source: str) -> list[str]:
    return [each.digest for each in records(namespace_of(source), "forward", "helper")]


def test_digest_is_the_same_in_a_spawned_child() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_digests, (CELL,)) == _digests(CELL)


def test_digest_is_of_the_code_in_memory_not_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "edited_after_import.py"
    file.write_text("def forward(x):\n    return x * 2\n")
    import importlib

    module = importlib.import_module("edited_after_import")
    monkeypatch.setitem(sys.modules, "edited_after_import", module)
    found = recorded([Found(module.forward)])
    file.write_text("def forward(x):\n    return x * 99999\n")
    assert recorded([Found(module.forward)]) == found
    assert changed(found, module.forward) == ()
    importlib.reload(module)
    (change,) = changed(found, module.forward)
    assert str(change) == "forward of edited_after_import: a constant 2 -> 99999"


# -------------------------------------------------------------------------------- naming the change


def changes(old: str, new: str, *names: str, source: str = CELL) -> list[str]:
    """What is said of an edit, for a capture that went through these functions."""
    assert source.count(old) == 1
    before = records(namespace_of(source), *names)
    scope = namespace_of(source.replace(old, new))
    return [str(each) for each in changed(before, function_named(scope, names[0]))]


TRACED = ("forward", "helper", "of_helper", "decorated")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("* k - z", "* k + z", "helper of __main__: code"),
        ("return x + 10", "return x + 11", "of_helper of __main__: a constant 10 -> 11"),
        ("* 2.0 + G", "* 3.0 + G", "forward of __main__: a constant 2.0 -> 3.0"),
        ("k=3", "k=4", "helper of __main__: default of k 3 -> 4"),
        ("z=5", "z=None", "helper of __main__: default of z 5 -> None"),
        ("G = 2", "G = 5", "forward of __main__: global G 2 -> 5"),
        ("scale = 3.0", "scale = 4.0", "forward of __main__: global Settings.scale 3.0 -> 4.0"),
        ("self.k = 4", "self.k = 5", "forward of __main__: global settings.k 4 -> 5"),
        ("return y / 4", "return y / 5", "forward of __main__: a constant of nested 4 -> 5"),
        ("return y / 4", "return y * 4", "forward of __main__: code of nested in it"),
        ("return x - 1", "return x - 2", "decorated of __main__: a constant 1 -> 2"),
        ("x - 8", "x - 9", "forward of __main__: global plain: what <lambda> does"),
    ],
)
def test_change_names_the_function_and_what(old: str, new: str, said: str | None) -> None:
    if said is None:
        old, new = (
            "\ndef twice",
            "\ndef twice_\u00e4\ntwice" if False else "\ndel of_helper\ndef twice",
        )
        assert changes(old, new, *TRACED) == [
            "helper of __main__: global of_helper function of_helper -> not there",
            "of_helper of __main__: missing: __main__ has no function of_helper",
        ]
        return
    assert changes(old, new, *TRACED) == [said]


def test_function_that_is_gone_is_missing() -> None:
    assert changes("\ndef twice", "\ndel of_helper\ndef twice", *TRACED) == [
        "helper of __main__: global of_helper function of_helper -> not there",
        "of_helper of __main__: missing: __main__ has no function of_helper",
    ]


def closure_records(scope: dict[str, Any]) -> tuple[TracedFunction, ...]:
    found = [Found(scope["forward"]), Found(scope["scaled"], places=("G['scaled']",))]
    return recorded(found)


def test_change_of_a_closure_value_is_named_where_the_closure_is() -> None:
    before = closure_records(namespace_of(CELL))
    scope = namespace_of(CELL.replace("make(7.0)", "make(9.0)"))
    (change,) = changed(before, scope["forward"])
    assert change == Change("make.<locals>.inner", "__main__", "closure value c 7.0 -> 9.0")


def test_another_function_in_the_place_is_named() -> None:
    before = closure_records(namespace_of(CELL))
    scope = namespace_of(CELL.replace("scaled = make(7.0)", "scaled = helper"))
    said = [str(each) for each in changed(before, scope["forward"])]
    assert "make.<locals>.inner of __main__: helper of __main__ is in its place" in said


def test_nothing_changed_is_no_change_and_a_renamed_module_is_none() -> None:
    before = records(namespace_of(CELL), *TRACED)
    assert changed(before, namespace_of(CELL)["forward"]) == ()
    assert changed(before, namespace_of(CELL, module="renamed")["forward"]) == ()


def test_function_without_a_name_of_its_own_counts_where_it_is_read() -> None:
    """Two lambdas that are both recorded have one name: it does not say which of them is read."""

    def of(source: str) -> tuple[TracedFunction, ...]:
        scope = namespace_of(source)
        return recorded(Found(scope[name]) for name in ("forward", "one", "two"))

    source = "one = lambda x: x + 1\ntwo = lambda x: x + 2\ndef forward(x): return one(x)\n"
    swapped = source.replace("one =", "three =").replace("two =", "one =").replace("three", "two")
    assert of(source)[0].digest != of(swapped)[0].digest


def test_where_a_try_reaches_counts() -> None:
    source = "def forward(x):\n    try:\n        return x\n    except E:\n        return 1\n"
    scope = namespace_of(source)
    function = scope["forward"]
    before = recorded([Found(function)])
    function.__code__ = function.__code__.replace(co_exceptiontable=b"")
    assert recorded([Found(function)]) != before


def test_a_cell_that_runs_again_changes_what_is_found() -> None:
    scope = namespace_of(CELL)
    before = records(scope, *TRACED)
    exec("def of_helper(x):\n    return x + 12\n", scope)  # a future statement does not count
    (change,) = changed(before, scope["forward"])
    assert str(change) == "of_helper of __main__: a constant 10 -> 12"


# -------------------------------------------------------------------------------- what is not known

READS_A_LOCK = """
import threading
lock = threading.Lock()
class Registry:
    def __init__(self):
        self.sizes = {"a": 3}
registry = Registry()
def forward(x):
    return use(lock, registry, x)
def use(*args):
    return args
"""


def test_what_a_fake_reads_and_has_no_text_is_not_known() -> None:
    scope = namespace_of(READS_A_LOCK)
    (record,) = recorded([Found(scope["forward"], FunctionRole.FAKE)])
    assert record.unknown == ("lock",)
    (change,) = changed([record], scope["forward"])
    assert change.what == "not known whether lock changed"


def test_what_a_fake_reads_counts_whole() -> None:
    def of(source: str) -> str:
        scope = namespace_of(source.replace("lock, ", ""))
        return recorded([Found(scope["forward"], FunctionRole.FAKE)])[0].digest

    assert of(READS_A_LOCK) != of(READS_A_LOCK.replace('"a": 3', '"a": 4'))


def test_object_that_cannot_be_looked_at_is_not_known() -> None:
    source = """
class Refuses:
    def __getattribute__(self, name):
        raise ZeroDivisionError
refuses = Refuses()
def forward(x):
    return refuses
"""
    scope = namespace_of(source)
    (record,) = recorded([Found(scope["forward"])])
    assert record.unknown == ("what forward reads (ZeroDivisionError)",)
    assert changed([record], scope["forward"])


def test_what_a_record_says_is_not_known_is_never_equal() -> None:
    scope = namespace_of(CELL)
    (record,) = recorded([Found(scope["helper"], unknown=("where helper comes from",))])
    (change,) = changed([record], scope["helper"])
    assert change.what == "not known whether where helper comes from changed"


def test_objects_that_traced_code_reads_count_by_class() -> None:
    scope = namespace_of(READS_A_LOCK)
    (record,) = recorded([Found(scope["forward"])])
    assert record.unknown == ()
    assert dict(record.details)["global lock"] == "a _thread.lock"


# ------------------------------------------------------------------------------------------ by name


@pytest.mark.parametrize(
    ("qualname", "line"),
    [
        ("Outer.Inner.method", "return 1"),
        ("Outer.of_class", "return 2"),
        ("Outer.static", "return 3"),
        ("Outer.value", "return 4"),
        ("wrapped", "return 5"),
    ],
)
def test_name_leads_through_classes_and_decorators(qualname: str, line: str) -> None:
    source = """
import functools
def twice(function):
    @functools.wraps(function)
    def wrapper():
        return 2 * function()
    return wrapper
class Base:
    @staticmethod
    def static():
        return 3
class Outer(Base):
    class Inner:
        def method(self):
            return 1
    @classmethod
    def of_class(cls):
        return 2
    @property
    def value(self):
        return 4
@twice
def wrapped():
    return 5
"""
    scope = namespace_of(source)
    name = qualname.replace("Outer.static", "Base.static")
    found = resolve("__main__", name, scope=scope)
    assert found.__code__.co_qualname == name
    assert found.__code__.co_consts[-1] == int(line[-1])


@pytest.mark.parametrize(
    ("qualname", "reason"),
    [
        ("make.<locals>.inner", "was made inside a function"),
        ("nowhere", "has no function nowhere"),
        ("Settings.nothing", "has no function"),
        ("G", "has no function G"),
    ],
)
def test_name_that_leads_nowhere_is_said(qualname: str, reason: str) -> None:
    with pytest.raises(NotFound, match=reason):
        resolve("__main__", qualname, scope=namespace_of(CELL))


@pytest.mark.parametrize(
    "signature",
    ["x, y=2", "x, /, *rest, y=2", "x, *, y=2, **more", "x, *rest, y, **more", "*rest, **more"],
)
def test_arguments_go_by_the_names_in_the_code(signature: str) -> None:
    scope = namespace_of(f"def f({signature}): pass\ndef m(self, {signature}): pass")
    for args, kwargs in (((1,), {"y": 3}), ((1, 5, 6), {"y": 3}), ((1,), {"y": 3, "z": 4})):
        for name, receiver in (("f", None), ("m", "me")):
            function = scope[name]
            given = args if receiver is None else (receiver, *args)
            try:
                bound = inspect.signature(function).bind(*given, **kwargs)
            except TypeError:
                continue
            bound.apply_defaults()
            assert arguments_of(function, receiver, args, kwargs) == bound.arguments


def test_name_in_a_module_that_is_not_loaded_is_said() -> None:
    with pytest.raises(NotFound, match="module not_there is not loaded"):
        resolve("not_there", "f")


def test_place_runs_no_code_but_what_finds_places() -> None:
    scope = namespace_of(CELL)
    (record,) = recorded([Found(scope["forward"], places=("G['plain'](G['G'])",))])
    (change,) = changed([record], scope["forward"])
    assert change.what.startswith("missing: G['plain'] is not called")
