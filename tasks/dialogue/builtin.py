"""The built-in corpus: chatterbot-corpus from PyPI (Gunther Cox, BSD): small talk, questions and a help desk."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import yaml

from core.data.corpus import Split, TextPair, hold_out
from core.errors import ConfigError, DataError, did_you_mean
from tasks.dialogue.dialogues import Dialogue, DialogueCorpus
from tasks.dialogue.readers import alternating

# Topics whose lines after the first follow each other; elsewhere they are other answers to the first.
CONVERSATIONS = frozenset({"conversations", "greetings", "health", "psychology", "sports"})


class ChatterbotCorpus(DialogueCorpus):
    """The conversations of the package chatterbot-corpus, each once, in the order of its files.

    A tenth each is held out for validation and for the test by a hash of the opening line, so that no question is in
    two splits: what is tested is whether the model finds a fitting reply to what it was never asked.

    Args:
        language: a folder of the package: english, german, spanish and others.

    Raises:
        ConfigError: the package isn't installed, or hasn't got the language.
    """

    def __init__(self, language: str = "english") -> None:
        spec = find_spec("chatterbot_corpus")
        if spec is None or spec.origin is None:
            raise ConfigError(
                "data.corpus: the built-in dialogues are not installed: pip install 'polyseq[dialogue]', or "
                "chatterbot-corpus itself"
            )
        data = Path(spec.origin).parent / "data"
        self.folder = data / language
        if not self.folder.is_dir():
            there = sorted(path.name for path in data.iterdir() if path.is_dir())
            raise ConfigError(
                f"data.corpus.language: there is no {language!r}{did_you_mean(language, there) or ';'} there are "
                f"{', '.join(there)}"
            )

    def dialogues(self, split: Split) -> list[Dialogue]:
        """Reads a split."""
        found = [each for path in sorted(self.folder.glob("*.yml")) for each in read_conversations(path)]
        unique = list(dict.fromkeys(found))
        openings = [TextPair(number, _opening(each), ()) for number, each in enumerate(unique)]
        if split == "test":
            return [unique[pair.id] for pair in hold_out(openings, 0.1, held_out=True)]
        # A hash below a tenth is the test's, one below two tenths the validation's.
        rest = hold_out(openings, 0.1, held_out=False)
        return [unique[pair.id] for pair in hold_out(rest, 0.2, held_out=split == "val")]


def _opening(dialogue: Dialogue) -> str:
    """The first line, without what makes no other question of it."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in dialogue.turns[0].text.lower()).split())


def read_conversations(path: Path) -> list[Dialogue]:
    """Reads one of the package's files; what isn't a list of at least two texts is left out.

    Raises:
        DataError: the file has no conversations.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        conversations = content["conversations"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(f"not a file of chatterbot-corpus: {' '.join(str(error).split())[:200]}", path) from error
    found: list[Dialogue] = []
    for lines in conversations:
        texts = [" ".join(str(line).split()) for line in lines] if isinstance(lines, list) else []
        if len(texts) < 2 or not all(texts):
            continue
        chains = [texts] if path.stem in CONVERSATIONS else [[texts[0], text] for text in texts[1:]]
        found += [Dialogue(alternating(chain, last="system" if len(chain) % 2 == 0 else "user")) for chain in chains]
    return found
