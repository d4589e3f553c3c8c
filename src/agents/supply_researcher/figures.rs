//! Reads amounts, units and numbers of tokens as price lists write them. What is not plain is left out, with the reason.

use rust_decimal::Decimal;

/// For how many tokens a price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A million.
    Million,
    /// A thousand.
    Thousand,
}

impl Unit {
    /// The price of a million tokens.
    pub fn per_million(self, amount: Decimal) -> Decimal {
        match self {
            Self::Million => amount,
            Self::Thousand => amount * Decimal::ONE_THOUSAND,
        }
    }

    /// The unit that a text names; none where it names none, or both.
    pub fn in_text(text: &str) -> Option<Self> {
        let small = text.to_lowercase();
        let words = || small.split(|c: char| !c.is_alphanumeric());
        let is_million = words().any(|word| matches!(word, "million" | "1m" | "mtok" | "mtoks" | "1mtok" | "mtokens"))
            || small.contains("1,000,000")
            || small.contains("1000000");
        let is_thousand = words()
            .any(|word| matches!(word, "thousand" | "1k" | "ktok" | "ktoks" | "1ktok" | "ktokens"))
            || (!is_million && (small.contains("1,000 tokens") || small.contains("1000 tokens")));
        match (is_million, is_thousand) {
            (true, false) => Some(Self::Million),
            (false, true) => Some(Self::Thousand),
            _ => None,
        }
    }
}

/// What prices are for beside tokens.
const OTHER_GOODS: [&str; 10] = [
    "image",
    "images",
    "minute",
    "minutes",
    "hour",
    "second",
    "request",
    "requests",
    "character",
    "page",
];

/// Whether a text prices something that is no token.
pub fn is_of_other_goods(text: &str) -> bool {
    let small = text.to_lowercase();
    let mut words = small.split(|c: char| !c.is_alphanumeric());
    words.any(|word| OTHER_GOODS.contains(&word))
}

/// The one amount of US dollars in a text. `bare`: a number without a sign is one too, as in a column of dollars.
///
/// # Errors
/// Why it can't be told, in words that follow a name.
pub fn dollars(text: &str, bare: bool) -> Result<Option<Decimal>, &'static str> {
    let mut found: Option<Decimal> = None;
    for number in numbers(text) {
        let is_dollars = match number.currency() {
            Currency::Dollars => true,
            Currency::Cents => false,
            Currency::Other => return Err("is not in US dollars"),
            Currency::None => bare && !number.is_unit(),
        };
        let is_cents = number.currency() == Currency::Cents;
        if !is_dollars && !is_cents {
            continue;
        }
        let amount = number
            .value()
            .ok_or("is written in a way that can be read in two ways")?;
        let amount = if is_cents {
            amount / Decimal::ONE_HUNDRED
        } else {
            amount
        };
        if found.is_some_and(|before| before != amount) {
            return Err("has more than one amount");
        }
        found = Some(amount);
    }
    Ok(found)
}

/// The one number of tokens in a text, and whether it is rounded: `400,000`, `400K`, `1M`.
pub fn tokens(text: &str) -> Option<(u64, bool)> {
    let mut found = None;
    for number in numbers(text) {
        if number.currency() != Currency::None {
            return None;
        }
        let scale: u32 = match number.suffix() {
            "" | "tokens" | "token" => 1,
            "k" => 1_000,
            "m" | "million" => 1_000_000,
            _ => continue,
        };
        let tokens = number.value()? * Decimal::from(scale);
        let tokens = u64::try_from(tokens.trunc())
            .ok()
            .filter(|_| tokens.fract().is_zero())?;
        if tokens < 1000 {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some((tokens, scale > 1));
    }
    found
}

/// Whether a text has the sign of US dollars.
pub fn has_dollars(text: &str) -> bool {
    text.contains('$') || text.to_lowercase().contains("usd")
}

/// What stands at a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Currency {
    Dollars,
    Cents,
    Other,
    None,
}

/// A number with what stands around it.
struct Number<'a> {
    before: &'a str,
    digits: &'a str,
    after: &'a str,
}

