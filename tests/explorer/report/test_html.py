"""The page and the fragment: complete, closed to the world, and safe whatever a model is called."""

import dataclasses
import re
import stat
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from explorer.artifacts import Rewrite, SourceLocation
from explorer.comparison import Check, Outcome
from explorer.compilation import Compilation
from explorer.report import html, markup

VOID = {"meta", "br", "hr", "img", "input", "link"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav"),
    *("section", "details", "summary", "h1", "h2", "h3", "p", "dl", "dt", "dd", "div", "ol", "ul"),
    *("li", "a", "span", "strong", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"),
    *("svg", "g", "polygon", "path", "ellipse", "text", "polyline"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "id", "class", "style", "scope"),
    *("title", "aria-label", "href", "open", "tabindex", "role", "xmlns", "viewbox", "width"),
    *("transform", "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "points"),
    *("d", "cx", "cy", "rx", "ry", "x", "y", "text-anchor", "font-family", "font-size"),
}
HOSTILE = 'x"><img src=q onerror=alert(1)>'


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that what opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def assert_inert(text: str) -> Page:
    """Nothing in the page can run or load."""
    page = Page(text)
    assert page.tags <= TAGS
    names = {key for _, key, _ in page.attributes}
    assert names <= ATTRIBUTES, names - ATTRIBUTES
    links = [value or "" for _, key, value in page.attributes if key == "href"]
    assert all(link.startswith("#") for link in links)
    return page


def every_text_hostile(compilation: Compilation) -> Compilation:
    """The compilation with markup in each text that a model, a backend or a path could bring."""
    place = SourceLocation(f"/tmp/{HOSTILE}.py", 3, HOSTILE, HOSTILE)
    compiled, captured = compilation.compiled, compilation.captured
    guards = tuple(
        dataclasses.replace(each, text=HOSTILE, location=place) for each in captured.guards
    )
    captured = dataclasses.replace(captured, guards=guards, notes=(HOSTILE,))
    rewrites = (Rewrite(HOSTILE, HOSTILE, (HOSTILE,), HOSTILE),)
    normalised = dataclasses.replace(compilation.normalised, captured=captured, rewrites=rewrites)
    pieces = tuple(
        dataclasses.replace(each, modules=(HOSTILE,), source_lines=(place,))
        for each in compiled.unique.pieces
    )
    unique = dataclasses.replace(
        compiled.unique,
        pieces=pieces,
        split=dataclasses.replace(compilation.split, normalised=normalised),
    )
    artifacts = tuple(
        dataclasses.replace(
            each,
            code=f"</code></pre><script>{HOSTILE}</script>",
            guards=(HOSTILE,),
            notes=(HOSTILE,),
            backend=HOSTILE,
        )
        for each in compiled.artifacts
    )
    compiled = dataclasses.replace(compiled, unique=unique, artifacts=artifacts, notes=(HOSTILE,))
    source = f"# </code></pre><script>{HOSTILE}</script>"
    program = dataclasses.replace(compilation.plan.call.program, source=source)
    call = dataclasses.replace(compilation.plan.call, captured=captured, program=program)
    plan = dataclasses.replace(compilation.plan, compiled=compiled, call=call)
    return dataclasses.replace(compilation, plan=plan, name=HOSTILE)


CHECKS = (
    Check({"n": 1}, Outcome.EQUAL, 0.0, "1–8"),
    Check({"n": 9}, Outcome.DIFFERENT, 0.25, "9–32", f"output differs {HOSTILE}"),
    Check({"n": 4}, Outcome.REFUSED, problem="n != 4"),
)


@pytest.fixture(scope="module")
def page(toy) -> str:
    return html.page(toy, CHECKS, shows="Twelve equal layers.")


def test_page_is_well_formed_and_inert(page: str) -> None:
    assert_inert(page)


def test_page_forbids_everything_that_it_does_not_need(page: str) -> None:
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy is not None
    wanted = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert policy[1].startswith(wanted)
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_page_names_no_address_but_the_namespace_of_svg(page: str) -> None:
    assert set(re.findall(r"https?://[^\"' ]*", page)) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in page
    assert "@import" not in page


def test_page_follows_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert 'name="color-scheme" content="light dark"' in page


@pytest.mark.parametrize(
    "text",
    [
        "toy_llama",
        "Twelve equal layers.",
        "25 pieces, 13 compiled (3 unique), 12 splitting",
        "A ▨ (B ▨)×11 C",
        "exactly 16",
        "2, 4, 6 … 22",
        "demo::attention",
        "def run_33_2048(",
        "def piece_0(",
        "def forward(",
        "n >= 2",
        "output differs",
        "0.25",
        "1 equal, 1 different, 1 refused",
    ],
)
def test_page_says(page: str, text: str) -> None:
    assert text in Page(page).text


def test_page_has_a_link_for_each_section_and_each_piece(page: str) -> None:
    ids = set(re.findall(r' id="([^"]*)"', page))
    links = set(re.findall(r'href="#([^"]*)"', page))
    assert links <= ids
    assert {f"piece-{index}" for index in range(25)} <= links
    assert {"unique", "artifacts", "guards", "graph", "check"} <= links


def test_splitting_pieces_are_hatched_and_lettered_ones_coloured(page: str) -> None:
    strip = page.partition('<ol class="strip"')[2].partition("</ol>")[0]
    assert strip.count("piece hatched") == 12
    assert strip.count("piece colour1") == 11
    assert strip.count(">B</a>") == 11


def test_page_without_comparison_has_no_table_for_it(toy) -> None:
    assert "Equal to eager?" not in html.page(toy)


def test_page_without_dot_has_strip_tables_and_a_sentence(toy, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = html.page(toy)
    assert_inert(text)
    assert "apt-get install graphviz" in text
    assert '<ol class="strip"' in text
    assert "<svg" not in text


def test_page_without_code_says_so(toy) -> None:
    silent = tuple(dataclasses.replace(each, code="") for each in toy.artifacts)
    compiled = dataclasses.replace(toy.compiled, artifacts=silent)
    plan = dataclasses.replace(toy.plan, compiled=compiled)
    text = html.page(dataclasses.replace(toy, plan=plan))
    assert "does not say what it generated" in text


def test_module_names_with_markup_stay_text(hostile) -> None:
    for text in (html.page(hostile), html.fragment(hostile)):
        page = assert_inert(text)
        assert HOSTILE in page.text
        assert HOSTILE not in text


def test_every_text_of_a_model_is_escaped(toy) -> None:
    bad = every_text_hostile(toy)
    for text in (html.page(bad, CHECKS, shows=HOSTILE), html.fragment(bad)):
        page = assert_inert(text)
        assert page.text.count(HOSTILE) > 20
        assert HOSTILE not in text
        assert "<script" not in text


def test_control_characters_are_dropped() -> None:
    assert markup.escaped("a\x00b\x1b[1m\u202e<&\"'") == "ab[1m&lt;&amp;&quot;&#x27;"
    assert markup.escaped_code("a\n\tb\x00<") == "a\n\tb&lt;"


def test_fragment_is_short_inert_and_has_no_ids(toy) -> None:
    text = toy._repr_html_()
    page = assert_inert(text)
    assert "25 pieces, 13 compiled (3 unique), 12 splitting" in page.text
    assert " id=" not in text
    assert "--jp-ui-font-color1" in text
    assert len(text) < len(html.page(toy)) / 4


def test_to_html_writes_the_page(toy, tmp_path) -> None:
    path = toy.to_html(tmp_path / "report.html")
    assert_inert(path.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------ writing


def files_in(folder) -> Iterator[str]:
    return (path.name for path in folder.iterdir())


def test_a_page_is_written_whole_with_the_mode_of_a_plain_file(tmp_path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    path = html.write_page(tmp_path / "report.html", "<p>▨</p>")
    assert path.read_text(encoding="utf-8") == "<p>▨</p>"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert set(files_in(tmp_path)) == {"plain", "report.html"}


def test_a_failed_write_leaves_the_old_page_and_no_draft(tmp_path) -> None:
    path = html.write_page(tmp_path / "report.html", "old")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        html.write_page(path, "new \ud800")
    assert path.read_text() == "old"
    assert set(files_in(tmp_path)) == {"report.html"}


def test_a_missing_folder_is_an_error(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        html.write_page(tmp_path / "nowhere" / "report.html", "x")


def test_code_between_backticks_is_code_and_stays_escaped() -> None:
    assert markup.sentences(["the test `n == 4` was `<b>`", "one ` alone", "``"]) == (
        "<ul><li>the test <code>n == 4</code> was <code>&lt;b&gt;</code></li>"
        "<li>one ` alone</li><li>``</li></ul>"
    )
