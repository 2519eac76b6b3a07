"""What people might say of the built-in scenes: paraphrases that tell more or less, in various words."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tasks.captioning.builtin_scenes import Place, Scene, Size, Thing

Weighed = Sequence[tuple[str, float]]

SIZES: dict[Size, Weighed] = {
    "small": (("small", 5), ("little", 1), ("", 3)),
    "large": (("large", 4), ("big", 2), ("", 3)),
}
NUMBERS: dict[int, Weighed] = {
    2: (("two", 5), ("a pair of", 1)),
    3: (("three", 1),),
    4: (("four", 1),),
}
OPENINGS: Weighed = (("", 6), ("there is ", 2), ("a picture of ", 1), ("the image shows ", 1))
GROUNDS: Weighed = ((" on a {} background", 5), (" against a {} background", 1), ("", 4))
PLACES: dict[Place, Weighed] = {
    "middle": ((" in the middle", 3), (" in the centre", 1), ("", 4)),
    "top": ((" at the top", 4), (" near the top", 1), ("", 3)),
    "bottom": ((" at the bottom", 4), (" near the bottom", 1), ("", 3)),
    "left": ((" on the left", 4), (" on the left side", 1), ("", 3)),
    "right": ((" on the right", 4), (" on the right side", 1), ("", 3)),
}
RELATIONS: dict[Place, Weighed] = {
    "left": (("to the left of", 4), ("left of", 1), ("next to", 1)),
    "right": (("to the right of", 4), ("right of", 1), ("next to", 1)),
    "top": (("above", 4), ("over", 1)),
    "bottom": (("below", 4), ("under", 1)),
}
OPPOSITE: dict[Place, Place] = {"left": "right", "right": "left", "top": "bottom", "bottom": "top", "middle": "middle"}
CONVERSE = 0.15  # how often the second thing is named first
PLURALS = {"cross": "crosses"}
TRIES = 40


def paraphrases(scene: Scene, count: int, rng: Random) -> tuple[str, ...]:
    """Writes captions of a scene, as `paraphrase` does; two are the same only where little can be said."""
    texts: list[str] = []
    for tries in range(TRIES * count):
        text = paraphrase(scene, rng)
        if text not in texts or tries >= TRIES * (count - 1):
            texts.append(text)
        if len(texts) == count:
            break
    return tuple(texts)


def paraphrase(scene: Scene, rng: Random) -> str:
    """Writes one caption of a scene: the usual words more often than others, sizes and backgrounds not always told."""
    ground = _drawn(GROUNDS, rng).format(scene.ground)
    opening = _drawn(OPENINGS, rng)
    if scene.kind == "one":
        text = f"{_named(scene.things[0], rng)}{_drawn(PLACES[scene.place], rng)}{ground}"
    elif scene.kind == "several":
        opening = opening.replace("there is", "there are")
        text = f"{_drawn(NUMBERS[scene.count], rng)} {_named(scene.things[0], rng, plural=True)}{ground}"
    else:
        text = f"{_related(scene, rng)}{ground}"
    text = opening + text
    return f"{text[0].upper()}{text[1:]}."


def _related(scene: Scene, rng: Random) -> str:
    (first, second), place = scene.things, scene.place
    if rng.random() < CONVERSE:
        first, second, place = second, first, OPPOSITE[place]
    return f"{_named(first, rng)} {_drawn(RELATIONS[place], rng)} {_named(second, rng)}"


def _named(thing: Thing, rng: Random, plural: bool = False) -> str:
    size = _drawn(SIZES[thing.size], rng)
    noun = PLURALS.get(thing.shape, f"{thing.shape}s") if plural else thing.shape
    words = " ".join(filter(None, (size, thing.colour, noun)))
    if plural:
        return words
    return f"an {words}" if words.startswith("orange") else f"a {words}"


def _drawn(choices: Weighed, rng: Random) -> str:
    return rng.choices([text for text, _ in choices], [weight for _, weight in choices])[0]
