"""The settings that maths problems are told in."""

from __future__ import annotations

from typing import NamedTuple

PEOPLE = (
    "Ana", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hassan", "Irina", "Jonas",
    "Kemal", "Lucia", "Marek", "Nadia", "Oscar", "Petra", "Rafael", "Sofia", "Tomas", "Vera",
)  # fmt: skip


class Ledger(NamedTuple):
    """A stock that goes up and down: `{n}` is a number, `{name}` a person."""

    opening: str
    label: str
    """What the steps are counted in."""
    ups: tuple[str, ...]
    downs: tuple[str, ...]
    question: str
    thing: str


LEDGERS = (
    Ledger(
        "{name} drives a bus. At the depot {n} people get on.",
        "Stop",
        ("{n} people get on", "{n} pupils get on", "{n} visitors get on"),
        ("{n} people get off", "{n} workers get off", "{n} tourists get off"),
        "How many people are on the bus at the end?",
        "people",
    ),
    Ledger(
        "{name} runs a bakery. At first there are {n} loaves on the shelf.",
        "Hour",
        ("{n} loaves come out of the oven", "{n} loaves are brought in"),
        ("{n} loaves are sold", "{n} loaves go to a hotel"),
        "How many loaves are on the shelf at the end?",
        "loaves",
    ),
    Ledger(
        "{name} looks after a small library. At first there are {n} books on the cart.",
        "Day",
        ("{n} books are returned", "{n} books are donated"),
        ("{n} books are borrowed", "{n} books are put away"),
        "How many books are on the cart at the end?",
        "books",
    ),
    Ledger(
        "{name} watches a water tank. At first it holds {n} litres.",
        "Hour",
        ("{n} litres flow in", "{n} litres of rain are added"),
        ("{n} litres flow out", "{n} litres are used in the garden"),
        "How many litres are in the tank at the end?",
        "litres",
    ),
    Ledger(
        "{name} keeps a savings jar. At first there are {n} coins in it.",
        "Week",
        ("{n} coins are put in", "{n} coins are earned"),
        ("{n} coins are taken out", "{n} coins are spent"),
        "How many coins are in the jar at the end?",
        "coins",
    ),
    Ledger(
        "{name} guards a car park. At first {n} cars are parked there.",
        "Hour",
        ("{n} cars arrive", "{n} vans arrive"),
        ("{n} cars leave", "{n} vans leave"),
        "How many cars and vans are parked there at the end?",
        "cars and vans",
    ),
    Ledger(
        "{name} works in a warehouse. At first there are {n} boxes in the hall.",
        "Day",
        ("{n} boxes are delivered", "{n} boxes are packed"),
        ("{n} boxes are shipped", "{n} boxes are sent back"),
        "How many boxes are in the hall at the end?",
        "boxes",
    ),
    Ledger(
        "{name} counts birds at a lake. At first there are {n} birds on the water.",
        "Hour",
        ("{n} birds land", "{n} ducks land"),
        ("{n} birds fly away", "{n} ducks fly away"),
        "How many birds are on the water at the end?",
        "birds",
    ),
    Ledger(
        "{name} plays a board game. The game starts with {n} points.",
        "Round",
        ("{n} points are won", "{n} points come from a bonus card"),
        ("{n} points are lost", "{n} points are paid as a fine"),
        "How many points are there at the end?",
        "points",
    ),
    Ledger(
        "{name} runs a hire shop by the sea. At first {n} boats are at the pier.",
        "Hour",
        ("{n} boats come back", "{n} boats are repaired"),
        ("{n} boats are hired", "{n} boats are moved away"),
        "How many boats are at the pier at the end?",
        "boats",
    ),
    Ledger(
        "{name} grows plants. At first there are {n} pots in the greenhouse.",
        "Day",
        ("{n} pots are planted", "{n} pots are bought"),
        ("{n} pots are sold", "{n} pots are given away"),
        "How many pots are in the greenhouse at the end?",
        "pots",
    ),
    Ledger(
        "{name} climbs stairs for sport and starts on stair {n} of a tower.",
        "Minute",
        ("{n} stairs are climbed", "{n} stairs are run up"),
        ("{n} stairs are walked down", "{n} stairs are run down"),
        "On which stair does the climb end?",
        "stairs",
    ),
)


class Table(NamedTuple):
    """Rows of two numbers whose products are added up."""

    opening: str
    header: tuple[str, str, str]
    items: tuple[str, ...]
    question: str
    thing: str


