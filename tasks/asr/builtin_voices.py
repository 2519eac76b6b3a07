"""Who speaks the built-in corpus: voices of espeak-ng, of which each split has its own."""

from __future__ import annotations

from random import Random

from core.data.corpus import Split

# Variants of the voice differ in formants, pitch and source. None of a split is a rework of another split's; those
# that are robots, whisper or echo are left out.
VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": (
        *("m2", "m4", "m5", "m6", "m8", "f1", "f2", "f4", "adam", "Alex", "Alicia", "Andy", "Annie", "aunty", "boris"),
        *("Denis", "edward", "Gene", "grandma", "grandpa", "gustave", "klatt3", "max", "Michael", "miguel", "paul"),
        *("pedro", "rob", "sandro", "steph"),
    ),
    "val": ("m1", "f5", "Nguyen", "Reed"),
    "test": ("m3", "m7", "f3", "linda", "david", "quincy"),
}
ACCENTS = (
    *("en-us", "en-gb", "en-gb-scotland", "en-029"),
    *("en-gb-x-rp", "en-us-nyc", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
)


def speakers(split: Split) -> list[str]:
    """The voices of a split: each variant in all accents for training, in two of them (all among them) otherwise."""
    if split == "train":
        return [f"{accent}+{variant}" for variant in VARIANTS[split] for accent in ACCENTS]
    numbered = enumerate(VARIANTS[split])
    return [f"{ACCENTS[(2 * row + turn) % len(ACCENTS)]}+{name}" for row, name in numbered for turn in (0, 1)]


def assign(split: Split, count: int, rng: Random) -> list[str]:
    """Chooses a speaker for each of some utterances; all get as many, give or take one."""
    order = speakers(split)
    rng.shuffle(order)
    return [order[row % len(order)] for row in range(count)]
