//! Numbers that look like those of organisations and persons: well formed, and nobody's.

/// Organisation numbers with their control digit (modulus 11), from a range that is not in use.
pub fn organisations() -> impl Iterator<Item = String> {
    (40_000_000..50_000_000u32).filter_map(|stem| {
        let stem = stem.to_string();
        Some(format!("{stem}{}", control_digit(&stem, &[3, 2, 7, 6, 5, 4, 3, 2])?))
    })
}

/// National identity numbers of synthetic persons (month + 80), with their control digits.
pub fn persons() -> impl Iterator<Item = String> {
    (1..=28u32).flat_map(|day| (0..1000u32).map(move |individual| (day, individual))).filter_map(
        |(day, individual)| {
            let stem = format!("{day:02}8190{individual:03}");
            let first = control_digit(&stem, &[3, 7, 6, 1, 8, 9, 4, 5, 2])?;
            let stem = format!("{stem}{first}");
            let second = control_digit(&stem, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2])?;
            Some(format!("{stem}{second}"))
        },
    )
}

fn control_digit(stem: &str, weights: &[u32]) -> Option<u32> {
    let sum: u32 = stem.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    match sum % 11 {
        0 => Some(0),
        1 => None,
        rest => Some(11 - rest),
    }
}
