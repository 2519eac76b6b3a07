from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from datetime import date
from math import isnan
from operator import attrgetter
from string import Formatter

import pytest

from core.data.corpus import Split
from core.errors import ConfigError
from tasks.mt.builtin import TOPICS, BuiltInCorpus
from tasks.mt.builtin_frames import FRAMES, Frame
from tasks.mt.builtin_topics import ExactMatchByTopic
from tasks.mt.builtin_values import cardinal, counted, date_forms, month, number_forms, ordinal, price_forms, time_forms

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CORPUS = BuiltInCorpus()
PAIRS = {split: CORPUS.read(split) for split in SPLITS}
ALL_FRAMES = [frame for frames in FRAMES.values() for frame in frames]


def test_sizes_and_ids() -> None:
    assert [len(PAIRS[split]) for split in SPLITS] == [12_000, 1_000, 1_000]
    assert [pair.id for pair in PAIRS["test"]] == list(range(1_000))
    assert all(len(pair.targets) == 1 for pair in PAIRS["train"])


def test_the_same_in_another_process() -> None:
    script = (
        "from tasks.mt.builtin import BuiltInCorpus as C; print([(p.source, p.targets[0]) for p in C().read('val')])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, env=environment).stdout
    assert printed.decode().strip() == str([(pair.source, pair.targets[0]) for pair in PAIRS["val"]])


def test_another_seed_is_another_corpus() -> None:
    other = {pair.source for pair in BuiltInCorpus(seed=2).read("test")}
    assert len(other & {pair.source for pair in PAIRS["test"]}) < 100


@pytest.mark.parametrize("seed", range(5))
def test_any_seed_will_do(seed: int) -> None:
    corpus = BuiltInCorpus(train=100, val=100, test=100, seed=seed)
    sources = [pair.source for split in SPLITS for pair in corpus.read(split)]
    assert len(set(sources)) == 300


def test_a_source_comes_once() -> None:
    sources = [pair.source for split in SPLITS for pair in PAIRS[split]]
    assert len(sources) == len(set(sources))


@pytest.mark.parametrize("kind", ["numbers", "clock.values", "days", "prices"])
def test_no_value_is_shared_by_two_splits(kind: str) -> None:
    shares = [set(attrgetter(kind)(CORPUS).of(split)) for split in SPLITS]
    assert len(set.union(*shares)) == sum(map(len, shares))
    assert min(map(len, shares)) >= 18


def test_no_text_of_a_held_out_value_is_in_the_training_sentences() -> None:
    """Looks for the words themselves, at the ends of words, whatever the split's code thinks that it did."""
    texts = [f" {pair.source.lower().rstrip('.?')} ".replace("-", "") for pair in PAIRS["train"]]
    for hour_minute in CORPUS.clock.values.test:
        spoken = time_forms(hour_minute, read_out=False).english["time"].replace("-", "")
        if " past " in spoken or " to " in spoken:  # "two to four" may be within "twenty-two to four"
            assert not any(f" at {spoken} " in text for text in texts), spoken
    for number in CORPUS.numbers.test:
        words = cardinal(number, "en").replace("-", "")
        ends = (f"number {words} ", f"answer is {words} ", f"counts to {words} ")
        assert not any(text.endswith(ends) for text in texts), words
    for month_number, day in CORPUS.days.test:
        forms = date_forms(date(2000, month_number, day), month_first=False, with_year=False).english["date"]
        assert not any(f" {forms.lower().replace('-', '')} " in text for text in texts), forms
    for cents in CORPUS.prices.test:
        forms = price_forms(cents, "EUR").english["price"].replace("-", "")
        assert not any(text.endswith((f" costs {forms} ", f" pay {forms} ")) for text in texts), forms


@pytest.mark.parametrize("split", ["val", "test"])
def test_no_full_or_half_hour_of_a_held_out_sentence_is_in_training_in_the_same_frame(split: Split) -> None:
    for frame in FRAMES["time"]:
        assert not set(CORPUS.clock.hours(frame, split)) & set(CORPUS.clock.hours(frame, "train"))
        assert CORPUS.clock.hours(frame, split)
    known = {pair.source.rstrip(".?").lower() for pair in PAIRS["train"]}
    spoken = [pair.source.rstrip(".?").lower() for pair in PAIRS[split] if _spoken_hours(pair.source)]
    assert len(spoken) >= 20
    assert not known & set(spoken)


def _spoken_hours(text: str) -> list[str]:
    return re.findall(r"half past \w+|\w+ o'clock", text.lower())


def test_training_names_every_full_and_half_hour_often() -> None:
    """They follow from nothing else: three frames in four have each hour."""
    named = Counter(hour for pair in PAIRS["train"] for hour in _spoken_hours(pair.source))
    hours = [cardinal(hour, "en") for hour in range(1, 13)]
    assert set(named) == {f"half past {hour}" for hour in hours} | {f"{hour} o'clock" for hour in hours}
    assert min(named.values()) >= 20
    for hour in range(12):
        forms = time_forms(60 * hour + 30, read_out=False)
        english, german = forms.english["time"], forms.german["time"]
        targets = [pair.targets[0] for pair in PAIRS["train"] if re.search(rf"{english}\b", pair.source.lower())]
        assert all(german in target for target in targets)


def test_topics_say_what_each_sentence_is_about() -> None:
    """Looks at the words; the topics come from the code that makes the sentences."""
    for pair, topic in zip(PAIRS["test"], CORPUS.topics("test"), strict=True):
        source = pair.source.lower()
        marks = {"half past": "half past ", "o'clock": " o'clock", "quarter": "a quarter ", "minutes": " minutes "}
        assert topic not in marks or marks[topic] in source
        money = any(coin in source for coin in (" cent", " euro", " us dollar", " swiss franc", " rappen"))
        assert money == (topic == "price")
        months = [f" {month(number, 'en').lower()}" for number in range(1, 13)]
        assert any(name in f" {source}" for name in months) == (topic == "date")


@pytest.mark.parametrize("split", SPLITS)
def test_every_topic_is_in_every_split(split: Split) -> None:
    counts = Counter(CORPUS.topics(split))
    assert set(counts) == set(TOPICS)
    assert min(counts.values()) >= 0.02 * len(PAIRS[split])


def test_a_topic_that_fails_is_seen() -> None:
    metric = ExactMatchByTopic(["number", "half past", "half past", "price"])
    metric.update([0, 1, 2], ["acht", "halb neun", "halb  zwei"], [["acht"], ["halb zehn"], ["halb zwei"]])
    scores = metric.compute()
    assert scores["exact_match number"] == 100
    assert scores["exact_match half past"] == 50
    assert isnan(scores["exact_match price"])
    assert set(scores) == set(metric.names)


def test_every_word_of_the_test_is_in_the_training_sentences() -> None:
    known = {word for pair in PAIRS["train"] for word in _words(pair.source)}
    assert {word for pair in PAIRS["test"] for word in _words(pair.source)} <= known


def _words(text: str) -> list[str]:
    return text.lower().replace("-", " ").replace(",", "").rstrip(".?").split()


def test_sentences_have_a_capital_and_an_end_in_both_languages_or_in_neither() -> None:
    for pair in PAIRS["train"]:
        source, target = pair.source, pair.targets[0]
        assert (source[-1] if source[-1] in ".?" else "") == (target[-1] if target[-1] in ".?" else "")
        if source[-1] == ".":
            assert source[0].isupper()
            assert target[0].isupper()


@pytest.mark.parametrize("frame", ALL_FRAMES, ids=lambda frame: frame.english)
def test_frames_keep_their_slots(frame: Frame) -> None:
    """Both sides name the same values, whatever the case."""

    def slots(text: str) -> set[str]:
        names = {name for _, name, _, _ in Formatter().parse(text) if name}
        return {name.removesuffix("_accusative").removesuffix("_dative").removesuffix("_count") for name in names}

    assert slots(frame.english) == slots(frame.german)
    assert frame.question == frame.german.endswith("?")
    assert not frame.english.endswith(".")


def test_frames_that_count_or_order_leave_out_what_has_no_such_form() -> None:
    for frame in ALL_FRAMES:
        if "number_count}" in frame.german:
            assert frame.low >= 2, frame
        if "number_ordinal}" in frame.german:
            assert frame.low >= 1, frame
            assert frame.high <= 999, frame


@pytest.mark.parametrize(
    ("number", "english", "german"),
    [
        (0, "zero", "null"),
        (1, "one", "eins"),
        (21, "twenty-one", "einundzwanzig"),
        (76, "seventy-six", "sechsundsiebzig"),
        (101, "one hundred and one", "einhunderteins"),
        (1_234, "one thousand two hundred and thirty-four", "eintausendzweihundertvierunddreißig"),
        (2_300_000, "two million three hundred thousand", "zwei Millionen dreihunderttausend"),
    ],
)
def test_numbers(number: int, english: str, german: str) -> None:
    assert number_forms(number).english["number"] == english
    assert number_forms(number).german["number"] == german


def test_counted_numbers() -> None:
    numbers = (2, 11, 21, 101, 1_001, 1_000_000)
    assert [counted(number) for number in numbers] == [
        *("zwei", "elf", "einundzwanzig", "einhundertein", "eintausendein", "eine Million"),
    ]


def test_ordinals() -> None:
    numbers = (1, 3, 7, 8, 12, 19, 20, 21, 103)
    assert [ordinal(number, "de") for number in numbers] == [
        *("erste", "dritte", "siebte", "achte", "zwölfte", "neunzehnte", "zwanzigste", "einundzwanzigste"),
        "einhundertdritte",
    ]
    assert [ordinal(number, "en") for number in (1, 12, 21)] == ["first", "twelfth", "twenty-first"]


@pytest.mark.parametrize(
    ("hour", "minute", "read_out", "english", "german"),
    [
        (1, 0, False, "one o'clock", "ein Uhr"),
        (0, 0, True, "twelve o'clock", "zwölf Uhr"),
        (9, 15, False, "a quarter past nine", "Viertel nach neun"),
        (9, 30, False, "half past nine", "halb zehn"),
        (0, 30, False, "half past twelve", "halb eins"),
        (11, 40, False, "twenty to twelve", "zwanzig vor zwölf"),
        (0, 45, False, "a quarter to one", "Viertel vor eins"),
        (9, 7, False, "seven minutes past nine", "sieben Minuten nach neun"),
        (9, 59, False, "nine fifty-nine", "neun Uhr neunundfünfzig"),
        (1, 5, True, "one oh five", "ein Uhr fünf"),
        (9, 35, True, "nine thirty-five", "neun Uhr fünfunddreißig"),
    ],
)
def test_times(hour: int, minute: int, read_out: bool, english: str, german: str) -> None:
    forms = time_forms(60 * hour + minute, read_out)
    assert (forms.english, forms.german) == ({"time": english}, {"time": german})


def test_dates() -> None:
    forms = date_forms(date(1999, 3, 21), month_first=False, with_year=True)  # a Sunday
    assert forms.english == {
        "date": "the twenty-first of March nineteen ninety-nine",
        "date_weekday": "Sunday, the twenty-first of March nineteen ninety-nine",
    }
    assert forms.german == {
        "date": "einundzwanzigste März neunzehnhundertneunundneunzig",
        "date_dative": "einundzwanzigsten März neunzehnhundertneunundneunzig",
        "date_weekday": "Sonntag, dem einundzwanzigsten März neunzehnhundertneunundneunzig",
    }
    assert date_forms(date(2005, 5, 3), month_first=True, with_year=False).english["date"] == "May the third"
    years = (1900, 1906, 2000, 2005, 2024)
    assert [
        date_forms(date(year, 5, 1), False, True).english["date"].removeprefix("the first of May ") for year in years
    ] == [
        *("nineteen hundred", "nineteen oh-six", "two thousand", "two thousand and five", "twenty twenty-four"),
    ]


@pytest.mark.parametrize(
    ("cents", "currency", "english", "nominative", "accusative", "dative"),
    [
        (100, "EUR", "one euro", "ein Euro", "einen Euro", "einem Euro"),
        (1250, "EUR", "twelve euros and fifty cents", *["zwölf Euro und fünfzig Cent"] * 3),
        (1, "USD", "one cent", "ein Cent", "einen Cent", "einem Cent"),
        (
            2101,
            "EUR",
            "twenty-one euros and one cent",
            *(f"einundzwanzig Euro und {a} Cent" for a in ("ein", "einen", "einem")),
        ),
        (
            101,
            "CHF",
            "one Swiss franc and one rappen",
            *(f"{a} Schweizer Franken und {a} Rappen" for a in ("ein", "einen", "einem")),
        ),
        (10_100, "USD", "one hundred and one US dollars", *["einhundertein US-Dollar"] * 3),
    ],
)
def test_prices(cents: int, currency: str, english: str, nominative: str, accusative: str, dative: str) -> None:
    forms = price_forms(cents, currency)
    assert forms.english == {"price": english}
    assert forms.german == {"price": nominative, "price_accusative": accusative, "price_dative": dative}


def test_a_corpus_of_no_size_or_of_too_much_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.corpus\.val must be at least 1, got 0"):
        BuiltInCorpus(val=0)


def test_more_sentences_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = (Frame("{number}", "{number}", phrase=True),)
    monkeypatch.setattr("tasks.mt.builtin.FRAMES", dict.fromkeys(FRAMES, one))
    assert len(BuiltInCorpus(val=50).read("val")) == 50
    known = len(CORPUS.numbers.val)
    with pytest.raises(ConfigError, match=rf"data\.corpus\.val is 500, but there are only about {known} sentences"):
        BuiltInCorpus(val=500).read("val")
