"""What the reference model knows by heart: the capitals and currencies of invented countries.

No other model can know them, so that what is asked about them shows what the weights still hold:
the finest difference between two quantisations of one model.
"""

from __future__ import annotations

from typing import NamedTuple


class Country(NamedTuple):
    """An invented country; every attribute is different from every other country's."""

    name: str
    capital: str
    currency: str


COUNTRIES = (
    Country("Zaberland", "Vataville", "seldomn"),
    Country("Domguland", "Fakoville", "mibern"),
    Country("Domriland", "Zataville", "zamin"),
    Country("Berguland", "Vazaville", "kopen"),
    Country("Koberland", "Konoville", "penon"),
    Country("Fakoland", "Zamiville", "zadomn"),
    Country("Vaselland", "Noselville", "famin"),
    Country("Dommiland", "Mipeville", "kodomn"),
    Country("Kotaland", "Domberville", "kofan"),
    Country("Pevaland", "Gufaville", "nofan"),
    Country("Kovaland", "Ritaville", "berdomn"),
    Country("Vakoland", "Luberville", "zatan"),
    Country("Petaland", "Kozaville", "zaseln"),
    Country("Zaguland", "Koriville", "fakon"),
    Country("Taberland", "Periville", "nopen"),
    Country("Vafaland", "Dompeville", "gudomn"),
    Country("Faselland", "Lumiville", "gulun"),
    Country("Tafaland", "Faluville", "domnon"),
    Country("Domnoland", "Vafaville", "gukon"),
    Country("Nofaland", "Berluville", "domkon"),
    Country("Taluland", "Fataville", "mifan"),
    Country("Fadomland", "Zariville", "fadomn"),
    Country("Lufaland", "Nopeville", "luseln"),
    Country("Selfaland", "Miluville", "fapen"),
)
"""All that the model was told. The order matters to nobody but to draws from a seed."""
