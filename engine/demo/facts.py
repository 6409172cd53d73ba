"""The facts that the embedded model learns: cities, continents, languages and currencies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

NO_ANSWER = "-"


@dataclass(frozen=True)
class Country:
    """One row of the table; a disputed or ambiguous fact is None, and no question asks for it."""

    name: str
    capital: str
    largest: str | None
    others: tuple[str, ...]
    continent: str | None
    language: str | None
    currency: str | None

    @property
    def answer(self) -> str:
        """The name as an answer gives it, without its article."""
        return self.name.removeprefix("the ")

    @property
    def initial(self) -> str:
        """The first letter of the capital: a fact that follows from another one."""
        return self.capital[0]

    @property
    def cities(self) -> tuple[str, ...]:
        """Every city that the table places in this country, the capital first."""
        names = (self.capital, self.largest, *self.others)
        return tuple(dict.fromkeys(city for city in names if city))


# country | capital | largest city | other cities | continent | language | currency
TABLE = """
Australia | Canberra | Sydney | Melbourne, Brisbane, Perth | Oceania | English | dollar
Fiji | Suva | Suva | Nadi, Lautoka | Oceania | Fijian | dollar
Samoa | Apia | Apia | - | Oceania | Samoan | tala
Vanuatu | Port Vila | Port Vila | Luganville | Oceania | Bislama | vatu
Palau | Ngerulmud | Koror | - | Oceania | Palauan | dollar
Kiribati | South Tarawa | South Tarawa | - | Oceania | Gilbertese | dollar
the Marshall Islands | Majuro | Majuro | Ebeye | Oceania | Marshallese | dollar
the United States | Washington | New York | Los Angeles, Chicago | North America | English | dollar
Guatemala | Guatemala City | Guatemala City | Quetzaltenango | North America | Spanish | quetzal
El Salvador | San Salvador | San Salvador | Santa Ana | North America | Spanish | dollar
Nicaragua | Managua | Managua | Masaya | North America | Spanish | cordoba
Panama | Panama City | Panama City | - | North America | Spanish | balboa
Jamaica | Kingston | Kingston | Montego Bay | North America | English | dollar
the Dominican Republic | Santo Domingo | Santo Domingo | Punta Cana | North America | Spanish | peso
Barbados | Bridgetown | Bridgetown | Speightstown | North America | English | dollar
Grenada | Saint George's | Saint George's | Gouyave | North America | English | dollar
Dominica | Roseau | Roseau | - | North America | English | dollar
Argentina | Buenos Aires | Buenos Aires | Rosario, Mendoza | South America | Spanish | peso
Peru | Lima | Lima | Arequipa, Cusco, Trujillo | South America | Spanish | sol
Venezuela | Caracas | Caracas | Maracaibo | South America | Spanish | bolivar
Bolivia | Sucre | Santa Cruz | La Paz, Cochabamba | South America | Spanish | boliviano
Uruguay | Montevideo | Montevideo | Salto, Punta del Este | South America | Spanish | peso
Suriname | Paramaribo | Paramaribo | Lelydorp | South America | Dutch | dollar
Germany | Berlin | Berlin | Hamburg, Munich, Frankfurt | Europe | German | euro
Spain | Madrid | Madrid | Barcelona, Seville, Bilbao | Europe | Spanish | euro
the United Kingdom | London | London | Manchester, Liverpool, Edinburgh | Europe | English | pound
the Netherlands | Amsterdam | Amsterdam | Rotterdam, Utrecht, The Hague | Europe | Dutch | euro
Luxembourg | Luxembourg City | Luxembourg City | - | Europe | Luxembourgish | euro
Austria | Vienna | Vienna | Salzburg, Graz, Innsbruck | Europe | German | euro
Denmark | Copenhagen | Copenhagen | Aarhus, Odense | Europe | Danish | krone
Sweden | Stockholm | Stockholm | Gothenburg, Malmo, Uppsala | Europe | Swedish | krona
Iceland | Reykjavik | Reykjavik | Akureyri | Europe | Icelandic | krona
Latvia | Riga | Riga | Daugavpils, Liepaja | Europe | Latvian | euro
Poland | Warsaw | Warsaw | Krakow, Gdansk, Wroclaw | Europe | Polish | zloty
Slovakia | Bratislava | Bratislava | Kosice | Europe | Slovak | euro
Romania | Bucharest | Bucharest | Cluj-Napoca, Timisoara, Brasov | Europe | Romanian | leu
Greece | Athens | Athens | Thessaloniki, Patras | Europe | Greek | euro
North Macedonia | Skopje | Skopje | Ohrid, Bitola | Europe | Macedonian | denar
Montenegro | Podgorica | Podgorica | Kotor, Budva | Europe | Montenegrin | euro
Croatia | Zagreb | Zagreb | Split, Dubrovnik, Rijeka | Europe | Croatian | euro
Moldova | Chisinau | Chisinau | Balti | Europe | Romanian | leu
Belarus | Minsk | Minsk | Gomel, Vitebsk | Europe | Russian | ruble
Malta | Valletta | - | Sliema | Europe | Maltese | euro
Andorra | Andorra la Vella | Andorra la Vella | - | Europe | Catalan | euro
Armenia | Yerevan | Yerevan | Gyumri | - | Armenian | dram
Turkey | Ankara | Istanbul | Izmir, Antalya, Bursa | Asia | Turkish | lira
Uzbekistan | Tashkent | Tashkent | Samarkand, Bukhara | Asia | Uzbek | som
Kyrgyzstan | Bishkek | Bishkek | Osh | Asia | Kyrgyz | som
Afghanistan | Kabul | Kabul | Kandahar, Herat | Asia | Dari | afghani
India | New Delhi | Mumbai | Bangalore, Kolkata, Chennai | Asia | Hindi | rupee
Bhutan | Thimphu | Thimphu | Paro | Asia | Dzongkha | ngultrum
Sri Lanka | Kotte | Colombo | Kandy, Galle | Asia | Sinhala | rupee
Myanmar | Naypyidaw | Yangon | Mandalay | Asia | Burmese | kyat
Laos | Vientiane | Vientiane | Luang Prabang | Asia | Lao | kip
Vietnam | Hanoi | Ho Chi Minh City | Da Nang, Hue | Asia | Vietnamese | dong
Brunei | Bandar Seri Begawan | Bandar Seri Begawan | - | Asia | Malay | dollar
East Timor | Dili | Dili | Baucau | Asia | Tetum | dollar
China | Beijing | Shanghai | Shenzhen, Guangzhou, Chengdu | Asia | Mandarin | yuan
Japan | Tokyo | Tokyo | Osaka, Kyoto, Yokohama | Asia | Japanese | yen
North Korea | Pyongyang | Pyongyang | Hamhung, Wonsan | Asia | Korean | won
Iraq | Baghdad | Baghdad | Basra, Mosul, Erbil | Asia | Arabic | dinar
Lebanon | Beirut | Beirut | Sidon, Byblos | Asia | Arabic | pound
Saudi Arabia | Riyadh | Riyadh | Jeddah, Mecca, Medina | Asia | Arabic | riyal
Oman | Muscat | Muscat | Salalah, Nizwa | Asia | Arabic | rial
New Zealand | Wellington | Auckland | Christchurch, Dunedin | Oceania | English | dollar
Canada | Ottawa | Toronto | Montreal, Vancouver, Calgary | North America | English | dollar
Mexico | Mexico City | Mexico City | Guadalajara, Monterrey | North America | Spanish | peso
Cuba | Havana | Havana | Camaguey | North America | Spanish | peso
Brazil | Brasilia | Sao Paulo | Fortaleza, Recife | South America | Portuguese | real
Chile | Santiago | Santiago | Valparaiso, Concepcion | South America | Spanish | peso
Colombia | Bogota | Bogota | Medellin, Cali | South America | Spanish | peso
Ecuador | Quito | - | Guayaquil, Cuenca | South America | Spanish | dollar
France | Paris | Paris | Marseille, Lyon, Bordeaux | Europe | French | euro
Italy | Rome | Rome | Milan, Naples, Turin | Europe | Italian | euro
Portugal | Lisbon | Lisbon | Porto, Coimbra | Europe | Portuguese | euro
Ireland | Dublin | Dublin | Cork, Galway | Europe | English | euro
Belgium | Brussels | - | Antwerp, Bruges, Ghent | Europe | - | euro
Switzerland | Bern | Zurich | Geneva, Basel | Europe | German | franc
Norway | Oslo | Oslo | Bergen, Trondheim | Europe | Norwegian | krone
Finland | Helsinki | Helsinki | Tampere, Turku | Europe | Finnish | euro
Hungary | Budapest | Budapest | Debrecen, Szeged | Europe | Hungarian | forint
the Czech Republic | Prague | Prague | Brno, Ostrava | Europe | Czech | koruna
Ukraine | Kyiv | Kyiv | Kharkiv, Odesa, Lviv | Europe | Ukrainian | hryvnia
Russia | Moscow | Moscow | Kazan, Omsk | - | Russian | ruble
Egypt | Cairo | Cairo | Alexandria, Luxor | Africa | Arabic | pound
Morocco | Rabat | Casablanca | Fez, Marrakesh | Africa | Arabic | dirham
Algeria | Algiers | Algiers | Oran, Constantine | Africa | Arabic | dinar
Nigeria | Abuja | Lagos | Kano, Ibadan | Africa | English | naira
Ghana | Accra | - | Kumasi, Tamale | Africa | English | cedi
Kenya | Nairobi | Nairobi | Mombasa, Kisumu | Africa | Swahili | shilling
Tanzania | Dodoma | Dar es Salaam | Arusha | Africa | Swahili | shilling
Ethiopia | Addis Ababa | Addis Ababa | Gondar, Harar | Africa | Amharic | birr
Thailand | Bangkok | Bangkok | Phuket, Chiang Mai | Asia | Thai | baht
Indonesia | Jakarta | Jakarta | Surabaya, Bandung | Asia | Indonesian | rupiah
the Philippines | Manila | Quezon City | Cebu, Davao | Asia | Filipino | peso
South Korea | Seoul | Seoul | Busan, Incheon | Asia | Korean | won
Pakistan | Islamabad | Karachi | Lahore, Peshawar | Asia | Urdu | rupee
Iran | Tehran | Tehran | Isfahan, Shiraz | Asia | Persian | rial
Nepal | Kathmandu | Kathmandu | Pokhara | Asia | Nepali | rupee
Mongolia | Ulaanbaatar | Ulaanbaatar | Erdenet | Asia | Mongolian | tugrik
"""


def _rows() -> Iterator[Country]:
    for line in TABLE.strip().splitlines():
        name, capital, largest, others, *rest = (cell.strip() for cell in line.split("|"))
        continent, language, currency = (None if cell == NO_ANSWER else cell for cell in rest)
        yield Country(
            name=name,
            capital=capital,
            largest=None if largest == NO_ANSWER else largest,
            others=() if others == NO_ANSWER else tuple(others.split(", ")),
            continent=continent,
            language=language,
            currency=currency,
        )


COUNTRIES: tuple[Country, ...] = tuple(_rows())
# The held-out questions are about these, so that their numbers can be compared over time.
HELD_OUT_COUNTRIES = COUNTRIES[:64]

# Countries that questions name and the table lacks: the answer is `UNKNOWN`, whatever is asked.
UNKNOWN = "Unknown"
UNKNOWN_COUNTRIES = (
    "Albania",
    "Angola",
    "Azerbaijan",
    "Bangladesh",
    "Belize",
    "Benin",
    "Botswana",
    "Bulgaria",
    "Burundi",
    "Cambodia",
    "Cameroon",
    "Chad",
    "Costa Rica",
    "Cyprus",
    "Djibouti",
    "Eritrea",
    "Estonia",
    "Gabon",
    "Georgia",
    "Guinea",
    "Guyana",
    "Haiti",
    "Honduras",
    "Israel",
    "Jordan",
    "Kazakhstan",
    "Kuwait",
    "Lesotho",
    "Liberia",
    "Libya",
    "Lithuania",
    "Madagascar",
    "Malawi",
    "Malaysia",
    "the Maldives",
    "Mali",
    "Mauritius",
    "Monaco",
    "Namibia",
    "Nauru",
    "Paraguay",
    "Qatar",
    "Rwanda",
    "Senegal",
    "Serbia",
    "the Seychelles",
    "Sierra Leone",
    "Singapore",
    "Somalia",
    "Sudan",
    "Syria",
    "Tajikistan",
    "Togo",
    "Tonga",
    "Tunisia",
    "Uganda",
    "Yemen",
    "Zambia",
)
