//! The inbound password: Basic with any user (RFC 7617), or Bearer (RFC 6750).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::message::{Fields, Name};
use crate::secret::Secret;

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether `Proxy-Authorization` holds the password, as Basic or Bearer.
pub(super) fn proxy(fields: &Fields, password: &Secret<String>) -> bool {
    let Some((scheme, credentials)) = credentials(fields, Name::ProxyAuthorization) else { return false };
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return password.matches(credentials);
    }
    scheme.eq_ignore_ascii_case(b"Basic") && basic(credentials, password)
}

/// Whether `Authorization` holds the password, as Basic: what a browser asks its user for.
pub(super) fn admin(fields: &Fields, password: &Secret<String>) -> bool {
    let Some((scheme, credentials)) = credentials(fields, Name::Authorization) else { return false };
    scheme.eq_ignore_ascii_case(b"Basic") && basic(credentials, password)
}

/// Scheme and the rest (RFC 9110 §11.4); `None` where the field is missing or repeated.
fn credentials(fields: &Fields, name: Name) -> Option<(&[u8], &[u8])> {
    let value = fields.single(name).ok()??;
    let space = value.iter().position(|byte| *byte == b' ')?;
    Some((&value[..space], value[space..].trim_ascii()))
}

fn basic(credentials: &[u8], password: &Secret<String>) -> bool {
    let Ok(decoded) = BASE64.decode(credentials).map(Zeroizing::new) else { return false };
    // A user-id holds no colon, a password may.
    let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return false };
    password.matches(&decoded[colon + 1..])
}
