//! The rows. A new code is added here and nowhere else.

use super::{Entry, Phrase};
use crate::oauth::error::Class;

/// A refusal of this identity's request that a person must mend.
const REFUSAL: Entry = Entry {
    code: None,
    text: None,
    class: Class::Permanent,
    whole_client: false,
    clock: false,
    cause: Phrase { en: "", nb: "" },
    fix: Phrase { en: "", nb: "" },
};

/// A refusal that every grant of the client would meet.
const CLIENT: Entry = Entry { whole_client: true, ..REFUSAL };

/// The clocks differ.
const CLOCK: Entry = Entry { class: Class::AtOnce, clock: true, ..REFUSAL };

/// Every refusal that is known, those with codes in the order of their codes.
pub const TABLE: &[Entry] = &[
    Entry {
        code: Some("MP-011"),
        cause: Phrase { en: "a parameter of the grant is invalid", nb: "en parameter i grantet er ugyldig" },
        fix: Phrase {
            en: "look for a typo or a stray newline in the configured scopes, resource or consumer_org",
            nb: "se etter en skrivefeil eller et løst linjeskift i scopes, resource eller consumer_org",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-012"),
        class: Class::AtOnce,
        cause: Phrase { en: "the grant has been used before", nb: "grantet er brukt før" },
        fix: Phrase {
            en: "each attempt is signed anew, so it mends itself; if it lasts, something resends our requests",
            nb: "hvert forsøk signeres på nytt, så det retter seg selv; varer det, er det noe som gjentar forespørslene",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-100"),
        cause: Phrase {
            en: "the client was not found, or could not be authenticated",
            nb: "klienten finnes ikke, eller kunne ikke autentiseres",
        },
        fix: Phrase {
            en: "check client_id and environment: a client made in test does not exist in prod, nor the reverse",
            nb: "sjekk client_id og environment: en klient laget i test finnes ikke i prod, og omvendt",
        },
        ..CLIENT
    },
    Entry {
        code: Some("MP-110"),
        cause: Phrase {
            en: "the grant's audience (aud) is not this Maskinporten",
            nb: "grantets mottaker (aud) er ikke denne Maskinporten",
        },
        fix: Phrase {
            en: "the issuer belongs to the other environment or is mistyped; it ends in a slash",
            nb: "issuer hører til det andre miljøet eller er feilskrevet; den slutter med skråstrek",
        },
        ..CLIENT
    },
    Entry {
        code: Some("MP-120"),
        cause: Phrase { en: "the certificate is not valid here", nb: "sertifikatet er ikke gyldig her" },
        fix: Phrase {
            en: "use a business certificate that is neither expired nor revoked, a test one in test and a \
                 production one in prod",
            nb: "bruk et virksomhetssertifikat som verken er utløpt eller tilbakekalt, testsertifikat i test og \
                 produksjonssertifikat i prod",
        },
        ..CLIENT
    },
    Entry {
        code: Some("MP-121"),
        cause: Phrase {
            en: "the key registered on the client has expired",
            nb: "nøkkelen som er registrert på klienten, er utløpt",
        },
        fix: Phrase {
            en: "registered keys live for one year: register the key again, or a new one",
            nb: "registrerte nøkler lever ett år: registrer nøkkelen på nytt, eller en ny",
        },
        ..CLIENT
    },
    Entry {
        code: Some("MP-122"),
        cause: Phrase {
            en: "the certificate's organisation number is not the client's",
            nb: "organisasjonsnummeret i sertifikatet er ikke klientens",
        },
        fix: Phrase {
            en: "use the certificate of the organisation that owns the client",
            nb: "bruk sertifikatet til organisasjonen som eier klienten",
        },
        ..CLIENT
    },
    Entry {
        code: Some("MP-123"),
        cause: Phrase {
            en: "the certificate chain (x5c) is invalid",
            nb: "sertifikatkjeden (x5c) er ugyldig",
        },
        fix: Phrase {
            en: "check that the keystore holds the certificate and its chain; `key inspect` shows what it holds",
            nb: "sjekk at nøkkellageret har sertifikatet med kjede; `key inspect` viser hva det inneholder",
        },
        ..CLIENT
    },
    Entry {
        code: Some("MP-124"),
        cause: Phrase { en: "the grant's signature is invalid", nb: "signaturen på grantet er ugyldig" },
        fix: Phrase {
            en: "the key does not belong to the certificate or the kid: check alias and kid",
            nb: "nøkkelen hører ikke til sertifikatet eller kid: sjekk alias og kid",
        },
        ..CLIENT
    },
    Entry {
        code: Some("MP-130"),
        cause: Phrase {
            en: "the grant had expired when it arrived: this machine's clock is behind",
            nb: "grantet var utløpt da det kom fram: klokka på denne maskinen går etter",
        },
        fix: Phrase {
            en: "set the clock (NTP); until then the difference is corrected for where Maskinporten tells its time",
            nb: "still klokka (NTP); imens korrigeres avviket når Maskinporten oppgir tiden",
        },
        ..CLOCK
    },
    Entry {
        code: Some("MP-200"),
        cause: Phrase {
            en: "the client does not have a scope that was asked for",
            nb: "klienten har ikke et scope som det ble spurt om",
        },
        fix: Phrase {
            en: "add the scope to the client in the self-service, and check its spelling",
            nb: "legg scopet til på klienten i selvbetjeningen, og sjekk stavemåten",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-201"),
        cause: Phrase {
            en: "the scope cannot be asked for from Maskinporten",
            nb: "scopet kan ikke hentes fra Maskinporten",
        },
        fix: Phrase {
            en: "the client has the wrong integration type for the scope; it must be a Maskinporten client",
            nb: "klienten har feil integrasjonstype for scopet; den må være en Maskinporten-klient",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-250"),
        cause: Phrase {
            en: "the consumer has no access to the scope",
            nb: "konsumenten har ikke tilgang til scopet",
        },
        fix: Phrase {
            en: "the API's owner must grant the organisation access to the scope",
            nb: "API-eieren må gi organisasjonen tilgang til scopet",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-251"),
        cause: Phrase {
            en: "the scope is not delegated to the supplier",
            nb: "scopet er ikke delegert til leverandøren",
        },
        fix: Phrase {
            en: "the consumer must delegate the scope in Altinn; delegations in test and prod are separate",
            nb: "konsumenten må delegere scopet i Altinn; delegeringer i test og prod er adskilt",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-301"),
        cause: Phrase {
            en: "authorization_details has an unknown type",
            nb: "authorization_details har en ukjent type",
        },
        fix: Phrase {
            en: "use a type that Maskinporten knows, such as urn:altinn:systemuser",
            nb: "bruk en type som Maskinporten kjenner, som urn:altinn:systemuser",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-302"),
        cause: Phrase {
            en: "authorization_details has an unknown field",
            nb: "authorization_details har et ukjent felt",
        },
        fix: Phrase {
            en: "remove the field, or correct its spelling",
            nb: "fjern feltet, eller rett stavemåten",
        },
        ..REFUSAL
    },
    Entry {
        code: Some("MP-303"),
        cause: Phrase {
            en: "authorization_details has an invalid value, or no such system user exists",
            nb: "authorization_details har en ugyldig verdi, eller systembrukeren finnes ikke",
        },
        fix: Phrase {
            en: "check the organisation number; a system user made with an external reference needs \
                 systemuser_external_ref",
            nb: "sjekk organisasjonsnummeret; en systembruker laget med ekstern referanse trenger \
                 systemuser_external_ref",
        },
        ..REFUSAL
    },
    Entry {
        text: Some("issue time is after now"),
        cause: Phrase {
            en: "the grant was issued in the future: this machine's clock is ahead",
            nb: "grantet er utstedt i framtiden: klokka på denne maskinen går for fort",
        },
        fix: Phrase {
            en: "set the clock (NTP); until then the difference is corrected for where Maskinporten tells its time",
            nb: "still klokka (NTP); imens korrigeres avviket når Maskinporten oppgir tiden",
        },
        ..CLOCK
    },
    Entry {
        text: Some("combination consumer_org in claim and delegation scope on client is invalid"),
        cause: Phrase {
            en: "consumer_org is the client's own organisation",
            nb: "consumer_org er klientens egen organisasjon",
        },
        fix: Phrase {
            en: "drop consumer_org: it is for acting on behalf of another organisation",
            nb: "fjern consumer_org: den brukes for å handle på vegne av en annen organisasjon",
        },
        ..REFUSAL
    },
];
