//! `calculator`: works out one arithmetic expression.
//!
//! The grammar is read here and not by a crate: the one at hand reads `-2^2` as 4 and `2^3^2` as 64, and knows no `1e3`.

use std::f64::consts;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};

/// The name that models and agents call it by.
pub const NAME: &str = "calculator";

/// The longest expression, in characters. It also bounds how deep parentheses nest, and with it the stack.
pub const EXPRESSION_MAX_CHARS: usize = 200;

/// Up to here (2^53) every whole number is exact, and is told as a whole number.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The expression, such as `12 * (3 + 4)` or `sqrt(2) * sin(pi / 4)`.
    #[schemars(length(min = 1, max = EXPRESSION_MAX_CHARS))]
    expression: String,
}

/// Works out expressions.
pub struct Calculator;

#[async_trait]
impl Tool for Calculator {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: NAME.to_owned(),
            description:
                "Works out an arithmetic expression: + - * / ^, % (remainder), parentheses, sqrt, cbrt, abs, sin, \
                          cos, tan, asin, acos, atan, exp, ln, log (base 10), log2, round, floor, ceil, pi, tau, e. \
                          Angles are in radians. Write a percentage as a division by 100."
                    .to_owned(),
            parameters: super::parameters::<Arguments>(),
            timeout: None,
            blocking: false,
        }
    }

    async fn call(&self, _context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let Arguments { expression } = super::arguments(arguments)?;
        let result = evaluate(&expression).map_err(|fault| match fault {
            Fault::DivisionByZero | Fault::NotANumber | Fault::TooLarge => ToolError::Failed(fault.to_string()),
            Fault::TooLong | Fault::Unexpected { .. } | Fault::Ended | Fault::UnknownName { .. } => {
                ToolError::BadArguments(fault.to_string())
            }
        })?;
        Ok(json!({ "expression": expression, "result": told(result) }))
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is longer than [`EXPRESSION_MAX_CHARS`].
    #[error("an expression has at most {EXPRESSION_MAX_CHARS} characters")]
    TooLong,
    /// Something stands where it can't.
    #[error("`{found}` makes no sense as character {at}")]
    Unexpected {
        /// What stands there.
        found: char,
        /// Which character it is, from 1.
        at: usize,
    },
    /// Something is missing at the end.
    #[error("the expression ends too early")]
    Ended,
    /// A name that is no function and no constant.
    #[error("`{name}` is no function or constant that the calculator knows")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// Somewhere in it a number is divided by zero.
    #[error("it divides by zero")]
    DivisionByZero,
    /// It leaves the real numbers, as `sqrt(-1)` does.
    #[error("it has no real number as its result")]
    NotANumber,
    /// It is beyond what a 64-bit floating-point number holds.
    #[error("its result is too large")]
    TooLarge,
}

/// Works out `expression`: powers bind strongest and to the right, then signs, then `* / %`, then `+ -`.
///
/// # Errors
/// [`Fault`], each variant with its cause.
pub fn evaluate(expression: &str) -> Result<f64, Fault> {
    let characters: Vec<char> = expression.chars().collect();
    if characters.len() > EXPRESSION_MAX_CHARS {
        return Err(Fault::TooLong);
    }
    let mut reader = Reader {
        characters: &characters,
        at: 0,
    };
    let value = reader.sum()?;
    match reader.next() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected()),
    }
}

/// Reads an expression from left to right; each method reads one level of the grammar.
struct Reader<'a> {
    characters: &'a [char],
    at: usize,
}

