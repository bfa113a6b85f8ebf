//! The numbers that organisations and persons in Norway are known by: form and control digits.
//!
//! Pure checks; whether a number is in use is not known here. The same checks judge the
//! configuration and the values that come with requests.

/// Nine digits, the last of which is the modulus-11 control digit (Brønnøysundregistrene,
/// "organisasjonsnummeret").
pub fn is_org_number(text: &str) -> bool {
    digits::<9>(text)
        .is_some_and(|digits| control_digit(&digits[..8], &[3, 2, 7, 6, 5, 4, 3, 2]) == digits[8])
}

/// Eleven digits: a day and month, a year, an individual number and two modulus-11 control digits
/// (Skatteetaten).
///
/// D-numbers (day + 40) and the synthetic numbers of Tenor (month + 80) and other test sets
/// (month + 40 or + 65) are accepted; the same control digits hold for them.
pub fn is_national_id(text: &str) -> bool {
    let Some(digits) = digits::<11>(text) else { return false };
    let day = digits[0] * 10 + digits[1];
    let month = digits[2] * 10 + digits[3];
    matches!(day, 1..=31 | 41..=71)
        && matches!(month, 1..=12 | 41..=52 | 66..=77 | 81..=92)
        && control_digit(&digits[..9], &[3, 7, 6, 1, 8, 9, 4, 5, 2]) == digits[9]
        && control_digit(&digits[..10], &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == digits[10]
}

/// The modulus-11 control digit; 10 where there is none, which no digit equals.
fn control_digit(digits: &[u8], weights: &[u32]) -> u8 {
    let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    match sum % 11 {
        0 => 0,
        rest => 11 - rest as u8,
    }
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = text.as_bytes().try_into().ok()?;
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.map(|byte| byte - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn org_numbers_with_their_control_digit_pass() {
        for text in ["910753614", "910693514", "889640782", "974760673", "991825827"] {
            assert!(is_org_number(text), "{text}");
            for wrong in 0..9u8 {
                let last = (text.as_bytes()[8] - b'0' + 1 + wrong) % 10;
                assert!(!is_org_number(&format!("{}{last}", &text[..8])), "{text} {last}");
            }
        }
        for text in ["", "91075361", "9107536144", "91075361a", "910 753 614", "0192:910753614"] {
            assert!(!is_org_number(text), "{text}");
        }
    }

    #[test]
    fn a_number_whose_control_digit_would_be_ten_is_no_org_number() {
        // 3·1 + 2·2 + 7·1 + 6·1 + 5·1 + 4·1 + 3·1 + 2·1 = 34, and 34 mod 11 = 1.
        assert!((0..10).all(|last| !is_org_number(&format!("12111111{last}"))));
    }

    #[test]
    fn persons_d_numbers_and_synthetic_persons_pass() {
        let plain = with_control_digits("010170000");
        let d_number = with_control_digits("410170000");
        let tenor = with_control_digits("018170000");
        for text in [plain, d_number, tenor].into_iter().flatten() {
            assert!(is_national_id(&text), "{text}");
            let last = (text.as_bytes()[10] - b'0' + 1) % 10;
            assert!(!is_national_id(&format!("{}{last}", &text[..10])), "{text}");
        }
        // Worked out by hand: a synthetic person, and a date in January 1970.
        assert!(is_national_id("17847696494") && is_national_id("01017000027"));
    }

    #[test]
    fn dates_that_cannot_be_are_refused() {
        for text in ["00000000000", "0101700002", "010170000270", "0101700002x"] {
            assert!(!is_national_id(text), "{text}");
        }
    }

    /// Builds a number digit by digit, by trying: an independent way to the same digits.
    fn with_control_digits(nine: &str) -> Option<String> {
        (0..100).map(|last| format!("{nine}{last:02}")).find(|text| {
            let digit = |at: usize| i32::from(text.as_bytes()[at] - b'0');
            let sum =
                |weights: &[i32]| -> i32 { weights.iter().enumerate().map(|(at, w)| w * digit(at)).sum() };
            sum(&[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) % 11 == 0
                && sum(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0
        })
    }
}
