//! What an answer costs.

use rust_decimal::prelude::{Decimal, RoundingStrategy, ToPrimitive};

use crate::config::NamedModel;

/// What a token costs, read and written, in millionths of a US dollar: as much as a million of them cost in dollars.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Price {
    input: Decimal,
    output: Decimal,
}

impl Price {
    /// The price that the configuration names; what it leaves out costs nothing.
    pub(super) fn of(named: &NamedModel) -> Self {
        Self {
            input: named.input_usd_per_million.unwrap_or_default(),
            output: named.output_usd_per_million.unwrap_or_default(),
        }
    }

    /// In millionths of a US dollar, rounded half up.
    pub(super) fn cost_micros(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let part = |price: Decimal, tokens: u64| price.checked_mul(Decimal::from(tokens));
        let sum = part(self.input, input_tokens)
            .zip(part(self.output, output_tokens))
            .and_then(|(input, output)| input.checked_add(output));
        // Beyond what a Decimal holds stands no count of tokens that any model has read.
        let rounded = sum.map(|sum| sum.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero));
        rounded.and_then(|sum| sum.to_u64()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: &str, output: &str) -> Price {
        Price {
            input: input.parse().unwrap(),
            output: output.parse().unwrap(),
        }
    }

    #[test]
    fn a_cost_is_exact_and_rounded_half_up() {
        assert_eq!(price("0.15", "0.60").cost_micros(1_000_000, 1_000_000), 750_000);
        assert_eq!(price("0.15", "0.60").cost_micros(10, 0), 2);
        assert_eq!(price("0.14", "0").cost_micros(10, 0), 1);
        assert_eq!(Price::default().cost_micros(u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn a_count_that_no_model_has_read_is_no_panic() {
        assert_eq!(price("1000000", "1000000").cost_micros(u64::MAX, u64::MAX), u64::MAX);
    }
}
