"""The words that invented annual reports are made of."""

from __future__ import annotations

from typing import NamedTuple

NAME_STARTS = (
    "Vel", "Kas", "Bren", "Hal", "Tor", "Mar", "Ost", "Lin", "Fal", "Ren",
    "Sol", "Quin", "Dar", "Nor", "Pel", "Gav", "Ulm", "Wes", "Zan", "Cor",
)  # fmt: skip
NAME_ENDS = (
    "tora", "mere", "dale", "vik", "ano", "stead", "gard", "lund", "wick", "ora",
    "ford", "ley", "mont", "bury", "ris", "holm", "ton", "via", "rand", "field",
)  # fmt: skip
FORMS = ("Group", "Industries", "Holdings", "Works", "Systems", "Partners")
PLACES = (
    "Ardenholm", "Brackwater", "Cawdale", "Dunmere", "Eastry", "Fenwold",
    "Garrick Bay", "Hollin Cross", "Istria Park", "Jarrow Hill",
)  # fmt: skip
CURRENCIES = ("USD", "EUR", "GBP", "CHF", "CAD")
SCALES = ("million", "million", "thousand")
PRODUCTS = (
    "packaging", "bearings", "coatings", "filters", "pumps", "sensors", "textiles", "glass",
    "tools", "lighting", "paper", "cables", "valves", "furniture", "motors", "plastics",
    "chemicals", "software", "logistics", "foods",
)  # fmt: skip
REGIONS = (
    "Northern", "Southern", "Eastern", "Western", "Central", "Coastal", "Alpine", "Baltic",
    "Pacific", "Atlantic", "Nordic", "Iberian", "Andean", "Caspian", "Adriatic", "Island",
    "Inland", "Metro", "Export", "Overseas",
)  # fmt: skip
PEOPLE = (
    "Ada Brook", "Ben Castor", "Cora Dune", "Dan Ekberg", "Eva Frost", "Finn Garland",
    "Gita Holm", "Hugo Ivers", "Ines Jarvis", "Jon Keller", "Kira Lund", "Leo Marsh",
    "Mina North", "Nils Oakes", "Olga Pryce", "Paul Quist",
)  # fmt: skip
FIRMS = (
    "Brook and Lane", "Carver Audit", "Dyson Ledger", "Elm Street Partners", "Fairway Trust",
    "Granite Mutual", "Harbor and Sons", "Ivory Counsel", "Juniper Law", "Keystone Bank",
    "Larch Insurance", "Meridian Advisers",
)  # fmt: skip


class NoteKind(NamedTuple):
    """One kind of note: its title, the figures it states with their range, and its prose."""

    title: str
    figures: tuple[tuple[str, int, int], ...]
    names: tuple[tuple[str, tuple[str, ...]], ...]
    prose: tuple[str, ...]


SEGMENT_FIGURES = (
    ("revenue", 40, 990),
    ("operating income", 5, 240),
    ("assets", 50, 980),
    ("capital expenditure", 3, 130),
    ("order book", 20, 700),
    ("employees", 30, 2900),
    ("research spending", 1, 80),
)
"""What a segment page states, with ranges; the label is the segment's name and this."""

COUNTED = (
    "employees",
    "Number of customers",
    "Shares outstanding",
    "Treasury shares",
    "Share options granted",
    "Board meetings",
    "Production sites",
    "Emission allowances",
    "Legal claims pending",
)
"""Ends of labels that stand for a number of things and not for an amount of money."""

