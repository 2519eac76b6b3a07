"""The sentences of the built-in corpus, with slots for values and for names of people, places and things.

A frame is written as it stands inside a text, without a capital at its start and without a full stop; nouns and the
English "I" keep theirs. No German frame begins with a value, which would need a capital of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "time", "date", "price"]


@dataclass(frozen=True)
class Frame:
    """A sentence in both languages.

    Attributes:
        english: with slots in braces.
        german: its only right translation, with the same values and names.
        low: the smallest number that fits, for frames with numbers.
        high: and the largest.
        phrase: no whole sentence: never gets a capital and a full stop.
    """

    english: str
    german: str
    low: int = 0
    high: int = 10**9
    phrase: bool = False

    @property
    def question(self) -> bool:
        """It ends with a question mark of its own."""
        return self.english.endswith("?")

    def has(self, slot: str) -> bool:
        """It names a value, in whatever form of its slot."""
        return f"{{{slot}" in self.english

    @property
    def range(self) -> bool:
        """It names two values of a kind."""
        return "{other_" in self.english


# Names by slot, English and German, all in the nominative; "good_accusative" beside "good".
NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "city": (
        *((name, name) for name in ("Bonn", "Berlin", "Hamburg", "Leipzig", "Dresden", "Bremen", "Basel", "Graz")),
        *(("Cologne", "Köln"), ("Munich", "München"), ("Nuremberg", "Nürnberg"), ("Vienna", "Wien")),
        *(("Zurich", "Zürich"), ("Geneva", "Genf"), ("Prague", "Prag"), ("Rome", "Rom")),
    ),
    "person": (
        *((name, name) for name in ("Anna", "Peter", "Maria", "Paul", "Julia", "Thomas")),
        *(("Mrs Weber", "Frau Weber"), ("Mr Schmidt", "Herr Schmidt"), ("the doctor", "der Arzt")),
        *(("my sister", "meine Schwester"), ("my brother", "mein Bruder"), ("the teacher", "die Lehrerin")),
        *(("our neighbour", "unser Nachbar"), ("your mother", "Ihre Mutter")),
    ),
    "vehicle": (
        ("the train", "der Zug"),
        ("the bus", "der Bus"),
        ("the ferry", "die Fähre"),
        ("the ship", "das Schiff"),
    ),
    "event": (
        *(("the concert", "das Konzert"), ("the film", "der Film"), ("the meeting", "die Sitzung")),
        *(("the party", "das Fest"), ("the exhibition", "die Ausstellung"), ("the match", "das Spiel")),
        *(("the course", "der Kurs"), ("the lecture", "der Vortrag"), ("the exam", "die Prüfung")),
    ),
    "shop": (
        *(("the shop", "das Geschäft"), ("the museum", "das Museum"), ("the library", "die Bibliothek")),
        *(("the bank", "die Bank"), ("the bakery", "die Bäckerei"), ("the pharmacy", "die Apotheke")),
        *(("the swimming pool", "das Schwimmbad"), ("the zoo", "der Zoo"), ("the market", "der Markt")),
    ),
    "things": (
        *(("books", "Bücher"), ("letters", "Briefe"), ("apples", "Äpfel"), ("chairs", "Stühle"), ("photos", "Fotos")),
        *(("flowers", "Blumen"), ("bottles", "Flaschen"), ("keys", "Schlüssel"), ("stamps", "Briefmarken")),
    ),
    "people": (
        *(("children", "Kinder"), ("visitors", "Besucher"), ("students", "Studenten"), ("guests", "Gäste")),
        *(("workers", "Arbeiter"), ("women", "Frauen"), ("men", "Männer")),
    ),
}

GOODS: tuple[tuple[str, str, str], ...] = (  # English, German nominative, German accusative
    ("the ticket", "die Karte", "die Karte"),
    ("the book", "das Buch", "das Buch"),
    ("the coat", "der Mantel", "den Mantel"),
    ("the bicycle", "das Fahrrad", "das Fahrrad"),
    ("the lamp", "die Lampe", "die Lampe"),
    ("the table", "der Tisch", "den Tisch"),
    ("the chair", "der Stuhl", "den Stuhl"),
    ("the shirt", "das Hemd", "das Hemd"),
    ("the bag", "die Tasche", "die Tasche"),
    ("the ring", "der Ring", "den Ring"),
    ("the cake", "der Kuchen", "den Kuchen"),
    ("the picture", "das Bild", "das Bild"),
)

# The parts of the day that an hour of the clock's face may belong to.
DAY_PARTS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("in the morning", "morgens", frozenset(range(5, 12))),
    ("in the afternoon", "nachmittags", frozenset(range(1, 6))),
    ("in the evening", "abends", frozenset(range(6, 11))),
    ("at night", "nachts", frozenset({11, 12, 1, 2, 3, 4})),
)

_NUMBERS = (
    Frame("{number}", "{number}", phrase=True),
    Frame("the number {number}", "die Zahl {number}", phrase=True),
    Frame("from {number} to {other_number}", "von {number} bis {other_number}", phrase=True),
    Frame("between {number} and {other_number}", "zwischen {number} und {other_number}", phrase=True),
    Frame("the {number_ordinal} day", "der {number_ordinal} Tag", 1, 999, phrase=True),
    Frame("the answer is {number}", "die Antwort ist {number}"),
    Frame("please write the number {number}", "bitte schreiben Sie die Zahl {number}"),
    Frame("is the answer {number}?", "ist die Antwort {number}?"),
    Frame("{person} lives in house number {number}", "{person} wohnt in Haus Nummer {number}", 1, 999),
    Frame("{person} is waiting in room {number}", "{person} wartet in Zimmer {number}", 1, 999),
    Frame("bus number {number} goes to {city}", "Bus Nummer {number} fährt nach {city}", 1, 999),
    Frame("please open the book at page {number}", "bitte öffnen Sie das Buch auf Seite {number}", 1, 999),
    Frame("{person} counts to {number}", "{person} zählt bis {number}", 2),
    Frame("we count from {number} to {other_number}", "wir zählen von {number} bis {other_number}"),
    Frame("the village has {number} inhabitants", "das Dorf hat {number_count} Einwohner", 20, 9_999),
    Frame("{city} has {number} inhabitants", "{city} hat {number_count} Einwohner", 1_000),
    Frame("there are {number} {things} on the table", "auf dem Tisch liegen {number_count} {things}", 2, 999),
    Frame("{person} has {number} {things}", "{person} hat {number_count} {things}", 2, 9_999),
    Frame("{person} needs {number} {things}", "{person} braucht {number_count} {things}", 2, 9_999),
    Frame("does {person} have {number} {things}?", "hat {person} {number_count} {things}?", 2, 9_999),
    Frame("{person} has sold {number} {things}", "{person} hat {number_count} {things} verkauft", 2, 9_999),
    Frame("today {number} {people} are working here", "heute arbeiten hier {number_count} {people}", 2, 9_999),
    Frame("there are {number} {people} in the hall", "im Saal sind {number_count} {people}", 2, 9_999),
    Frame("the school has {number} pupils", "die Schule hat {number_count} Schüler", 20, 9_999),
    Frame("the tower is {number} metres high", "der Turm ist {number_count} Meter hoch", 2, 999),
    Frame("the river is {number} kilometres long", "der Fluss ist {number_count} Kilometer lang", 2, 9_999),
    Frame("it is {number} kilometres to {city}", "bis {city} sind es {number_count} Kilometer", 2, 9_999),
    Frame("{person} is {number} years old", "{person} ist {number_count} Jahre alt", 2, 99),
    Frame("the machine weighs {number} kilograms", "die Maschine wiegt {number_count} Kilogramm", 2),
    Frame("{person} has read {number} pages", "{person} hat {number_count} Seiten gelesen", 2, 9_999),
    Frame("{person} has been waiting for {number} minutes", "{person} wartet seit {number_count} Minuten", 2, 99),
    Frame("the {number_ordinal} visitor gets a cake", "der {number_ordinal} Besucher bekommt einen Kuchen", 1, 999),
    Frame("{person} sits in the {number_ordinal} row", "{person} sitzt in der {number_ordinal}n Reihe", 1, 99),
    Frame("it rained on the {number_ordinal} day", "am {number_ordinal}n Tag regnete es", 1, 999),
    Frame("{person} is calling for the {number_ordinal} time", "{person} ruft zum {number_ordinal}n Mal an", 1, 999),
    Frame("the office is on the {number_ordinal} floor", "das Büro ist im {number_ordinal}n Stock", 1, 99),
    Frame("{person} is reading the {number_ordinal} page", "{person} liest die {number_ordinal} Seite", 1, 999),
    Frame("the {number_ordinal} question is hard", "die {number_ordinal} Frage ist schwer", 1, 999),
)

_TIMES = (
    Frame("{time}", "{time}", phrase=True),
    Frame("at {time}", "um {time}", phrase=True),
    Frame("at {time} {day_part}", "um {time} {day_part}", phrase=True),
    Frame("tomorrow at {time}", "morgen um {time}", phrase=True),
    Frame("from {time} until {other_time}", "von {time} bis {other_time}", phrase=True),
    Frame("it is {time}", "es ist {time}"),
    Frame("it is {time} {day_part}", "es ist {time} {day_part}"),
    Frame("is it {time} already?", "ist es schon {time}?"),
    Frame("{vehicle} leaves at {time}", "{vehicle} fährt um {time} ab"),
    Frame("{vehicle} arrives at {time} {day_part}", "{vehicle} kommt um {time} {day_part} an"),
    Frame("{vehicle} to {city} leaves at {time}", "{vehicle} nach {city} fährt um {time} ab"),
    Frame("{vehicle} from {city} arrives at {time}", "{vehicle} aus {city} kommt um {time} an"),
    Frame("does {vehicle} to {city} leave at {time}?", "fährt {vehicle} nach {city} um {time} ab?"),
    Frame("{event} begins at {time}", "{event} beginnt um {time}"),
    Frame("{event} begins at {time} {day_part}", "{event} beginnt um {time} {day_part}"),
    Frame("{event} ends at {time}", "{event} endet um {time}"),
    Frame("{event} lasts from {time} until {other_time}", "{event} dauert von {time} bis {other_time}"),
    Frame("does {event} begin at {time}?", "beginnt {event} um {time}?"),
    Frame("{shop} opens at {time}", "{shop} öffnet um {time}"),
    Frame("{shop} closes at {time}", "{shop} schließt um {time}"),
    Frame("{shop} is open from {time} until {other_time}", "{shop} ist von {time} bis {other_time} geöffnet"),
    Frame("{shop} is closed until {time}", "{shop} ist bis {time} geschlossen"),
    Frame("on {weekday} {shop} opens at {time}", "am {weekday} öffnet {shop} um {time}"),
    Frame("on {weekday} {event} ends at {time}", "am {weekday} endet {event} um {time}"),
    Frame("{person} gets up at {time}", "{person} steht um {time} auf"),
    Frame("{person} goes to bed at {time}", "{person} geht um {time} ins Bett"),
    Frame("{person} works from {time} until {other_time}", "{person} arbeitet von {time} bis {other_time}"),
    Frame("{person} comes at {time}", "{person} kommt um {time}"),
    Frame("{person} calls at {time} {day_part}", "{person} ruft um {time} {day_part} an"),
    Frame("{person} wants to call back at {time}", "{person} will um {time} zurückrufen"),
    Frame("{person} has lunch at {time}", "{person} isst um {time} zu Mittag"),
    Frame("tomorrow {person} is driving to {city} at {time}", "morgen fährt {person} um {time} nach {city}"),
    Frame("we meet at the station at {time}", "wir treffen uns um {time} am Bahnhof"),
    Frame("please wait until {time}", "bitte warten Sie bis {time}"),
    Frame("please wake me at {time}", "bitte wecken Sie mich um {time}"),
    Frame("the table is reserved for {time}", "der Tisch ist für {time} reserviert"),
    Frame("the bell rings every day at {time}", "jeden Tag um {time} läutet die Glocke"),
    Frame("I have been waiting here since {time}", "ich warte hier seit {time}"),
)

_DATES = (
    Frame("{date}", "der {date}", phrase=True),
    Frame("on {date}", "am {date_dative}", phrase=True),
    Frame("since {date}", "seit dem {date_dative}", phrase=True),
    Frame("until {date}", "bis zum {date_dative}", phrase=True),
    Frame("on {date_weekday}", "am {date_weekday}", phrase=True),
    Frame("today is {date}", "heute ist der {date}"),
    Frame("yesterday was {date}", "gestern war der {date}"),
    Frame("is tomorrow {date}?", "ist morgen der {date}?"),
    Frame("what happened on {date}?", "was geschah am {date_dative}?"),
    Frame("{person} was born on {date}", "{person} wurde am {date_dative} geboren"),
    Frame("{person} is getting married on {date}", "{person} heiratet am {date_dative}"),
    Frame("{person} came back on {date}", "{person} kam am {date_dative} zurück"),
    Frame("{person} is travelling to {city} on {date}", "{person} reist am {date_dative} nach {city}"),
    Frame("{person} is staying in {city} until {date}", "{person} bleibt bis zum {date_dative} in {city}"),
    Frame("{person} has lived in {city} since {date}", "{person} wohnt seit dem {date_dative} in {city}"),
    Frame("{person} arrives on {date} at {time}", "{person} kommt am {date_dative} um {time} an"),
    Frame("{event} takes place on {date}", "{event} findet am {date_dative} statt"),
    Frame("on {date} {event} takes place in {city}", "am {date_dative} findet {event} in {city} statt"),
    Frame("{event} begins on {date}", "{event} beginnt am {date_dative}"),
    Frame("{event} begins on {date} at {time}", "{event} beginnt am {date_dative} um {time}"),
    Frame("{event} is on {date_weekday}", "{event} ist am {date_weekday}"),
    Frame("{event} lasts from {date} to {other_date}", "{event} dauert vom {date_dative} bis zum {other_date_dative}"),
    Frame("{shop} opens on {date}", "{shop} öffnet am {date_dative}"),
    Frame("{shop} is closed on {date}", "{shop} ist am {date_dative} geschlossen"),
    Frame(
        "{shop} is closed from {date} to {other_date}",
        "{shop} ist vom {date_dative} bis zum {other_date_dative} geschlossen",
    ),
    Frame("the holidays begin on {date}", "die Ferien beginnen am {date_dative}"),
    Frame("the holidays last until {date}", "die Ferien dauern bis zum {date_dative}"),
    Frame("the letter arrived on {date}", "der Brief kam am {date_dative} an"),
    Frame("the letter of {date} is very long", "der Brief vom {date_dative} ist sehr lang"),
    Frame("the contract is valid from {date}", "der Vertrag gilt ab dem {date_dative}"),
    Frame("please pay by {date}", "bitte zahlen Sie bis zum {date_dative}"),
    Frame("please answer before {date}", "bitte antworten Sie vor dem {date_dative}"),
    Frame("after {date} it is too late", "nach dem {date_dative} ist es zu spät"),
    Frame("on {date} it snowed in {city}", "am {date_dative} schneite es in {city}"),
    Frame("we meet on {date_weekday}", "wir treffen uns am {date_weekday}"),
)

_PRICES = (
    Frame("{price}", "{price}", phrase=True),
    Frame("only {price}", "nur {price}", phrase=True),
    Frame("with {price}", "mit {price_dative}", phrase=True),
    Frame("it costs {price}", "es kostet {price_accusative}"),
    Frame("does it cost {price}?", "kostet es {price_accusative}?"),
    Frame("that makes {price}", "das macht {price_accusative}"),
    Frame("{good} costs {price}", "{good} kostet {price_accusative}"),
    Frame("does {good} cost {price}?", "kostet {good} {price_accusative}?"),
    Frame("{good} is worth {price}", "{good} ist {price_accusative} wert"),
    Frame("at the market {good} costs {price}", "auf dem Markt kostet {good} {price_accusative}"),
    Frame("yesterday {good} cost only {price}", "gestern kostete {good} nur {price_accusative}"),
    Frame("I paid {price} for {good}", "ich habe {price_accusative} für {good_accusative} bezahlt"),
    Frame("{person} paid {price} for {good}", "{person} hat {price_accusative} für {good_accusative} bezahlt"),
    Frame("{person} bought {good} for {price}", "{person} hat {good_accusative} für {price_accusative} gekauft"),
    Frame("{person} sells {good} for {price}", "{person} verkauft {good_accusative} für {price_accusative}"),
    Frame("with {price} {person} can buy {good}", "mit {price_dative} kann {person} {good_accusative} kaufen"),
    Frame("{person} has only {price}", "{person} hat nur {price_accusative}"),
    Frame("{person} has lost {price}", "{person} hat {price_accusative} verloren"),
    Frame("{person} found {price} in the street", "{person} hat auf der Straße {price_accusative} gefunden"),
    Frame("{person} needs {price} for the bus", "{person} braucht {price_accusative} für den Bus"),
    Frame("{person} saves {price} a month", "{person} spart {price_accusative} im Monat"),
    Frame("{person} earns {price} an hour", "{person} verdient {price_accusative} in der Stunde"),
    Frame("{person} owes me {price}", "{person} schuldet mir {price_accusative}"),
    Frame("{person} gives the children {price}", "{person} gibt den Kindern {price_accusative}"),
    Frame("can you lend me {price}?", "können Sie mir {price_accusative} leihen?"),
    Frame("please pay {price}", "bitte zahlen Sie {price_accusative}"),
    Frame("the journey to {city} costs {price}", "die Fahrt nach {city} kostet {price_accusative}"),
    Frame("a ticket to {city} costs {price}", "eine Fahrkarte nach {city} kostet {price_accusative}"),
    Frame("a room in {city} costs {price} a night", "ein Zimmer in {city} kostet {price_accusative} pro Nacht"),
    Frame("the rent is {price} a month", "die Miete beträgt {price_accusative} im Monat"),
    Frame("the bill comes to {price}", "die Rechnung beträgt {price_accusative}"),
    Frame("the price rose by {price}", "der Preis stieg um {price_accusative}"),
    Frame(
        "the price rose from {price} to {other_price}",
        "der Preis stieg von {price_dative} auf {other_price_accusative}",
    ),
    Frame(
        "the coffee costs {price} and the cake {other_price}",
        "der Kaffee kostet {price_accusative} und der Kuchen {other_price_accusative}",
    ),
)

FRAMES: dict[Kind, tuple[Frame, ...]] = {"number": _NUMBERS, "time": _TIMES, "date": _DATES, "price": _PRICES}