impl Reader<'_> {
    fn sum(&mut self) -> Result<f64, Fault> {
        let mut value = self.product()?;
        loop {
            value = if self.took("+") {
                finite(value + self.product()?)?
            } else if self.took("-") {
                finite(value - self.product()?)?
            } else {
                return Ok(value);
            };
        }
    }

    fn product(&mut self) -> Result<f64, Fault> {
        let mut value = self.signed()?;
        loop {
            value = if self.took("*") || self.took("×") {
                finite(value * self.signed()?)?
            } else if self.took("/") || self.took("÷") {
                finite(value / divisor(self.signed()?)?)?
            } else if self.took("%") {
                finite(value % divisor(self.signed()?)?)?
            } else {
                return Ok(value);
            };
        }
    }

    fn signed(&mut self) -> Result<f64, Fault> {
        if self.took("-") || self.took("−") {
            return Ok(-self.signed()?);
        }
        if self.took("+") {
            return self.signed();
        }
        self.power()
    }

    fn power(&mut self) -> Result<f64, Fault> {
        let base = self.atom()?;
        if !(self.took("^") || self.took("**")) {
            return Ok(base);
        }
        let exponent = self.signed()?;
        if base == 0.0 && exponent < 0.0 {
            return Err(Fault::DivisionByZero);
        }
        finite(base.powf(exponent))
    }

    fn atom(&mut self) -> Result<f64, Fault> {
        match self.next().ok_or(Fault::Ended)? {
            '(' => self.parenthesised(),
            '0'..='9' | '.' => self.number(),
            letter if letter.is_alphabetic() => self.named(),
            _ => Err(self.unexpected()),
        }
    }

    fn parenthesised(&mut self) -> Result<f64, Fault> {
        self.at += 1;
        let value = self.sum()?;
        if self.took(")") {
            return Ok(value);
        }
        Err(self.unexpected())
    }

    /// Digits, at most one point among them, and an exponent such as `e-3` directly behind.
    fn number(&mut self) -> Result<f64, Fault> {
        let start = self.at;
        self.skip_digits();
        if self.peek(0) == Some('.') {
            self.at += 1;
            self.skip_digits();
        }
        let signed = usize::from(matches!(self.peek(1), Some('+' | '-')));
        let has_exponent =
            matches!(self.peek(0), Some('e' | 'E')) && self.peek(1 + signed).is_some_and(|c| c.is_ascii_digit());
        if has_exponent {
            self.at += 1 + signed;
            self.skip_digits();
        }
        let text: String = self.characters[start..self.at].iter().collect();
        finite(text.parse().map_err(|_| self.unexpected())?)
    }

    /// A constant, or a function with its argument in parentheses.
    fn named(&mut self) -> Result<f64, Fault> {
        let rest = &self.characters[self.at..];
        let name: String = rest.iter().take_while(|c| c.is_alphanumeric()).collect();
        self.at += name.chars().count();
        let name = name.to_lowercase();
        if let Some(value) = constant(&name) {
            return Ok(value);
        }
        let Some(function) = function(&name) else {
            return Err(Fault::UnknownName { name });
        };
        match self.next() {
            Some('(') => {
                let argument = self.parenthesised()?;
                if argument == 0.0 && name.starts_with('l') {
                    // A logarithm of zero is minus infinity, which would read as "too large".
                    return Err(Fault::NotANumber);
                }
                finite(function(argument))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// The next character that is no space, without taking it.
    fn next(&mut self) -> Option<char> {
        while self.peek(0).is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.peek(0)
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    /// Takes `sign` if it comes next.
    fn took(&mut self, sign: &str) -> bool {
        self.next();
        let length = sign.chars().count();
        let comes = sign.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c));
        if comes {
            self.at += length;
        }
        comes
    }

    fn skip_digits(&mut self) {
        while self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn unexpected(&self) -> Fault {
        match self.peek(0) {
            Some(found) => Fault::Unexpected { found, at: self.at + 1 },
            None => Fault::Ended,
        }
    }
}

fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" | "π" => Some(consts::PI),
        "tau" | "τ" => Some(consts::TAU),
        "e" => Some(consts::E),
        _ => None,
    }
}

fn function(name: &str) -> Option<fn(f64) -> f64> {
    match name {
        "sqrt" => Some(f64::sqrt),
        "cbrt" => Some(f64::cbrt),
        "abs" => Some(f64::abs),
        "sin" => Some(f64::sin),
        "cos" => Some(f64::cos),
        "tan" => Some(f64::tan),
        "asin" => Some(f64::asin),
        "acos" => Some(f64::acos),
        "atan" => Some(f64::atan),
        "exp" => Some(f64::exp),
        "ln" => Some(f64::ln),
        "log" | "log10" => Some(f64::log10),
        "log2" => Some(f64::log2),
        "round" => Some(f64::round),
        "floor" => Some(f64::floor),
        "ceil" => Some(f64::ceil),
        _ => None,
    }
}

/// Checked at every step: `1/(1/0)` would otherwise end as a plausible 0.
fn finite(value: f64) -> Result<f64, Fault> {
    if value.is_nan() {
        Err(Fault::NotANumber)
    } else if value.is_infinite() {
        Err(Fault::TooLarge)
    } else {
        Ok(value)
    }
}

fn divisor(value: f64) -> Result<f64, Fault> {
    if value == 0.0 {
        Err(Fault::DivisionByZero)
    } else {
        Ok(value)
    }
}

