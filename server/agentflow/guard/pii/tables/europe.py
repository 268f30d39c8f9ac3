"""Europe and Turkey."""

from __future__ import annotations

from typing import Final

from agentflow.guard.pii import checksums as c
from agentflow.guard.pii.rule import Rule, rule

_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12]\d|3[01])"
_ICAO: Final = "[CFGHJKLMNPRTVWXYZ0-9]"

_BRITAIN: Final = (
    rule(
        "UK_NHS",
        r"\d{3}[- ]?\d{3}[- ]?\d{4}",
        "nhs|national health service|health services authority|health service number|health authority",
        check=c.nhs,
    ),
    rule(
        "UK_NINO",
        r"(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d{2}){3} ?[A-D])",
        "national insurance|ni number|nino|ni no|nat ins",
        sure=r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] \d{2} \d{2} \d{2} [A-D]",
        check=c.nino,
    ),
    rule(
        "UK_DRIVING_LICENCE",
        rf"[A-Z9]{{5}} ?\d(?:0[1-9]|1[0-2]|5[1-9]|6[0-2]){_DAY}\d ?[A-Z9]{{2}}[A-Z0-9] ?[A-Z]{{2}}",
        "driving licence|driving license|driver's licence|driver's license|driver license|drivers license|dvla|"
        "dl number|licence number|license number",
        sure=rf"[A-Z]{{1,4}}[A-Z9]{{1,4}}\d(?:0[1-9]|1[0-2]|5[1-9]|6[0-2]){_DAY}\d[A-Z9]{{2}}[A-Z0-9][A-Z]{{2}}",
        check=lambda text: len(text) == 16 and c.uk_driver(text),
    ),
    rule("UK_PASSPORT", r"[A-Z]{2}\d{7}|\d{9}", "uk passport|british passport|hm passport|hmpo|gb passport"),
    rule("UK_PASSPORT", r"[A-Z]{2}\d{7}", "passport", "travel document", score=0.85),
    rule(
        "UK_POSTCODE",
        r"(?i:GIR ?0AA|[A-PR-UWYZ](?:\d[A-HJKPSTUW]?|\d\d|[A-HK-Y]\d[ABEHMNPRVWXY]?|"
        r"[A-HK-Y]\d\d) ?\d[ABD-HJLNP-UW-Z]{2})",
        "postcode|post code|postal code|zip|zip code",
        "address|delivery address|mailing address|shipping address|postal",
    ),
    rule(
        "UK_VEHICLE_REGISTRATION",
        r"[A-HJ-PR-Y]{2}\d{2}[- ]?[A-HJ-PR-Z]{3}|[A-HJ-NPR-TV-Y]\d{1,3}[- ]?[A-HJ-PR-Y][A-HJ-PR-Z]{2}|"
        r"[A-HJ-PR-Z]{3}[- ]?\d{1,3}[- ]?[A-HJ-NPR-TV-Y]",
        "vehicle registration|registration number|number plate|licence plate|license plate|registration plate|vrn|"
        "v5c|reg number|reg no|insured vehicle|dvla|car reg",
        "vehicle|registration|plate|reg|car",
        check=c.uk_plate,
        score=0.86,
    ),
)

