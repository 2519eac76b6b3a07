"""Words of an English caption as coco-caption's tokeniser has them, without Java.

coco-caption (Chen et al. 2015, section 3) runs Stanford's PTBTokenizer 3.4.1 with -preserveLines -lowerCase and drops
punctuation from what comes out. This is the same for text as captions have it; the patterns were found by comparing
outputs, and rare things (telephone numbers, exotic smileys) may still come out otherwise.
"""

from __future__ import annotations

import re
from functools import lru_cache

# What coco-caption drops. It lists brackets too, but in upper case, which the lower-cased tokens never equal: "("
# remains as the word "-lrb-"; and of "?" and "!" it lists the single ones.
PUNCTUATION = re.compile(r"\.+|-+|['\"`]+|[?!,:;]")
NAMES = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "&lt;": "<", "&gt;": ">"}
ENTITIES = {"&amp;": "&", "&quot;": '"', "&nbsp;": " "}
# Typographic quotes and dashes become the plain ones, all of which are dropped where they stand alone.
PLAIN = str.maketrans(
    dict.fromkeys("“”«»", '"')
    | dict.fromkeys("‘‹", "`")
    | dict.fromkeys("’›", "'")
    | dict.fromkeys("–—‒―", "--")
    | {"…": "...", "£": "#", "€": "$", "¤": "$", "¢": " cents", "²": " ² ", "³": " ³ "}
    | {"½": " 1/2 ", "¼": " 1/4 ", "¾": " 3/4 ", "⅓": " 1/3 ", "⅔": " 2/3 "}
)
# Taken apart behind so many letters.
TWO_WORDS = {"cannot": 3, "gonna": 3, "gotta": 3, "lemme": 3, "gimme": 3, "wanna": 3, "'tis": 2, "'twas": 2}
# Words that keep the full stop behind them: in any case, with a capital only, and before a number only.
ABBREVIATIONS = (
    r"adj|adm|adv|al|ala|alex|apr|ariz|assn|assoc|asst|atty|attys|aug|ave|bancorp|bhd|bldg|blvd|brig|bros|calif|capt|"
    r"cf|cie|cmdr|co|col|colo|comdr|conn|corp|cos|cpl|ct|dak|dec|dept|det|dr|drs|elec|ens|esq|est|etc|ext|feb|fla|fri|"
    r"ft|ga|gen|gov|govs|hon|inc|ind|insp|intl|invt|jan|jos|jr|jul|jun|kan|kans|ky|lieut|lt|ltd|maj|mar|md|messrs|mfg|"
    r"mich|minn|mlle|mme|mo|mon|mont|mr|mrs|ms|msgr|mt|mtg|natl|neb|nev|nov|oct|okla|penn|pfc|ph|ph\.d|plc|pres|prof|"
    r"profs|pte|ptes|pty|ptys|pvt|rd|rep|reps|rev|rt|sen|sens|sep|sept|seq|sfc|sgt|spc|sq|sr|st|ste|supt|sys|tel|tenn|"
    r"thu|thurs|tue|tues|univ|va|vs|vt|wed|wis|wisc|wm|wyo|(?=(?-i:[A-Z]))(?:ark|az|del|ill|la|mass|miss|ore|pa|tex|wash)"
)
NUMBERED = r"art|ca|figs?|nos?|op|pp|prop"
ACRONYM = r"[a-z](?:\.[a-z])+|(?<!\S)[a-z]|[a-z](?!\.$)"

LETTER = r"[^\W\d_]"
ALNUM = r"[^\W_]"
JOINT = r"[-‐‑/_]"  # what joins the parts of one word: "t-shirt", "and/or"
PARTS = rf"(?:{JOINT}{ALNUM}+)*"
URL_END = r"[^\s\"<>|()]*[^\s\"<>|().,;:!?'-]"
PATTERNS = (
    rf"(?:https?://|www\.|(?:[\w-]+\.)+(?:com|net|org|edu)/){URL_END}",
    rf"{ALNUM}[\w.+-]*@{LETTER}[\w-]*(?:\.{LETTER}[\w-]*)*",
    rf"[@#]{LETTER}\w*|c\+\+|c#|</?[a-z][^\s<>]*>|[:;=]['-]?[()dp](?!\w)",
    # Words that keep their full stop, also within a longer word: "U.S.-based".
    rf"(?:{ACRONYM}|{ABBREVIATIONS})\.(?!{LETTER})(?:-{LETTER}+{PARTS})?",
    rf"(?:{NUMBERED})\.(?=\s?\d)|{LETTER}{ALNUM}*\.(?=[,;:])",
    # Contractions, and words with an apostrophe of their own.
    rf"(?:{'|'.join(TWO_WORDS)})(?!{ALNUM}|[-/_']{ALNUM})",
    rf"(?:ma'am|o'clock|c'mon|ne'er|e'er|o'er|ol'|'em|'til|'cause)(?!{ALNUM})|'n'|'n(?!{ALNUM})|y'(?={LETTER})",
    rf"'\d\ds?(?!{ALNUM}|[-\"])",
    rf"'(?:s|m|d|ll|re|ve)(?!{LETTER})|n't{LETTER}*|{LETTER}+?(?=n't)",
    # Numbers with a sign, points, slashes: a whole one with a fraction, those that aren't part of a word, and others.
    r"\d{1,4} \d{1,4}/\d{1,4}",
    rf"[-+]?\d*(?:[.,:/-]\d+)+(?!{JOINT}?{LETTER}|[.,:/-]?\d)",
    rf"[-+]?\d*(?:[.,:]\d+)+{PARTS}|[-+]\d+(?!{ALNUM})",
    # Other words: joined by "&" in capitals, by points, by hyphens and slashes.
    rf"(?-i:[A-Z]+(?:&[A-Z]+)+)(?!{ALNUM})",
    rf"(?:[dol]')?{LETTER}{ALNUM}*(?:[.!?]{LETTER}{ALNUM}*)+",
    rf"(?:[dol]'(?={ALNUM}))?{ALNUM}+{PARTS}",
    # Signs.
    r"&[lg]t;|-{2,}|\.{3,}|[?!]{2,}|\*+|_+|<<|>>|\S",
)
TOKEN = re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS), re.IGNORECASE)


@lru_cache(maxsize=2**17)
def tokenize(text: str) -> tuple[str, ...]:
    """The lower-cased words of a caption, without punctuation; white space of any kind separates.

    >>> tokenize("A grey-haired man can't see (2) dogs' toys.")
    ('a', 'grey-haired', 'man', 'ca', "n't", 'see', '-lrb-', '2', '-rrb-', 'dogs', 'toys')
    """
    for entity, character in ENTITIES.items():
        text = text.replace(entity, character)
    plain = " ".join(text.translate(PLAIN).split())
    tokens = (word for match in TOKEN.finditer(plain) for word in _words(match.group().lower()))
    return tuple(word for word in tokens if not PUNCTUATION.fullmatch(word))


def _words(token: str) -> tuple[str, ...]:
    """The words of one lower-cased match: two for an assimilation or a mixed number."""
    if token in TWO_WORDS:
        cut = TWO_WORDS[token]
        return token[:cut], token[cut:]
    for sign, name in NAMES.items():
        token = token.replace(sign, name)
    return tuple(token.split(" "))
