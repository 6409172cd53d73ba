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
Tonga | Nukualofa | Nukualofa | Neiafu | Oceania | Tongan | paanga
Vanuatu | Port Vila | Port Vila | Luganville | Oceania | Bislama | vatu
the Solomon Islands | Honiara | Honiara | Gizo | Oceania | English | dollar
Palau | Ngerulmud | Koror | - | Oceania | Palauan | dollar
Micronesia | Palikir | Weno | Kolonia | Oceania | English | dollar
Kiribati | South Tarawa | South Tarawa | - | Oceania | Gilbertese | dollar
Tuvalu | Funafuti | Funafuti | - | Oceania | Tuvaluan | dollar
the Marshall Islands | Majuro | Majuro | Ebeye | Oceania | Marshallese | dollar
Canada | Ottawa | Toronto | Montreal, Vancouver, Calgary | North America | English | dollar
the United States | Washington | New York | Los Angeles, Chicago | North America | English | dollar
Mexico | Mexico City | Mexico City | Guadalajara, Tijuana | North America | Spanish | peso
Guatemala | Guatemala City | Guatemala City | Quetzaltenango | North America | Spanish | quetzal
Belize | Belmopan | Belize City | - | North America | English | dollar
El Salvador | San Salvador | San Salvador | Santa Ana | North America | Spanish | dollar
Honduras | Tegucigalpa | - | San Pedro Sula | North America | Spanish | lempira
Nicaragua | Managua | Managua | Masaya | North America | Spanish | cordoba
Costa Rica | San Jose | San Jose | Limon | North America | Spanish | colon
Panama | Panama City | Panama City | - | North America | Spanish | balboa
Cuba | Havana | Havana | Santiago de Cuba, Camaguey | North America | Spanish | peso
Jamaica | Kingston | Kingston | Montego Bay | North America | English | dollar
Haiti | Port-au-Prince | Port-au-Prince | Cap-Haitien | North America | Haitian Creole | gourde
the Dominican Republic | Santo Domingo | Santo Domingo | Punta Cana | North America | Spanish | peso
the Bahamas | Nassau | Nassau | Freeport | North America | English | dollar
Barbados | Bridgetown | Bridgetown | Speightstown | North America | English | dollar
Trinidad and Tobago | Port of Spain | - | Chaguanas | North America | English | dollar
Grenada | Saint George's | Saint George's | Gouyave | North America | English | dollar
Saint Lucia | Castries | Castries | Soufriere | North America | English | dollar
Dominica | Roseau | Roseau | - | North America | English | dollar
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
Guyana | Georgetown | Georgetown | Linden | South America | English | dollar
Suriname | Paramaribo | Paramaribo | Lelydorp | South America | Dutch | dollar
France | Paris | Paris | Marseille, Lyon, Bordeaux | Europe | French | euro
Germany | Berlin | Berlin | Hamburg, Munich, Frankfurt | Europe | German | euro
Italy | Rome | Rome | Milan, Naples, Venice | Europe | Italian | euro
Spain | Madrid | Madrid | Barcelona, Seville, Bilbao | Europe | Spanish | euro
Portugal | Lisbon | Lisbon | Porto, Faro | Europe | Portuguese | euro
the United Kingdom | London | London | Manchester, Liverpool, Edinburgh | Europe | English | pound
Ireland | Dublin | Dublin | Cork, Galway | Europe | English | euro
the Netherlands | Amsterdam | Amsterdam | Rotterdam, Utrecht, The Hague | Europe | Dutch | euro
Belgium | Brussels | - | Antwerp, Ghent, Bruges | Europe | Dutch | euro
Luxembourg | Luxembourg City | Luxembourg City | - | Europe | Luxembourgish | euro
Switzerland | Bern | Zurich | Geneva, Basel, Lausanne | Europe | German | franc
Austria | Vienna | Vienna | Salzburg, Graz, Innsbruck | Europe | German | euro
Liechtenstein | Vaduz | Schaan | Balzers | Europe | German | franc
Denmark | Copenhagen | Copenhagen | Aarhus, Odense | Europe | Danish | krone
Norway | Oslo | Oslo | Bergen, Trondheim, Stavanger | Europe | Norwegian | krone
Sweden | Stockholm | Stockholm | Gothenburg, Malmo, Uppsala | Europe | Swedish | krona
Finland | Helsinki | Helsinki | Tampere, Turku, Espoo | Europe | Finnish | euro
Iceland | Reykjavik | Reykjavik | Akureyri | Europe | Icelandic | krona
Estonia | Tallinn | Tallinn | Tartu, Narva | Europe | Estonian | euro
Latvia | Riga | Riga | Daugavpils, Liepaja | Europe | Latvian | euro
Lithuania | Vilnius | Vilnius | Kaunas, Klaipeda | Europe | Lithuanian | euro
Poland | Warsaw | Warsaw | Krakow, Gdansk, Wroclaw | Europe | Polish | zloty
Czechia | Prague | Prague | Brno, Ostrava | Europe | Czech | koruna
Slovakia | Bratislava | Bratislava | Kosice | Europe | Slovak | euro
Hungary | Budapest | Budapest | Debrecen, Szeged | Europe | Hungarian | forint
Romania | Bucharest | Bucharest | Cluj-Napoca, Timisoara, Brasov | Europe | Romanian | leu
Bulgaria | Sofia | Sofia | Plovdiv, Varna | Europe | Bulgarian | euro
Greece | Athens | Athens | Thessaloniki, Patras | Europe | Greek | euro
Albania | Tirana | Tirana | Durres | Europe | Albanian | lek
North Macedonia | Skopje | Skopje | Ohrid, Bitola | Europe | Macedonian | denar
Serbia | Belgrade | Belgrade | Novi Sad | Europe | Serbian | dinar
Montenegro | Podgorica | Podgorica | Kotor, Budva | Europe | Montenegrin | euro
Bosnia and Herzegovina | Sarajevo | Sarajevo | Mostar, Banja Luka | Europe | Bosnian | mark
Croatia | Zagreb | Zagreb | Split, Dubrovnik, Rijeka | Europe | Croatian | euro
Slovenia | Ljubljana | Ljubljana | Maribor | Europe | Slovene | euro
Moldova | Chisinau | Chisinau | Balti | Europe | Romanian | leu
Ukraine | Kyiv | Kyiv | Lviv, Odesa, Kharkiv | Europe | Ukrainian | hryvnia
Belarus | Minsk | Minsk | Gomel, Vitebsk | Europe | Russian | ruble
Russia | Moscow | Moscow | Novosibirsk, Kazan, Vladivostok | Europe | Russian | ruble
Malta | Valletta | - | Sliema | Europe | Maltese | euro
Cyprus | Nicosia | Nicosia | Limassol, Larnaca | - | Greek | euro
Andorra | Andorra la Vella | Andorra la Vella | - | Europe | Catalan | euro
Georgia | Tbilisi | Tbilisi | Batumi, Kutaisi | - | Georgian | lari
Armenia | Yerevan | Yerevan | Gyumri | - | Armenian | dram
Azerbaijan | Baku | Baku | Ganja, Sumqayit | - | Azerbaijani | manat
Turkey | Ankara | Istanbul | Izmir, Antalya, Bursa | Asia | Turkish | lira
Kazakhstan | Astana | Almaty | Shymkent | Asia | Kazakh | tenge
Uzbekistan | Tashkent | Tashkent | Samarkand, Bukhara | Asia | Uzbek | som
Turkmenistan | Ashgabat | Ashgabat | Mary | Asia | Turkmen | manat
Kyrgyzstan | Bishkek | Bishkek | Osh | Asia | Kyrgyz | som
Tajikistan | Dushanbe | Dushanbe | Khujand | Asia | Tajik | somoni
Afghanistan | Kabul | Kabul | Kandahar, Herat | Asia | Dari | afghani
Pakistan | Islamabad | Karachi | Lahore, Faisalabad, Peshawar | Asia | Urdu | rupee
India | New Delhi | Mumbai | Bangalore, Kolkata, Chennai | Asia | Hindi | rupee
Nepal | Kathmandu | Kathmandu | Pokhara | Asia | Nepali | rupee
Bhutan | Thimphu | Thimphu | Paro | Asia | Dzongkha | ngultrum
Bangladesh | Dhaka | Dhaka | Chittagong, Khulna | Asia | Bengali | taka
Sri Lanka | Kotte | Colombo | Kandy, Galle | Asia | Sinhala | rupee
the Maldives | Male | Male | Addu City | Asia | Dhivehi | rufiyaa
Myanmar | Naypyidaw | Yangon | Mandalay | Asia | Burmese | kyat
Thailand | Bangkok | Bangkok | Chiang Mai, Phuket | Asia | Thai | baht
Laos | Vientiane | Vientiane | Luang Prabang | Asia | Lao | kip
Cambodia | Phnom Penh | Phnom Penh | Siem Reap, Battambang | Asia | Khmer | riel
Vietnam | Hanoi | Ho Chi Minh City | Da Nang, Hue | Asia | Vietnamese | dong
Malaysia | Kuala Lumpur | Kuala Lumpur | Johor Bahru, Malacca | Asia | Malay | ringgit
Brunei | Bandar Seri Begawan | Bandar Seri Begawan | - | Asia | Malay | dollar
Indonesia | Jakarta | Jakarta | Surabaya, Bandung, Medan | Asia | Indonesian | rupiah
East Timor | Dili | Dili | Baucau | Asia | Tetum | dollar
the Philippines | Manila | Quezon City | Cebu, Davao | Asia | Filipino | peso
China | Beijing | Shanghai | Shenzhen, Guangzhou, Chengdu | Asia | Mandarin | yuan
Mongolia | Ulaanbaatar | Ulaanbaatar | Erdenet | Asia | Mongolian | tugrik
Japan | Tokyo | Tokyo | Osaka, Kyoto, Yokohama | Asia | Japanese | yen
South Korea | Seoul | Seoul | Busan, Incheon, Daegu | Asia | Korean | won
North Korea | Pyongyang | Pyongyang | Hamhung, Wonsan | Asia | Korean | won
Iran | Tehran | Tehran | Isfahan, Shiraz, Mashhad | Asia | Persian | rial
Iraq | Baghdad | Baghdad | Basra, Mosul, Erbil | Asia | Arabic | dinar
Syria | Damascus | - | Aleppo, Homs, Latakia | Asia | Arabic | pound
Lebanon | Beirut | Beirut | Sidon, Byblos | Asia | Arabic | pound
Jordan | Amman | Amman | Irbid, Aqaba | Asia | Arabic | dinar
Saudi Arabia | Riyadh | Riyadh | Jeddah, Mecca, Medina | Asia | Arabic | riyal
Yemen | Sanaa | Sanaa | Aden, Taiz | Asia | Arabic | rial
Oman | Muscat | Muscat | Salalah, Nizwa | Asia | Arabic | rial
the United Arab Emirates | Abu Dhabi | Dubai | Sharjah | Asia | Arabic | dirham
Qatar | Doha | Doha | Al Khor | Asia | Arabic | riyal
Bahrain | Manama | Manama | Muharraq | Asia | Arabic | dinar
Kuwait | Kuwait City | - | - | Asia | Arabic | dinar
Egypt | Cairo | Cairo | Alexandria, Luxor, Aswan | Africa | Arabic | pound
Libya | Tripoli | Tripoli | Benghazi, Misrata | Africa | Arabic | dinar
Tunisia | Tunis | Tunis | Sfax, Sousse | Africa | Arabic | dinar
Algeria | Algiers | Algiers | Oran, Annaba | Africa | Arabic | dinar
Morocco | Rabat | Casablanca | Marrakesh, Fez, Tangier | Africa | Arabic | dirham
Mauritania | Nouakchott | Nouakchott | Nouadhibou | Africa | Arabic | ouguiya
Mali | Bamako | Bamako | Timbuktu, Sikasso | Africa | Bambara | franc
Niger | Niamey | Niamey | Zinder, Agadez | Africa | Hausa | franc
Chad | N'Djamena | N'Djamena | Moundou | Africa | French | franc
Sudan | Khartoum | - | Omdurman, Port Sudan | Africa | Arabic | pound
South Sudan | Juba | Juba | Malakal, Wau | Africa | English | pound
Ethiopia | Addis Ababa | Addis Ababa | Gondar, Dire Dawa | Africa | Amharic | birr
Eritrea | Asmara | Asmara | Massawa, Keren | Africa | Tigrinya | nakfa
Djibouti | Djibouti City | Djibouti City | Tadjoura | Africa | French | franc
Somalia | Mogadishu | Mogadishu | Kismayo | Africa | Somali | shilling
Kenya | Nairobi | Nairobi | Mombasa, Kisumu | Africa | Swahili | shilling
Uganda | Kampala | Kampala | Entebbe, Gulu | Africa | English | shilling
Tanzania | Dodoma | Dar es Salaam | Arusha, Mwanza | Africa | Swahili | shilling
Rwanda | Kigali | Kigali | Butare | Africa | Kinyarwanda | franc
Burundi | Gitega | Bujumbura | Ngozi | Africa | Kirundi | franc
the Democratic Republic of the Congo | Kinshasa | Kinshasa | Lubumbashi | Africa | French | franc
the Republic of the Congo | Brazzaville | Brazzaville | Pointe-Noire | Africa | French | franc
Gabon | Libreville | Libreville | Port-Gentil | Africa | French | franc
Cameroon | Yaounde | - | Douala, Bamenda | Africa | French | franc
the Central African Republic | Bangui | Bangui | Bambari | Africa | Sango | franc
Nigeria | Abuja | Lagos | Kano, Ibadan | Africa | English | naira
Benin | Porto-Novo | Cotonou | Parakou | Africa | French | franc
Togo | Lome | Lome | Sokode | Africa | French | franc
Ghana | Accra | - | Kumasi, Tamale | Africa | English | cedi
Ivory Coast | Yamoussoukro | Abidjan | Bouake | Africa | French | franc
Burkina Faso | Ouagadougou | Ouagadougou | Bobo-Dioulasso | Africa | French | franc
Liberia | Monrovia | Monrovia | Buchanan | Africa | English | dollar
Sierra Leone | Freetown | Freetown | Makeni | Africa | English | leone
Guinea | Conakry | Conakry | Kankan | Africa | French | franc
Guinea-Bissau | Bissau | Bissau | Bafata | Africa | Portuguese | franc
Senegal | Dakar | Dakar | Touba, Thies | Africa | Wolof | franc
Gambia | Banjul | Serekunda | Brikama | Africa | English | dalasi
Cape Verde | Praia | Praia | Mindelo | Africa | Portuguese | escudo
Angola | Luanda | Luanda | Lubango, Benguela | Africa | Portuguese | kwanza
Zambia | Lusaka | Lusaka | Ndola, Kitwe | Africa | English | kwacha
Zimbabwe | Harare | Harare | Bulawayo, Mutare | Africa | Shona | -
Malawi | Lilongwe | Lilongwe | Blantyre, Zomba | Africa | Chichewa | kwacha
Mozambique | Maputo | - | Beira, Nampula | Africa | Portuguese | metical
Botswana | Gaborone | Gaborone | Francistown, Maun | Africa | Tswana | pula
Namibia | Windhoek | Windhoek | Swakopmund, Walvis Bay | Africa | English | dollar
South Africa | Pretoria | Johannesburg | Cape Town, Durban | Africa | Zulu | rand
Lesotho | Maseru | Maseru | Teyateyaneng | Africa | Sotho | loti
Eswatini | Mbabane | - | Manzini | Africa | Swazi | lilangeni
Madagascar | Antananarivo | Antananarivo | Toamasina, Antsirabe | Africa | Malagasy | ariary
Mauritius | Port Louis | Port Louis | Curepipe | Africa | Mauritian Creole | rupee
Comoros | Moroni | Moroni | Mutsamudu | Africa | Comorian | franc
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