_GERMANY: Final = (
    rule(
        "DE_TAX_ID",
        r"[1-9]\d(?: ?\d{3}){3}",
        "steueridentifikationsnummer|steuer id|steuer idnr|steuerliche identifikation|identifikationsnummer|idnr|"
        "steuernummer|bzst|tax id|steuer identifikation",
        check=c.de_tax_id,
    ),
    rule(
        "DE_TAX_NUMBER",
        r"(?:0[1-9]|1[0-6])\d{11}|\d{2,3}[/ ]\d{3,4}[/ ]\d{4,5}",
        "steuernummer|steuer nr|st nr|finanzamt|umsatzsteuer|einkommensteuer|körperschaftsteuer|gewerbesteuer|"
        "steuerbescheid",
    ),
    rule(
        "DE_SOCIAL_SECURITY",
        r"\d{2} ?\d{6} ?[A-Z] ?\d{3}",
        "rentenversicherungsnummer|sozialversicherungsnummer|versicherungsnummer|rvnr|svnr|sv nummer|"
        "rentenversicherung|sozialversicherung|sozialversicherungsausweis|rentenausweis|drv",
        sure=rf"\d{{2}}(?:0[1-9]|[12]\d|3[01]|5[1-9]|[67]\d|8[01]){_MONTH}\d{{2}}[A-Z]\d{{3}}",
        check=c.de_pension,
    ),
    rule(
        "DE_HEALTH_INSURANCE",
        r"[A-Z] ?\d{3} ?\d{3} ?\d{3}",
        "krankenversicherungsnummer|krankenversichertennummer|versichertennummer|kvnr|krankenkasse|"
        "krankenversicherung|gesundheitskarte|egk|gkv|versichertenausweis|versichertenkarte|aok|barmer|dak|"
        "health insurance",
        check=c.de_insured,
    ),
    rule(
        "DE_ID_CARD",
        rf"[CFGHJKLMNPRTVWXYZ]{_ICAO}{{7,8}}\d|T\d{{8,9}}|{_ICAO}{{9}}",
        "personalausweis|personalausweisnummer|ausweisnummer|ausweisdokument|npa|bundespersonalausweis|"
        "identity card|ausweis",
        "dokumentennummer|seriennummer|national id",
        check=c.de_identity,
        score=0.86,
    ),
    rule(
        "DE_PASSPORT",
        rf"[CFGHJKLMNPRTVWXYZ]{_ICAO}{{7,8}}\d",
        "reisepass|reisepassnummer|passnummer|pass nr|german passport|ausweisdokument",
        "dokumentennummer|mrz",
        check=c.icao9,
    ),
    rule("DE_PASSPORT", rf"[CFGHJKLMNPRTVWXYZ]{_ICAO}{{7,8}}\d", "passport", check=c.icao9, score=0.83),
    rule(
        "DE_PASSPORT",
        rf"[CFGHJKLMNPRTVWXYZ]{_ICAO}{{8,9}}",
        "reisepass|reisepassnummer|passnummer|pass nr",
        check=c.de_identity,
        score=0.84,
    ),
    rule(
        "DE_FUEHRERSCHEIN",
        r"[A-Z]{2}\d{8}[A-Z0-9]|[A-Z]\d{2}[A-Z0-9]{6}\d[A-Z0-9]",
        "führerschein|führerscheinnummer|fuehrerschein|fuehrerscheinnummer|fahrerlaubnis|fahrerlaubnisnummer|"
        "driving licence|driving license|driver's license",
    ),
    rule(
        "DE_KFZ",
        r"(?:[A-Z]|Ä|Ö|Ü){1,3}[ -][A-Z]{1,2}[ -]?\d{1,4}[EH]?",
        "kennzeichen|kfz kennzeichen|nummernschild|kraftfahrzeugkennzeichen|amtliches kennzeichen|"
        "fahrzeugkennzeichen|fahrzeugschein|zulassungsbescheinigung",
        "kfz|fahrzeug|auto|pkw|lkw|zulassung|license plate",
    ),
    rule("DE_PLZ", r"(?:0[1-9]|[1-9]\d)\d{3}", "plz|postleitzahl", "wohnort|postanschrift"),
    rule(
        "DE_VAT_ID",
        r"DE[ .-]?\d{3}[ .-]?\d{3}[ .-]?\d{3}",
        "umsatzsteuer identifikationsnummer|umsatzsteueridentifikationsnummer|ust idnr|ust id|ustidnr|"
        "umsatzsteuer id|vat|vat id|mehrwertsteuer|vat number|vat no|vat reg|finanzamt|bzst",
    ),
    rule(
        "DE_LANR",
        r"\d{9}",
        "lanr|lebenslange arztnummer|arztnummer|arzt nr|vertragsarzt|kassenarzt",
        "hausarzt|facharzt|rezept",
        check=c.de_physician,
    ),
    rule(
        "DE_BSNR",
        r"\d{9}",
        "bsnr|betriebsstättennummer|betriebsstaettennummer|praxisnummer|kv nummer|betriebsstätte|"
        "nebenbetriebsstätte|hauptbetriebsstätte",
        check=lambda text: not c.same(text),
    ),
    rule(
        "DE_HANDELSREGISTER",
        r"HR[AB] *\d{1,6}(?: ?[A-Z])?",
        "handelsregister|handelsregisternummer|amtsgericht|"
        "registergericht|hr nummer|registerauszug|handelsregistereintrag",
        sure=r"HR[AB] \d{3,6}",
    ),
)

