from __future__ import annotations

from core.columns import aligned


def test_the_first_column_is_flush_left_and_the_others_flush_right() -> None:
    assert aligned([["", "one", "n"], ["kind", "1", "1,000"]]) == "      one      n\nkind    1  1,000"


def test_wide_characters_take_two_columns() -> None:
    assert aligned([["日本", "1"], ["abc", "22"]]) == "日本   1\nabc   22"


def test_lines_end_with_their_last_word() -> None:
    assert aligned([["a", ""], ["b", "long"]]) == "a\nb  long"


def test_no_rows_are_no_lines() -> None:
    assert aligned([]) == ""
