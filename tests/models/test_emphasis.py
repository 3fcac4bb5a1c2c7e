"""The brackets of weighted captions, against the examples of the WebUI's documentation."""

from __future__ import annotations

import pytest

from lib_lyco.models.emphasis import BREAK, split_outside_brackets, weighted_pieces


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the WebUI's own examples (docstring of its prompt parser)
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ],
        ),
        # by hand
        ("[less] a:b :1.2)", [("less", 1 / 1.1), (" a:b :1.2)", 1.0)]),
        ("(a:-.5) (b: 2 )", [("a", -0.5), (" ", 1.0), ("b", 2.0)]),
        (r"a\b \\", [("ab \\", 1.0)]),
        ("", []),
    ],
)
def test_pieces_have_the_weights_of_the_webui(text: str, expected: list[tuple[str, float]]) -> None:
    found = weighted_pieces(text)
    assert [piece for piece, _ in found] == [piece for piece, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


def test_break_is_a_mark_only_where_it_is_asked_for() -> None:
    assert weighted_pieces("a BREAK b") == [("a BREAK b", 1.0)]
    assert weighted_pieces("a BREAK b, BREAKFAST", breaks=True) == [(f"a{BREAK}b, BREAKFAST", 1.0)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a, b", ["a", " b"]),
        ("(a, b:1.2), c", ["(a, b:1.2)", " c"]),
        ("[a, (b, c)], d, ", ["[a, (b, c)]", " d", " "]),
        (":(, sad, (x, y)", [":(", " sad", " (x, y)"]),
        (r"a \(b, c\), d", [r"a \(b", r" c\)", " d"]),
        ("", [""]),
    ],
)
def test_separators_inside_brackets_do_not_separate(text: str, parts: list[str]) -> None:
    assert split_outside_brackets(text, ",") == parts
