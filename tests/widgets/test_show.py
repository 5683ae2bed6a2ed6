from __future__ import annotations

import builtins
import html
import re
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

import widgets
from explorer import Compilation, CompilationDiff, CompileTarget, GuardPolicy, Session
from explorer.session import session_of
from sample_models import branching
from tests.widgets.markup_reading import Read
from widgets.panel import Panel
from widgets.read_only import ReadOnlyPanel
from widgets.show import StaticView


@pytest.fixture(scope="module")
def session(llama: CompileTarget) -> Session:
    config = llama.compilation_config().replace(backend="eager", compile_sizes=())
    session = Session(
        llama.model,
        llama.example_inputs,
        dynamic_arg_dims=llama.dynamic_arg_dims,
        config=config,
        name="<b>llama</b>",
    )
    session.update()
    session.update(splitting_ops=("F.silu", "demo::attention"))
    return session


def test_show_is_a_panel_without_controls(session: Session) -> None:
    panel = widgets.show(session.history[0])
    assert isinstance(panel, ReadOnlyPanel)
    assert panel.compilation is session.history[0]
    assert panel.viewer.header.view["title"] == "<b>llama</b>"
    assert len(panel.viewer.strip.view["cells"]) == 5
    for name in panel.viewer.screens:
        panel.open_tab(name)
    assert panel.viewer.looking.wait(60)
    assert panel.viewer.status.errors == []
    panel.viewer.screens["Guards"].widget.act("try", sizes={"n": 4})
    assert "can only be looked at" in panel.viewer.status.alert
    bundle = panel._repr_mimebundle_()
    Read(bundle["text/html"]).assert_passive()
    panel.close()


def test_where_a_page_is_asked_for_a_panel_is_one_with_every_view(
    session: Session, open_panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIECEWISE_EXPLORER_STATIC", "1")
    opened = open_panel()  # its first compile goes on
    shown = widgets.show(session.history[0])
    assert isinstance(shown, ReadOnlyPanel)
    for panel, title in ((opened, "toy_llama"), (shown, "<b>llama</b>")):
        bundle = panel._repr_mimebundle_()
        assert set(bundle) == {"text/html", "text/plain"}
        frame = re.fullmatch(
            r'<iframe sandbox (.*) srcdoc="([^"]*)"></iframe>', bundle["text/html"]
        )
        assert frame is not None
        assert f'title="Panel of {html.escape(title)}"' in frame[1]
        page = html.unescape(frame[2])
        assert page.startswith("<!DOCTYPE html>") and "<script" not in page
        for part in ("Conditions on sizes", "Dedupe", "Ranges", html.escape(title)):
            assert part in page
    shown.close()

    monkeypatch.setenv("PIECEWISE_EXPLORER_STATIC", "0")
    assert "application/vnd.jupyter.widget-view+json" in opened._repr_mimebundle_()


def test_without_anywidget_show_has_html_for_a_page_and_text_for_a_terminal(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "widgets.read_only", raising=False)
    monkeypatch.delitem(sys.modules, "widgets.view", raising=False)
    _without(monkeypatch, "anywidget")
    view = widgets.show(session.history[0])
    assert isinstance(view, StaticView)
    seen = Read(view._repr_html_())
    seen.assert_passive()
    assert "<b>llama</b>" in seen.text
    assert {"table", "ol"} <= seen.tags
    assert "<b>llama</b>: 5 pieces" in repr(view)
    assert "33–2048" in repr(view)


def test_show_wants_a_compilation(session: Session) -> None:
    with pytest.raises(TypeError, match=r"show takes a Compilation, not Session: .* \.compilation"):
        widgets.show(session)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def formatted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], dict[str, Any]]:
    """Formats a value as a notebook's kernel would, without starting one."""
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    return lambda value: shell.display_formatter.format(value)[0]


def test_registered_displays_show_compilations_and_their_differences(
    session: Session, formatted: Callable[[Any], dict[str, Any]]
) -> None:
    assert widgets.register_displays()
    assert widgets.register_displays(), "again is allowed"
    shown = formatted(session.compilation)
    assert shown["text/plain"].startswith("<b>llama</b>: 9 pieces")
    Read(shown["text/html"]).assert_passive()
    different = formatted(session.diff())
    seen = Read(different["text/html"])
    seen.assert_passive()
    assert "pieces: 5 -> 9" in seen.text
    assert "splitting_ops" in seen.text and "('F.silu', 'demo::attention')" in seen.text
    assert "pieces: 5 -> 9" in different["text/plain"]


def test_equal_compilations_have_no_difference_to_show(
    formatted: Callable[[Any], dict[str, Any]],
) -> None:
    widgets.register_displays()
    nothing = CompilationDiff({}, (), {}, ((), ()), {})
    shown = formatted(nothing)
    assert Read(shown["text/html"]).text == "Nothing differs."
    assert shown["text/plain"] == "no difference"


def test_registered_displays_show_what_is_known_of_sizes_and_of_time(
    formatted: Callable[[Any], dict[str, Any]],
) -> None:
    assert widgets.register_displays() and widgets.register_displays()
    target = branching.sample()
    config = target.compilation_config().replace(backend="eager", guard_policy=GuardPolicy.VARIANTS)
    session = session_of(target, config)
    shown = {
        "wrong at": formatted(session.compilation.audit()),
        "projected * 2": formatted(session.compilation.diagnose()),
        "2 graphs cover all 64 points": formatted(session.model().cover()),
        "capture: one graph": formatted(session.compilation.account),
        "eager": formatted(session.measure([6], rounds=3)),
    }
    for words, forms in shown.items():
        seen = Read(forms["text/html"])
        seen.assert_passive()
        assert words in forms["text/plain"], words
        if words != "wrong at":  # the view words it for VARIANTS
            assert words in seen.text, words
        assert "object at 0x" not in forms["text/plain"]
    picture = formatted(session.measure([6], rounds=3).figure())
    assert picture["image/png"].startswith(b"\x89PNG")


def test_without_ipython_there_is_nothing_to_register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    assert not widgets.register_displays()


def _without(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """An interpreter in which a library, and what of this package needs it, is not installed."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == library or name.startswith(("widgets.panel", "widgets.view")):
            monkeypatch.delitem(sys.modules, name)
    real_import = builtins.__import__

    def import_without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without)


@pytest.mark.parametrize("library", ["ipywidgets", "anywidget"])
def test_without_a_library_explore_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, llama: CompileTarget, library: str
) -> None:
    _without(monkeypatch, library)
    expected = rf"needs {library}.*pip install 'piecewise-explorer\[notebook\]'"
    with pytest.raises(ImportError, match=expected):
        widgets.explore(llama.model, llama.example_inputs)


def test_show_needs_no_ipywidgets() -> None:
    code = (
        "import sys; sys.modules['ipywidgets'] = None; import widgets; "
        "assert callable(widgets.show) and callable(widgets.register_displays)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_compilation_is_shown_without_registering_too(session: Session) -> None:
    assert isinstance(session.compilation, Compilation)
    Read(session.compilation._repr_html_()).assert_passive()
