from __future__ import annotations

from typing import Any

import pytest

from core.errors import ConfigError
from core.generation import Constraints, GenerationOptions, generate
from tests.core.generation.toys import SPECIALS, toy_model, toy_source


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"beam_size": 0}, ["beam_size", "0"]),
        ({"n_best": 3}, ["n_best", "3", "beam_size", "1"]),
        ({"n_best": 6, "beam_size": 5}, ["n_best", "6", "beam_size", "5"]),
        ({"min_length": 9, "max_length": 5}, ["min_length", "9", "max_length", "5"]),
        ({"sample": True, "beam_size": 4}, ["sample", "beam_size", "4"]),
        ({"sample": True, "top_p": 0.0}, ["top_p", "0.0"]),
        ({"sample": True, "top_p": 1.1}, ["top_p", "1.1"]),
        ({"sample": True, "top_p": float("nan")}, ["top_p", "nan"]),
        ({"sample": True, "temperature": 0.0}, ["temperature", "0.0"]),
        ({"sample": True, "temperature": -1.0}, ["temperature", "-1.0"]),
        ({"temperature": 0.5}, ["temperature", "0.5", "sample"]),
        ({"top_k": 5}, ["top_k", "5", "sample"]),
        ({"top_p": 0.5}, ["top_p", "0.5", "sample"]),
        ({"no_repeat_ngram": -1}, ["no_repeat_ngram", "-1"]),
        ({"max_length_ratio": 0.0}, ["max_length_ratio", "0.0"]),
        ({"max_length_offset": -3}, ["max_length_offset", "-3"]),
        ({"alpha": float("inf")}, ["alpha", "inf"]),
        ({"length_penalty": "wu"}, ["length_penalty", "wu", "gnmt"]),
    ],
)
def test_contradictions_are_named(fields: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        GenerationOptions(**fields)
    for word in named:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("constraints", "fields", "named"),
    [
        ({"required": (((4,),),)}, {}, ["required", "beam_size", "1"]),
        ({"required": (((4,),),)}, {"sample": True}, ["required", "sample"]),
        ({"required": (((4,),),)}, {"beam_size": 2, "preselect": 3}, ["required", "preselect", "3"]),
        (
            {"required": (((4, 5),),), "forbidden": ((5,),)},
            {"beam_size": 2},
            ["required", "(4, 5)", "forbidden", "(5,)"],
        ),
        ({"required": (((4, 5, 6),),), "forbidden": ((5, 6),)}, {"beam_size": 2}, ["(4, 5, 6)", "(5, 6)"]),
        ({"required": (((4, 5),),)}, {"beam_size": 2, "max_length": 1}, ["required", "max_length", "1", "2"]),
        ({"required": (((4,),), ())}, {"beam_size": 2}, ["required", "2", "3"]),
        ({"prefixes": ((4,), (5,))}, {}, ["prefixes", "2", "3"]),
        ({"prefixes": ((4, 5, 6),)}, {"max_length": 2}, ["prefixes", "3", "max_length", "2"]),
        ({"prefixes": ((SPECIALS.eos,),)}, {}, ["prefixes", str(SPECIALS.eos)]),
        ({"prefixes": ((7,),)}, {}, ["prefixes", "7", "vocabulary"]),
        ({"forbidden": ((SPECIALS.eos,),)}, {}, ["forbidden", str(SPECIALS.eos)]),
        ({"forbidden": ((),)}, {}, ["forbidden", "empty"]),
        ({"forbidden": ((-1,),)}, {}, ["forbidden", "-1"]),
        ({"forbidden": ((3,), (4,), (5,), (6,))}, {"min_length": 1}, ["forbidden", "min_length", "1"]),
    ],
)
def test_demands_that_cannot_be_met_are_named(
    constraints: dict[str, Any], fields: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        generate(toy_model(), toy_source(3), GenerationOptions(**fields), SPECIALS, Constraints(**constraints))
    for word in named:
        assert word in str(error.value)


def test_an_ensemble_shares_one_vocabulary() -> None:
    with pytest.raises(ConfigError, match=r"\[7, 8\]"):
        generate([toy_model(7), toy_model(8)], toy_source(2), GenerationOptions(), SPECIALS)
    with pytest.raises(ConfigError, match="none"):
        generate([], toy_source(2), GenerationOptions(), SPECIALS)
