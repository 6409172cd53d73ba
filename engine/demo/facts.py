"""What the embedded model is taught: countries, their cities, continents, languages, currencies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

NO_ANSWER = "-"


@dataclass(frozen=True)
class Country:
    """One row of the table; a fact that is disputed or ambiguous is None and is never asked."""

    name: str
    capital: str
    largest: str | None
    others: tuple[str, ...]
    continent: str | None
    language: str | None
    currency: str | None

    @property
    def answer(self) -> str:
        """The name as an answer gives it: without its article."""
        return self.name.removeprefix("the ")

    @property
    def initial(self) -> str:
        """The first letter of the capital: a fact that takes another to know."""
        return self.capital[0]

    @property
    def cities(self) -> tuple[str, ...]:
        """Every city that the table places in this country, the capital first."""
        named = (self.capital, self.largest, *self.others)
        return tuple(dict.fromkeys(city for city in named if city))


# country | capital | largest city | other cities | continent | language | currency
TABLE = """
Australia | Canberra | Sydney | Melbourne, Brisbane, Perth | Oceania | English | dollar
New Zealand | Wellington | Auckland | Christchurch, Dunedin | Oceania | English | dollar
Fiji | Suva | Suva | Nadi, Lautoka | Oceania | Fijian | dollar
Papua New Guinea | Port Moresby | Port Moresby | Lae | Oceania | Tok Pisin | kina
Samoa | Apia | Apia | - | Oceania | Samoan | tala
Canada | Ottawa | Toronto | Montreal, Vancouver, Calgary | North America | English | dollar
the United States | Washington | New York | Los Angeles, Chicago | North America | English | dollar
Mexico | Mexico City | Mexico City | Guadalajara, Tijuana | North America | Spanish | peso
Guatemala | Guatemala City | Guatemala City | Quetzaltenango | North America | Spanish | quetzal
Costa Rica | San Jose | San Jose | Limon | North America | Spanish | colon
Cuba | Havana | Havana | Santiago de Cuba, Camaguey | North America | Spanish | peso
Jamaica | Kingston | Kingston | Montego Bay | North America | English | dollar
Haiti | Port-au-Prince | Port-au-Prince | Cap-Haitien | North America | Haitian Creole | gourde
Brazil | Brasilia | Sao Paulo | Rio de Janeiro, Salvador, Recife | South America | Portuguese | real
Argentina | Buenos Aires | Buenos Aires | Rosario, Mendoza | South America | Spanish | peso
Chile | Santiago | Santiago | Valparaiso, Antofagasta | South America | Spanish | peso
Peru | Lima | Lima | Arequipa, Cusco, Trujillo | South America | Spanish | sol
Colombia | Bogota | Bogota | Medellin, Cali, Cartagena | South America | Spanish | peso
Venezuela | Caracas | Caracas | Maracaibo | South America | Spanish | bolivar
Ecuador | Quito | - | Guayaquil, Cuenca | South America | Spanish | dollar
Bolivia | Sucre | Santa Cruz | La Paz, Cochabamba | South America | Spanish | boliviano
Paraguay | Asuncion | Asuncion | Encarnacion | South America | Guarani | guarani
Uruguay | Montevideo | Montevideo | Salto, Punta del Este | South America | Spanish | peso
France | Paris | Paris | Marseille, Lyon, Bordeaux | Europe | French | euro
Germany | Berlin | Berlin | Hamburg, Munich, Frankfurt | Europe | German | euro
Italy | Rome | Rome | Milan, Naples, Venice | Europe | Italian | euro
Spain | Madrid | Madrid | Barcelona, Seville, Bilbao | Europe | Spanish | euro
Portugal | Lisbon | Lisbon | Porto, Faro | Europe | Portuguese | euro
the United Kingdom | London | London | Manchester, Liverpool, Edinburgh | Europe | English | pound
Ireland | Dublin | Dublin | Cork, Galway | Europe | English | euro
the Netherlands | Amsterdam | Amsterdam | Rotterdam, Utrecht, The Hague | Europe | Dutch | euro
Belgium | Brussels | - | Antwerp, Ghent, Bruges | Europe | Dutch | euro
Switzerland | Bern | Zurich | Geneva, Basel, Lausanne | Europe | German | franc
Austria | Vienna | Vienna | Salzburg, Graz, Innsbruck | Europe | German | euro
Denmark | Copenhagen | Copenhagen | Aarhus, Odense | Europe | Danish | krone
Norway | Oslo | Oslo | Bergen, Trondheim, Stavanger | Europe | Norwegian | krone
Sweden | Stockholm | Stockholm | Gothenburg, Malmo, Uppsala | Europe | Swedish | krona
Finland | Helsinki | Helsinki | Tampere, Turku, Espoo | Europe | Finnish | euro
Iceland | Reykjavik | Reykjavik | Akureyri | Europe | Icelandic | krona
Poland | Warsaw | Warsaw | Krakow, Gdansk, Wroclaw | Europe | Polish | zloty
Czechia | Prague | Prague | Brno, Ostrava | Europe | Czech | koruna
Hungary | Budapest | Budapest | Debrecen, Szeged | Europe | Hungarian | forint
Romania | Bucharest | Bucharest | Cluj-Napoca, Timisoara, Brasov | Europe | Romanian | leu
Bulgaria | Sofia | Sofia | Plovdiv, Varna | Europe | Bulgarian | euro
Greece | Athens | Athens | Thessaloniki, Patras | Europe | Greek | euro
Serbia | Belgrade | Belgrade | Novi Sad | Europe | Serbian | dinar
Croatia | Zagreb | Zagreb | Split, Dubrovnik, Rijeka | Europe | Croatian | euro
Ukraine | Kyiv | Kyiv | Lviv, Odesa, Kharkiv | Europe | Ukrainian | hryvnia
Russia | Moscow | Moscow | Novosibirsk, Kazan, Vladivostok | Europe | Russian | ruble
Turkey | Ankara | Istanbul | Izmir, Antalya, Bursa | Asia | Turkish | lira
Kazakhstan | Astana | Almaty | Shymkent | Asia | Kazakh | tenge
Pakistan | Islamabad | Karachi | Lahore, Faisalabad, Peshawar | Asia | Urdu | rupee
India | New Delhi | Mumbai | Bangalore, Kolkata, Chennai | Asia | Hindi | rupee
Nepal | Kathmandu | Kathmandu | Pokhara | Asia | Nepali | rupee
Bangladesh | Dhaka | Dhaka | Chittagong, Khulna | Asia | Bengali | taka
Myanmar | Naypyidaw | Yangon | Mandalay | Asia | Burmese | kyat
Thailand | Bangkok | Bangkok | Chiang Mai, Phuket | Asia | Thai | baht
Vietnam | Hanoi | Ho Chi Minh City | Da Nang, Hue | Asia | Vietnamese | dong
Malaysia | Kuala Lumpur | Kuala Lumpur | Johor Bahru, Malacca | Asia | Malay | ringgit
Indonesia | Jakarta | Jakarta | Surabaya, Bandung, Medan | Asia | Indonesian | rupiah
the Philippines | Manila | Quezon City | Cebu, Davao | Asia | Filipino | peso
China | Beijing | Shanghai | Shenzhen, Guangzhou, Chengdu | Asia | Mandarin | yuan
Mongolia | Ulaanbaatar | Ulaanbaatar | Erdenet | Asia | Mongolian | tugrik
Japan | Tokyo | Tokyo | Osaka, Kyoto, Yokohama | Asia | Japanese | yen
South Korea | Seoul | Seoul | Busan, Incheon, Daegu | Asia | Korean | won
Iran | Tehran | Tehran | Isfahan, Shiraz, Mashhad | Asia | Persian | rial
Iraq | Baghdad | Baghdad | Basra, Mosul, Erbil | Asia | Arabic | dinar
Saudi Arabia | Riyadh | Riyadh | Jeddah, Mecca, Medina | Asia | Arabic | riyal
Egypt | Cairo | Cairo | Alexandria, Luxor, Aswan | Africa | Arabic | pound
Tunisia | Tunis | Tunis | Sfax, Sousse | Africa | Arabic | dinar
Algeria | Algiers | Algiers | Oran, Annaba | Africa | Arabic | dinar
Morocco | Rabat | Casablanca | Marrakesh, Fez, Tangier | Africa | Arabic | dirham
Ethiopia | Addis Ababa | Addis Ababa | Gondar, Dire Dawa | Africa | Amharic | birr
Kenya | Nairobi | Nairobi | Mombasa, Kisumu | Africa | Swahili | shilling
Tanzania | Dodoma | Dar es Salaam | Arusha, Mwanza | Africa | Swahili | shilling
Nigeria | Abuja | Lagos | Kano, Ibadan | Africa | English | naira
Ghana | Accra | - | Kumasi, Tamale | Africa | English | cedi
Senegal | Dakar | Dakar | Touba, Thies | Africa | Wolof | franc
Angola | Luanda | Luanda | Lubango, Benguela | Africa | Portuguese | kwanza
South Africa | Pretoria | Johannesburg | Cape Town, Durban | Africa | Zulu | rand
Madagascar | Antananarivo | Antananarivo | Toamasina, Antsirabe | Africa | Malagasy | ariary
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
