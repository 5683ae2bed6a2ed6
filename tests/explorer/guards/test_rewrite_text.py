"""The text of rewrites: what is shown as the proposed fix."""

from __future__ import annotations

import inspect
import textwrap
import traceback
from typing import Any

import pytest

from explorer.guards.rewrite import Rewrite, rewrite_to_cond
from tests.explorer.comparing import filled
from tests.explorer.rewriting import (
    cell,
    check,
    fill_line_cache,
    new_source,
    rewritten,
    statement_place,
)


def test_diff_as_it_is_shown() -> None:
    made = cell(
        """
        def f(x, y):
            # before
            n = x.shape[0]
            if n == 4:  # one tile
                # doubled
                return x * 2
            # all others

            y = y + 1  # shifted
            return y

        z = 3
        """
    )
    result = rewritten(made["f"], "n == 4")
    name = result.location.file
    assert result.diff == textwrap.dedent(
        f"""\
        --- {name}:4
        +++ {name}:4 with torch.cond
        @@ -1,12 +1,18 @@
         def f(x, y):
             # before
             n = x.shape[0]
        -    if n == 4:  # one tile
        +
        +    def if_true(y):
        +        # one tile
                 # doubled
                 return x * 2
        -    # all others
         ~
        -    y = y + 1  # shifted
        -    return y
        +    def if_false(y):
        +        # all others
        +
        +        y = y + 1  # shifted
        +        return y
        +
        +    return torch.cond(n == 4, if_true, if_false, (y,))
         ~
         z = 3
        """
    ).replace("~", "")


def test_chain_reads_as_nested_conditions() -> None:
    assert new_source(
        """
        def f(x):
            n = x.shape[0]
            if n == 4:
                y = x * 2
            elif n <= 8:  # small
                y = x
            else:
                # large
                y = x - 1
            return y
        """,
        "n <= 8",
    ) == textwrap.dedent(
        """\
        def f(x):
            n = x.shape[0]

            def if_true():
                return x * 2

            def if_false():
                def if_true_2():
                    # small
                    return x.clone()

                def if_false_2():
                    # large
                    return x - 1

                return torch.cond(n <= 8, if_true_2, if_false_2, ())

            y = torch.cond(n == 4, if_true, if_false, ())
            return y
        """
    )


def test_elif_behind_a_test_on_a_flag_stays_behind_it() -> None:
    made = cell(
        """
        def f(x, flag=False):
            if flag:
                return x * 3
            elif x.shape[0] == 4:
                return x * 2
            return x + 1
        """
    )
    result = rewritten(made["f"], "x.shape[0] == 4")
    assert "    if flag:\n        return x * 3\n    else:\n        def if_true():" in result.source
    check(result.function, made["f"])


def test_elif_on_a_flag_inside_a_side() -> None:
    made = cell(
        """
        def f(x, flag=False):
            if x.shape[0] == 4:
                y = x * 2
            elif flag:
                y = x * 3
            else:
                y = x + 1
            return y
        """
    )
    result = rewritten(made["f"], "x.shape[0] == 4")
    assert "        if flag:\n            y = x * 3" in result.source
    check(result.function, made["f"])


def test_strings_over_several_lines_and_one_line_bodies_stay_what_they_are() -> None:
    made = cell(
        '''
        def f(x):
            if x.shape[0] == 4: return x * 2; \n            text = """a
          b"""; y = x + len(text)
            return y
        '''
    )
    result = rewritten(made["f"], "x.shape[0] == 4")
    check(result.function, made["f"])


def test_two_tests_of_a_function_together() -> None:
    made = cell(
        """
        def f(x):
            if x.shape[0] > 8:
                x = x * 2
            return x + 1 if x.shape[0] == 3 else x
        """
    )
    result = rewritten(made["f"], "x.shape[0] > 8", "x.shape[0] == 3")
    assert result.source.count("torch.cond") == 2
    check(result.function, made["f"])


def test_a_rewrite_can_be_rewritten_again() -> None:
    made = cell(
        """
        def f(x):
            y = x + 1 if x.shape[0] == 3 else x
            return y * 2 if x.shape[0] > 8 else y
        """
    )
    first = rewritten(made["f"], "x.shape[0] == 3").function
    check(rewritten(first, "x.shape[0] > 8").function, made["f"])