impl Number<'_> {
    fn currency(&self) -> Currency {
        let before = self.before.trim_end();
        let word_before = before.rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        if let Some(rest) = before.strip_suffix('$') {
            let country = rest
                .rsplit(|c: char| !c.is_ascii_uppercase())
                .next()
                .unwrap_or_default();
            return if matches!(country, "" | "US" | "USD") {
                Currency::Dollars
            } else {
                Currency::Other
            };
        }
        if before.ends_with(['€', '£', '¥', '₹'])
            || matches!(word_before, "EUR" | "GBP" | "CNY" | "RMB" | "JPY" | "INR")
        {
            return Currency::Other;
        }
        if word_before == "USD" {
            return Currency::Dollars;
        }
        let after = self.after.trim_start();
        if after.starts_with('¢') {
            return Currency::Cents;
        }
        if after.starts_with(['€', '£', '¥', '₹']) {
            return Currency::Other;
        }
        match self.suffix() {
            "usd" | "dollars" | "dollar" => Currency::Dollars,
            "cents" | "cent" => Currency::Cents,
            "eur" | "euro" | "euros" | "gbp" | "cny" | "rmb" | "yuan" | "jpy" => Currency::Other,
            _ => Currency::None,
        }
    }

    /// The word right after it, in small letters where the page writes it so or not.
    fn suffix(&self) -> &'static str {
        const KNOWN: [&str; 22] = [
            "tokens", "token", "million", "thousand", "mtok", "usd", "dollars", "dollar", "cents", "cent", "eur",
            "euros", "euro", "gbp", "cny", "rmb", "yuan", "jpy", "k", "m", "b", "x",
        ];
        let after = self.after.trim_start();
        let end = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
        let word = after[..end].to_lowercase();
        match KNOWN.iter().find(|known| **known == word) {
            Some(known) => known,
            None if word.is_empty() => "",
            None => "?",
        }
    }

    /// Whether it counts tokens or shares and is no amount.
    fn is_unit(&self) -> bool {
        let before = self.before.trim_end().to_lowercase();
        self.after.starts_with('%')
            || !matches!(self.suffix(), "" | "?")
            || before.ends_with('/')
            || before.ends_with("per")
            || before.ends_with(['<', '>', '≤', '≥'])
    }

    fn value(&self) -> Option<Decimal> {
        let mut groups = self.digits.split(',');
        let first = groups.next()?;
        let rest: Vec<&str> = groups.collect();
        let last = rest.len().saturating_sub(1);
        let are_thousands = rest.iter().enumerate().all(|(at, group)| {
            let whole = if at == last {
                group.split('.').next().unwrap_or_default()
            } else {
                group
            };
            whole.len() == 3
        });
        if !are_thousands || first.is_empty() {
            return None;
        }
        Decimal::from_str_exact(&format!("{first}{}", rest.concat())).ok()
    }
}

/// The numbers of a text that are no part of a name.
fn numbers(text: &str) -> impl Iterator<Item = Number<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let begin = from + text[from..].find(|c: char| c.is_ascii_digit())?;
            let tail = &text[begin..];
            let end = tail
                .find(|c: char| !matches!(c, '0'..='9' | '.' | ','))
                .unwrap_or(tail.len());
            let digits = tail[..end].trim_end_matches(['.', ',']);
            from = begin + end;
            let before = &text[..begin];
            let is_name =
                before.ends_with(|c: char| c.is_alphabetic() || c == '-' || c == '_') && !before.ends_with("USD");
            if is_name {
                continue;
            }
            return Some(Number {
                before,
                digits,
                after: &text[begin + digits.len()..],
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, bare: bool) -> String {
        match dollars(text, bare) {
            Ok(Some(amount)) => amount.normalize().to_string(),
            Ok(None) => "-".to_owned(),
            Err(why) => format!("! {why}"),
        }
    }

    #[test]
    fn amounts_are_read_as_lists_write_them() {
        for (text, amount) in [
            ("$1.25", "1.25"),
            ("$ 1.25 / 1M tokens", "1.25"),
            ("US$0.00125 per 1K tokens", "0.00125"),
            ("USD 3", "3"),
            ("1.10 USD", "1.1"),
            ("75 cents", "0.75"),
            ("12.5¢", "0.125"),
            ("$1,250.50", "1250.5"),
            ("$15.", "15"),
            ("$1.25 (was $1.25)", "1.25"),
            ("1.25", "-"),
            ("free", "-"),
            ("-", "-"),
            ("$1.25 (≤ 200K) $2.50", "! has more than one amount"),
            ("$1,25", "! is written in a way that can be read in two ways"),
            ("$1.2.5", "! is written in a way that can be read in two ways"),
            ("€1.10", "! is not in US dollars"),
            ("1.10 €", "! is not in US dollars"),
            ("A$2", "! is not in US dollars"),
            ("2 CNY", "! is not in US dollars"),
        ] {
            assert_eq!(told(text, false), amount, "{text}");
        }
        for (text, amount) in [
            ("1.25", "1.25"),
            ("1.25 / 1M", "1.25"),
            ("50%", "-"),
            ("gpt-5", "-"),
            ("1M tokens", "-"),
            ("> 200 1.5", "1.5"),
        ] {
            assert_eq!(told(text, true), amount, "{text}");
        }
    }

    #[test]
    fn units_are_a_million_or_a_thousand_tokens_and_never_guessed() {
        for (text, unit) in [
            ("$1 per million tokens", Some(Unit::Million)),
            ("$1 / 1M", Some(Unit::Million)),
            ("$1 / MTok", Some(Unit::Million)),
            ("per 1,000,000 tokens", Some(Unit::Million)),
            ("$1 / 1K tokens", Some(Unit::Thousand)),
            ("per thousand", Some(Unit::Thousand)),
            ("per 1,000 tokens", Some(Unit::Thousand)),
            ("1K or 1M", None),
            ("$1", None),
            ("model m1", None),
        ] {
            assert_eq!(Unit::in_text(text), unit, "{text}");
        }
        assert_eq!(
            Unit::Thousand.per_million("0.00125".parse().unwrap()),
            "1.25".parse().unwrap()
        );
        assert!(is_of_other_goods("$0.04 / image") && !is_of_other_goods("$1 / 1M tokens"));
    }

    #[test]
    fn numbers_of_tokens_are_read_whole_or_rounded() {
        for (text, number) in [
            ("400,000", Some((400_000, false))),
            ("400K", Some((400_000, true))),
            ("400 k tokens", Some((400_000, true))),
            ("1M", Some((1_000_000, true))),
            ("1.05M tokens", Some((1_050_000, true))),
            ("1047576 tokens", Some((1_047_576, false))),
            ("200K / 1M", None),
            ("$400,000", None),
            ("none", None),
            ("5 tokens", None),
        ] {
            assert_eq!(tokens(text), number, "{text}");
        }
    }
}
