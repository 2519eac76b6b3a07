"""What the parser says of wrong values."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.objectives import Objective
from core.parser import class_names, value_error


def test_a_text_that_isn_t_known_stays() -> None:
    assert value_error("no such thing") == "no such thing"
    assert value_error('Parser key "a.b": Expected a path. Got value: x').startswith('Parser key "a.b"')


def test_types_that_have_no_name_for_users_stay() -> None:
    for kind in ("<class 'datetime.timedelta'>", "typing.Literal[<Colour.RED: 1>]"):
        text = f'Parser key "a": Expected a {kind}. Got value: x'
        assert value_error(text) == text


@pytest.mark.parametrize("hint", [Objective | None, Callable[[int], Objective], list[Objective]])
def test_the_classes_of_a_type_are_found_where_they_stand(hint: object) -> None:
    names = set(class_names(hint))
    assert {"CrossEntropy", "ScheduledSampling"} <= names
    assert not names & {"int", "NoneType", "Objective"}