def test_names_in_use_are_not_taken() -> None:
    text = new_source(
        "def f(x, if_true):\n    if len(x) > 4:\n        return x\n    return -x", "len(x) > 4"
    )
    assert "torch.cond(len(x) > 4, if_true_2, if_false_2, ())" in text


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("import torch as th", "    return th.cond("),
        ("from torch import nn", "    import torch\n\n    return torch.cond("),
    ],
)
def test_torch_is_called_what_the_file_calls_it(head: str, expected: str) -> None:
    text = f"{head}\ndef f(x):\n    return x * 2 if x.shape[0] == 4 else x"
    name = f"<torch named by {head}>"
    fill_line_cache(name, text)
    made: dict[str, Any] = {}
    exec(compile(text, name, "exec"), made)
    result = rewritten(made["f"], "x.shape[0] == 4")
    assert expected in result.source
    check(result.function, made["f"])


def test_stack_trace_shows_the_new_text() -> None:
    made = cell(
        """
        def f(x):
            if x.shape[0] == 4:
                return x.no_such_method()
            return x
        """
    )
    function = rewritten(made["f"], "x.shape[0] == 4").function
    with pytest.raises(Exception, match="no_such_method") as caught:
        function(filled(4, 3))
    shown = "".join(traceback.format_exception(caught.value))
    assert "torch.cond rewrite of" in shown
    assert "return torch.cond(x.shape[0] == 4, if_true, if_false, ())" in shown
    assert "torch.cond(x.shape[0] == 4" in inspect.getsource(function)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("n == 4", "n == 4"),
        ("n > 2 and n < 100", "(n > 2) & (n < 100)"),
        ("n == 1 or n == 2 or n % 4 == 0", "(n == 1) | (n == 2) | (n % 4 == 0)"),
        ("2 < n <= 9", "(2 < n) & (n <= 9)"),
        ("2 < n <= 9 and n != 5", "(2 < n) & (n <= 9) & (n != 5)"),
        ("n < 2 or n > 4 and n < 8", "(n < 2) | ((n > 4) & (n < 8))"),
        ("not n > 8", "n <= 8"),
        ("not (n > 8 and n % 2)", "(n <= 8) | (n % 2 == 0)"),
        ("not 2 < n < 4", "(2 >= n) | (n >= 4)"),
        ("n % 2", "n % 2 != 0"),
        ("n", "n != 0"),
        ("not n", "n == 0"),
        ("large", "large"),
        ("not large", "torch.sym_not(large)"),
        ("large and n < 20", "large & (n < 20)"),
        ("x.size(0) and shape[1]", "(x.size(0) != 0) & (shape[1] != 0)"),
        ("n in (4, 8)", "(n == 4) | (n == 8)"),
        ("n not in (4, 8)", "(n != 4) & (n != 8)"),
        ("max(n, 4) > len(x) - 1", "max(n, 4) > len(x) - 1"),
        ("n > self.limit", "n > self.limit"),
        ("(n >\n        4)", "n > 4"),
    ],
)
def test_predicate(test: str, expected: str) -> None:
    source = f"""
def f(self, x):
    shape = x.shape
    n, d = shape
    large = n > 8
    if {test}:
        return x * 2
    return x + 1
"""
    made = cell(source)
    result = rewrite_to_cond(made["f"], statement_place(made["f"]))
    assert isinstance(result, Rewrite), str(result)
    assert f"torch.cond({expected}, if_true, if_false, ())" in result.source


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("x", "x.clone()"),
        ("self.state", "self.state.clone()"),
        ("x[1:]", "x[1:].clone()"),
        ("x.view(-1)", "x.view(-1).clone()"),
        ("torch.reshape(x, (-1,))", "torch.reshape(x, (-1,)).clone()"),
        ("x.to(torch.float32)", "x.to(torch.float32).clone()"),
        ("x.contiguous()", "x.contiguous().clone()"),
        ("self.dropout(x)", "self.dropout(x).clone()"),
        ("x.T", "x.T.clone()"),
        ("x if self.flag else x * 2", "(x if self.flag else x * 2).clone()"),
        ("x * 2", "x * 2"),
        ("self.linear(x)", "self.linear(x)"),
        ("(x * 2).view(-1)", "(x * 2).view(-1)"),
        ("y", "y"),
        ("x, y, y", "x.clone(), y, y.clone()"),
        ("[x]", "[x.clone()]"),
    ],
)
def test_aliases_are_copied(result: str, expected: str) -> None:
    source = f"""
def f(self, x):
    if x.shape[0] == 4:
        y = x * 2
        return {result}
    y = x * 3
    return {result}
"""
    assert new_source(source, "x.shape[0] == 4").count(f"        return {expected}\n") == 2


def test_name_that_becomes_an_alias_is_copied() -> None:
    text = new_source(
        """
        def f(x):
            if x.shape[0] > 8:
                y = x * 2
                y = x
                return y
            y = x
            y = y + 1
            return y
        """,
        "x.shape[0] > 8",
    )
    assert "y = x\n        return y.clone()" in text
    assert "y = y + 1\n        return y\n" in text