/// The number as people write it: whole ones without a point, others to 15 digits (so that 0.1 + 0.2 is 0.3).
#[allow(clippy::cast_possible_truncation)] // whole and below 2^53: it fits
fn told(value: f64) -> Value {
    let rounded: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    let value = if value.fract() == 0.0 { value } else { rounded };
    if value.fract() == 0.0 && value.abs() <= EXACT_INTEGER_MAX {
        return json!(value as i64);
    }
    json!(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::doubles::{call_as, frozen};

    #[tokio::test]
    async fn it_works_out_what_people_write() {
        for (expression, expected) in [
            ("12 * (3+4)", json!(84)),
            ("2^10", json!(1024)),
            ("2 ** 10", json!(1024)),
            ("-2^2", json!(-4)),
            ("(-2)^2", json!(4)),
            ("2^3^2", json!(512)),
            ("2^-2", json!(0.25)),
            ("2*-3^2", json!(-18)),
            ("6/-2", json!(-3)),
            ("--3", json!(3)),
            ("6/2*3", json!(9)),
            ("7*3%4", json!(1)),
            ("17/100*250", json!(42.5)),
            ("0.1 + 0.2", json!(0.3)),
            (".5 + 1.", json!(1.5)),
            ("1e3 + 2E-1", json!(1000.2)),
            ("2*e^0", json!(2)),
            ("sqrt(16) + abs(-3)", json!(7)),
            ("SIN(pi/2)", json!(1)),
            ("ln(e)", json!(1)),
            ("log(1000)", json!(3)),
            ("log2(8)", json!(3)),
            ("6 × 7 ÷ 2", json!(21)),
            ("9007199254740993", json!(9_007_199_254_740_992_i64)),
            ("2^64", json!(18_446_744_073_709_551_616.0)),
            ("0 * -1", json!(0)),
        ] {
            let told = call_as("ada", &Calculator, json!({"expression": expression})).await;
            assert_eq!(told.map(|told| told["result"].clone()), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_has_no_value_says_plainly_why() {
        let unexpected = |found, at| Fault::Unexpected { found, at };
        let unknown = |name: &str| Fault::UnknownName { name: name.to_owned() };
        for (expression, fault) in [
            ("1/0", Fault::DivisionByZero),
            ("1/(1/0)", Fault::DivisionByZero),
            ("5 % 0", Fault::DivisionByZero),
            ("0^-1", Fault::DivisionByZero),
            ("sqrt(-1)", Fault::NotANumber),
            ("ln(0)", Fault::NotANumber),
            ("(-8)^(1/3)", Fault::NotANumber),
            ("10^400", Fault::TooLarge),
            ("1e999", Fault::TooLarge),
            ("", Fault::Ended),
            ("   ", Fault::Ended),
            ("2 +", Fault::Ended),
            ("(2 + 3", Fault::Ended),
            ("sin", Fault::Ended),
            ("2 + 3)", unexpected(')', 6)),
            ("2 3", unexpected('3', 3)),
            ("1.2.3", unexpected('.', 4)),
            ("2 * * 3", unexpected('*', 5)),
            ("{x}", unexpected('{', 1)),
            ("sqrt 4", unexpected('4', 6)),
            ("x + 1", unknown("x")),
            ("rm(1)", unknown("rm")),
        ] {
            assert_eq!(evaluate(expression), Err(fault), "{expression}");
        }
        assert_eq!(evaluate(&"1".repeat(201)), Err(Fault::TooLong));
    }

    #[test]
    fn the_deepest_nesting_that_fits_is_no_danger_to_the_stack() {
        assert_eq!(evaluate(&format!("{}1{}", "(".repeat(99), ")".repeat(99))), Ok(1.0));
        assert_eq!(evaluate(&"(".repeat(200)), Err(Fault::Ended));
        assert_eq!(evaluate(&format!("{}1", "-".repeat(199))), Ok(-1.0));
    }

    #[tokio::test]
    async fn a_fault_of_the_arguments_differs_from_one_of_the_numbers() {
        let divided = call_as("ada", &Calculator, json!({"expression": "1/0"})).await;
        assert_eq!(divided, Err(ToolError::Failed("it divides by zero".to_owned())));
        let unread = call_as("ada", &Calculator, json!({"expression": "1+"})).await;
        let told = "the expression ends too early".to_owned();
        assert_eq!(unread, Err(ToolError::BadArguments(told)));
    }

    #[test]
    fn the_schema_rejects_extra_fields_and_lengths_out_of_bounds() {
        let tools = frozen(Calculator);
        let class = tools.get(NAME).unwrap();
        assert_eq!(class.validate(&json!({"expression": "1"})), Ok(()));
        for bad in [
            json!({"expression": ""}),
            json!({"expression": "1".repeat(201)}),
            json!({"expression": "1", "precision": 3}),
            json!({"expression": 1}),
            json!({}),
        ] {
            assert!(class.validate(&bad).is_err(), "{bad}");
        }
    }
}