TABLES = (
    Table(
        "{name} buys food at the market. The list shows how many of each were bought and the "
        "price of one in dollars.",
        ("item", "number", "price"),
        ("apples", "bread", "cheese", "eggs", "fish", "honey", "melons", "onions", "rice", "tea",
         "milk", "soap"),
        "How many dollars does {name} pay in all?",
        "dollars",
    ),
    Table(
        "{name} plants a garden. The list shows the rows of each kind and the plants in a row.",
        ("kind", "rows", "plants"),
        ("beans", "carrots", "kale", "leeks", "mint", "peas", "roses", "salad", "tulips", "thyme",
         "basil", "corn"),
        "How many plants does {name} need in all?",
        "plants",
    ),
    Table(
        "{name} packs parcels. The list shows how many there are of each kind and the weight of "
        "one in kilos.",
        ("parcel", "number", "weight"),
        ("books", "clocks", "cups", "games", "lamps", "plates", "shoes", "tools", "toys", "vases",
         "coats", "maps"),
        "How many kilos do the parcels weigh in all?",
        "kilos",
    ),
    Table(
        "{name} books a school trip. The list shows the groups of each kind and the seats that a "
        "group needs.",
        ("kind", "groups", "seats"),
        ("choir", "club", "band", "drama", "chess", "sports", "garden", "science", "art", "dance",
         "staff", "guests"),
        "How many seats does {name} book in all?",
        "seats",
    ),
    Table(
        "{name} counts points of a league. The list shows the wins of each team and the points "
        "for a win on its field.",
        ("team", "wins", "points"),
        ("Reds", "Blues", "Greens", "Lions", "Hawks", "Bears", "Wolves", "Foxes", "Stars", "Kings",
         "Owls", "Rams"),
        "How many points did the teams win in all?",
        "points",
    ),
)  # fmt: skip


class Sequence(NamedTuple):
    """Equal growth from one term to the next: `{first}`, `{more}` and `{last}` are numbers."""

    opening: str
    label: str
    question: str
    thing: str


SEQUENCES = (
    Sequence(
        "{name} sets up chairs for a play. Row 1 has {first} chairs, and each row has {more} "
        "chairs more than the row before. There are {last} rows.",
        "Row",
        "How many chairs are there in all?",
        "chairs",
    ),
    Sequence(
        "{name} trains for a race. In week 1 the run is {first} km long, and each week it is "
        "{more} km longer than the week before. The training takes {last} weeks.",
        "Week",
        "How many km does {name} run in all?",
        "km",
    ),
    Sequence(
        "{name} stacks bricks for a wall. Layer 1 has {first} bricks, and each layer has {more} "
        "bricks more than the layer before. The wall has {last} layers.",
        "Layer",
        "How many bricks are in the wall?",
        "bricks",
    ),
    Sequence(
        "{name} learns words of a new language. On day 1 there are {first} new words, and each "
        "day there are {more} words more than the day before. The course takes {last} days.",
        "Day",
        "How many words does {name} learn in all?",
        "words",
    ),
)


class Schedule(NamedTuple):
    """Tasks done one after another, each with its minutes."""

    opening: str
    tasks: tuple[str, ...]
    question: str


SCHEDULES = (
    Schedule(
        "{name} cooks dinner and does one task after another. The list shows the minutes of each.",
        (
            "wash the rice", "cut the onions", "peel the carrots", "heat the pan",
            "fry the onions", "boil the water", "cook the rice", "make the sauce",
            "warm the plates", "slice the bread", "mix the salad", "taste the sauce",
            "set the table", "clean the pan", "serve the food", "light the candles",
        ),
        "How many minutes does the dinner take in all?",
    ),
    Schedule(
        "{name} services bikes and does one task after another. The list shows the minutes of "
        "each.",
        (
            "wash the frame", "check the brakes", "fill the tyres", "oil the chain",
            "test the lights", "set the saddle", "tighten the bolts", "turn the wheels",
            "clean the gears", "change a cable", "mend a tube", "wipe the rims",
            "file the papers", "call the owner", "pack the tools", "sweep the floor",
        ),
        "How many minutes does the service take in all?",
    ),
    Schedule(
        "{name} opens a shop and does one task after another. The list shows the minutes of each.",
        (
            "open the door", "switch on the lights", "count the cash", "sweep the floor",
            "read the mail", "fill the shelves", "print the prices", "sort the fruit",
            "check the milk", "water the flowers", "clean the window", "start the till",
            "brew the coffee", "hang the sign", "call the baker", "greet the team",
        ),
        "How many minutes does the opening take in all?",
    ),
)  # fmt: skip

HINTS = (
    "Take your time.",
    "Work neatly.",
    "Be careful.",
    "No step may be left out.",
    "Use whole numbers only.",
    "Keep the order of the list.",
    "Do not round any number.",
    "Show every calculation, even an easy one.",
    "Begin each line with its label.",
    "Check each result before you go on.",
    "Use the result of one line in the next line.",
    "Write the numbers with digits and not with words.",
    "A reader must be able to follow you without the problem.",
    "The result is never negative and never a fraction.",
    "Somebody who has not seen the problem will check your work.",
    "Marks are given for the steps as well as for the result.",
    "If a line looks wrong, correct it before the next one is written.",
    "You need no calculator, because all the numbers are small.",
    "All that is needed is in the problem, and nothing in it is a trick.",
    "Do not repeat the problem, and do not add remarks after the answer.",
)