NOTES = (
    NoteKind(
        "Employees",
        (
            ("Average number of employees", 240, 9800),
            ("Wages and salaries", 60, 900),
            ("Training expense", 3, 60),
        ),
        (),
        (
            "Most employees work in production and customer service.",
            "The number of employees is an average over the twelve months of the year.",
            "Temporary staff are not included.",
        ),
    ),
    NoteKind(
        "Pensions",
        (
            ("Pension plan assets", 90, 950),
            ("Pension obligation", 110, 990),
            ("Pension contributions", 6, 80),
        ),
        (),
        (
            "The plans are closed to new members.",
            "Plan assets are held by an independent trustee.",
            "The obligation is measured once a year by an actuary.",
        ),
    ),
    NoteKind(
        "Leases",
        (
            ("Lease liabilities", 40, 700),
            ("Right of use assets", 35, 690),
            ("Variable lease payments", 2, 45),
        ),
        (("Largest lease", PLACES),),
        (
            "The company leases offices, warehouses and vehicles.",
            "Leases of one year or less are expensed as they fall due.",
        ),
    ),
    NoteKind(
        "Income tax",
        (
            ("Current tax", 20, 400),
            ("Deferred tax liabilities", 15, 380),
            ("Tax loss carryforwards", 10, 420),
        ),
        (),
        (
            "Tax is computed at the rates in force at the end of the year.",
            "No tax authority had raised an open claim when the report was signed.",
        ),
    ),
    NoteKind(
        "Borrowings",
        (
            ("Bank loans", 50, 900),
            ("Bonds outstanding", 60, 990),
            ("Undrawn credit lines", 30, 600),
        ),
        (("Lead bank", FIRMS),),
        (
            "All covenants were met at each test date.",
            "The credit lines can be drawn at two days of notice.",
        ),
    ),
    NoteKind(
        "Inventories by kind",
        (
            ("Raw materials", 20, 400),
            ("Work in progress", 10, 300),
            ("Finished goods", 25, 480),
        ),
        (),
        (
            "Inventories are stated at the lower of cost and net realisable value.",
            "Slow moving stock was reviewed in the fourth quarter.",
        ),
    ),
    NoteKind(
        "Provisions",
        (
            ("Warranty provision", 5, 120),
            ("Restructuring provision", 4, 150),
            ("Environmental provision", 3, 90),
        ),
        (),
        (
            "A provision is made when a payment is likely and can be estimated.",
            "The timing of the payments is uncertain.",
        ),
    ),
    NoteKind(
        "Customers",
        (
            ("Number of customers", 120, 9900),
            ("Overdue receivables", 4, 140),
            ("Customer deposits", 6, 160),
        ),
        (),
        (
            "No single customer stands for more than a tenth of the total.",
            "Credit limits are reviewed every quarter.",
        ),
    ),
    NoteKind(
        "Share capital",
        (
            ("Shares outstanding", 80, 980),
            ("Treasury shares", 2, 75),
            ("Share options granted", 1, 60),
        ),
        (),
        (
            "Each share carries one vote.",
            "The board may buy back shares until the next general meeting.",
        ),
    ),
    NoteKind(
        "Audit and insurance",
        (("Audit fees", 2, 40), ("Insurance premiums", 3, 70)),
        (("Auditor", FIRMS), ("Insurance carrier", FIRMS)),
        ("The audit committee met six times.", "Insurance covers buildings and liability."),
    ),
    NoteKind(
        "Board of directors",
        (("Board compensation", 2, 45), ("Board meetings", 4, 19)),
        (("Chair of the board", PEOPLE), ("Chief financial officer", PEOPLE)),
        ("All directors stand for election every year.",),
    ),
    NoteKind(
        "Energy and sites",
        (
            ("Production sites", 3, 60),
            ("Energy expense", 8, 190),
            ("Emission allowances", 1, 55),
        ),
        (("Newest site", PLACES),),
        ("The sites are inspected by an outside engineer.",),
    ),
    NoteKind(
        "Related parties",
        (("Sales to associates", 5, 130), ("Loans to associates", 4, 110)),
        (),
        (
            "Transactions with associates are made at market terms.",
            "No loans were made to directors.",
        ),
    ),
    NoteKind(
        "Legal matters",
        (("Legal claims pending", 2, 48), ("Settlements paid", 1, 70)),
        (("Outside counsel", FIRMS),),
        ("Management does not expect a material loss from these claims.",),
    ),
)

TITLES = ("Management discussion", "Markets", "Operations", "Risks", "Outlook", "Strategy")

OUTLOOK = (
    "Demand for {product} was strong in the {region} markets.",
    "Prices of raw materials fell in the second half of the year.",
    "The order book grew, mostly in {product}.",
    "Management expects stable margins next year.",
    "A new line for {product} was opened near {place}.",
    "Freight costs returned to normal levels.",
    "The {region} markets were weaker than planned.",
    "Currency movements had little effect on the result.",
    "The company kept its policy of paying out a third of its profit.",
    "Customers in {product} ordered earlier than usual.",
    "The plant near {place} ran at full capacity until autumn.",
    "Competition in {product} increased, and some prices were lowered.",
    "Two small acquisitions were completed in the {region} region.",
    "The main risk is a slow recovery of the {region} markets.",
    "Energy was bought in advance for most of the next year.",
    "Service contracts made up for lower sales of {product}.",
    "The warehouse in {place} was closed and its stock moved.",
    "Research work was focused on {product} with a longer life.",
)

REMARKS = (
    "Audited.",
    "Figures are rounded.",
    "There were no restatements.",
    "Terms are defined in the glossary.",
    "The notes are part of the report.",
    "The board approved the report in March.",
    "Rounding differences may occur in the totals.",
    "Estimates are reviewed at the end of each quarter.",
    "The report was prepared on a going concern basis.",
    "Amounts of the year before are shown for comparison.",
    "Internal controls were tested and found to be effective.",
    "No events after the year end require a change of the figures.",
    "The accounting policies are the same as in the year before.",
    "Statements about the future are subject to risks and may not come true.",
    "Foreign subsidiaries are translated at the average rate of the year.",
    "A copy of the report can be ordered from the investor relations office.",
    "Subsidiaries are included from the day on which control was obtained.",
    "The general meeting will be held at the head office in May.",
)