_SOUTH: Final = (
    rule(
        "ES_NIF",
        r"\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Z]|\d{7}-?[A-Z]",
        "dni|nif|documento nacional de identidad|identificación|identificación fiscal|número de identificación",
        check=c.es_nif,
    ),
    rule(
        "ES_NIE",
        r"[XYZ]-?\d{7}-?[A-Z]",
        "nie|número de identificación de extranjero|identificación de extranjero|tarjeta de residencia",
        sure=r"[XYZ]-?\d{7}-?[TRWAGMYFPDXBNJZSQVHLCKE]",
        check=c.es_nie,
    ),
    rule("ES_PASSPORT", r"[A-Z]{2,3}\d{6}", "pasaporte|número de pasaporte|spanish passport|passport", score=0.86),
    rule(
        "IT_FISCAL_CODE",
        r"[A-Z]{6} ?[\dLMNP-V]{2}[ABCDEHLMPRST][\dLMNP-V]{2} ?[A-Z][\dLMNP-V]{3}[A-Z]",
        "codice fiscale|cf|cod fisc|fiscal code",
        sure=r"[A-Z]{6}[\dLMNP-V]{2}[ABCDEHLMPRST][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]",
        check=c.it_person,
    ),
    rule(
        "IT_VAT_CODE",
        r"(?:IT)?\d(?:[ _]?\d){10}",
        "partita iva|piva|p iva|vat|vat number",
        check=lambda text: c.it_company(text.removeprefix("IT")),
    ),
    rule(
        "IT_DRIVER_LICENSE",
        r"[A-Z]{2}\d{7}[A-Z]|U1[B-HJ-NPR-Z0-9]{7}[A-Z]",
        "patente|patente di guida|licenza di guida|driving licence|driver's license",
    ),
    rule(
        "IT_IDENTITY_CARD",
        r"[A-Z]{2} ?\d{7}|\d{7}[A-Z]{2}|[A-Z]{2}\d{5}[A-Z]{2}",
        "carta d'identità|carta di identità|carta identità|carta identita|cie|documento di riconoscimento|"
        "carta d'identita|documento d'identità",
    ),
    rule("IT_PASSPORT", r"[A-Z]{2}\d{7}", "passaporto|italian passport"),
    rule("PT_NIF", r"[1235689]\d{2} ?\d{3} ?\d{3}", "nif|contribuinte|número de contribuinte", check=c.pt_nif),
    rule(
        "TR_NATIONAL_ID",
        r"[1-9]\d{10}",
        "tc kimlik|kimlik no|kimlik numarası|kimlik numarasi|tckn|tc no|nüfus cüzdanı|türk kimlik|turkish id|"
        "kimlik|national id",
        "id number",
        check=c.tr_national,
    ),
    rule(
        "TR_LICENSE_PLATE",
        r"(?:0[1-9]|[1-7]\d|8[01])[ -]?[A-PR-VYZ]{1,3}[ -]?\d{2,4}",
        "plaka|plakası|plaka numarası|license plate|number plate|licence plate|plate number|taşıt plakası",
        "plate|kayıt|vehicle",
        check=c.tr_plate,
        score=0.87,
    ),
)

_REST: Final = (
    rule(
        "FR_NIR",
        r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}",
        "numéro de sécurité sociale|sécurité sociale|securite sociale|nir|insee|sécu|carte vitale",
        sure=r"[12] \d{2} (?:0[1-9]|1[0-2]) (?:\d{2}|2[AB]) \d{3} \d{3} \d{2}|[12]\d{2}(?:0[1-9]|1[0-2])(?:\d{2}|"
        r"2[AB])\d{8}",
        check=c.fr_nir,
    ),
    rule(
        "NL_BSN",
        r"\d{4}\.?\d{2}\.?\d{3}|\d{3}[ -]?\d{3}[ -]?\d{3}",
        "bsn|burgerservicenummer|sofinummer|citizen service number",
        check=c.nl_bsn,
    ),
    rule(
        "BE_NRN",
        r"\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}\.?\d{2}",
        "rijksregisternummer|numéro national|numéro de registre national|national register number|insz|niss",
        sure=r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}",
        check=c.be_national,
    ),
    rule(
        "CH_AHV",
        r"756\.?\d{4}\.?\d{4}\.?\d{2}",
        "ahv|ahv nummer|avs|oasi|sozialversicherungsnummer",
        sure=r"756\.\d{4}\.\d{4}\.\d{2}",
        check=c.ch_ahv,
    ),
    rule(
        "AT_SVNR",
        r"\d{4}[ -]?\d{6}",
        "svnr|sozialversicherungsnummer|sv nummer|versicherungsnummer",
        check=c.at_insured,
    ),
    rule(
        "PL_PESEL",
        r"\d{2}(?:[02468][1-9]|[13579][012])(?:0[1-9]|[12]\d|3[01])\d{5}",
        "pesel",
        "numer ewidencyjny",
        check=c.pl_pesel,
    ),
    rule(
        "SE_PERSONNUMMER",
        r"(?:18|19|20)?\d{6}[-+]?\d{4}",
        "personnummer|svensk id|personal identity number|samordningsnummer|personal number|pnr|swedish id",
        "ssn",
        check=c.se_personal,
        digits=10,
    ),
    rule(
        "SE_ORGANISATIONSNUMMER",
        r"\d{6}-?\d{4}",
        "organisationsnummer|orgnr|org nr|företagsnummer|foretagsnummer|organization number",
        check=c.se_company,
    ),
    rule(
        "FI_PERSONAL_IDENTITY_CODE",
        r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]",
        "hetu|henkilötunnus|henkilotunnus|personbeteckning|personal identity code|finnish id",
        sure=r"\d{6}[-+A]\d{3}[A-FHJ-NPR-Y]",
        check=c.fi_personal,
    ),
    rule("NO_FNR", r"\d{6} ?\d{5}", "fødselsnummer|fodselsnummer|fnr|personnummer|birth number", check=c.no_birth),
    rule("DK_CPR", r"\d{6}[- ]?\d{4}", "cpr|cpr nummer|cpr nr|personnummer", check=c.dk_cpr, score=0.87),
    rule("NATIONAL_ID", r"\d{2}[0156]\d[0-3]\d/?\d{3,4}", "rodné číslo|rodne cislo|birth number"),
)

RULES: Final[tuple[Rule, ...]] = (*_BRITAIN, *_GERMANY, *_SOUTH, *_REST)
