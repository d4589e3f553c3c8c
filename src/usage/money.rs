//! How amounts and shares are written down: as texts, so that nobody's floating point touches them.

use rust_decimal::{Decimal, RoundingStrategy};

/// Writes an amount with six decimals.
#[must_use]
pub fn exact(amount: Decimal) -> String {
    written(amount, 6)
}

/// Writes an amount in whole cents.
#[must_use]
pub fn rounded(amount: Decimal) -> String {
    written(amount, 2)
}

/// Writes how many hundredths of `whole` a part is, with two decimals; of nothing every part is 0.
#[must_use]
pub fn percent(part: Decimal, whole: Decimal) -> String {
    if whole.is_zero() {
        return rounded(Decimal::ZERO);
    }
    rounded(part * Decimal::ONE_HUNDRED / whole)
}

/// Half up: away from zero.
#[must_use]
pub fn written(amount: Decimal, places: u32) -> String {
    let amount = amount.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
    // What rounds to nothing has no sign.
    let amount = if amount.is_zero() { Decimal::ZERO } else { amount };
    format!("{amount:.places$}", places = places as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_rounded_half_up() {
        for (amount, six, two) in [
            ("1234.56789", "1234.567890", "1234.57"),
            ("0.0000005", "0.000001", "0.00"),
            ("0.00000049", "0.000000", "0.00"),
            ("2.675", "2.675000", "2.68"),
            ("-2.675", "-2.675000", "-2.68"),
            ("-0.001", "-0.001000", "0.00"),
            ("7", "7.000000", "7.00"),
        ] {
            assert_eq!(
                (exact(decimal(amount)), rounded(decimal(amount))),
                (six.to_owned(), two.to_owned())
            );
        }
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(percent(decimal("1"), decimal("3")), "33.33");
        assert_eq!(percent(decimal("1"), Decimal::ZERO), "0.00");
    }
}
