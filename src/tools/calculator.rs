//! `calculator`: works out one arithmetic expression, exactly where that is possible.
//!
//! The evaluator is `fend-core`. It also knows units, variables and functions of functions, and the last of these can
//! exhaust the stack, so only numbers, operators and the names listed here reach it.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sessile_actors::infra::{Tool, ToolContext, ToolError, ToolSpec};
use tokio::time::Instant;

/// The name that models and agents call it by.
pub const NAME: &str = "calculator";

/// The longest expression, in characters.
pub const EXPRESSION_MAX_CHARS: usize = 200;

/// Operators and opening parentheses of one expression at most: the evaluator recurses into each.
const OPERATORS_MAX: usize = 100;

/// The stack of the thread that evaluates, in bytes: enough for [`OPERATORS_MAX`] of the deepest kind in a debug build.
/// Only what is used becomes memory.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// How long one expression may take. `9^9^9` would take for ever.
const TIME_LIMIT: Duration = Duration::from_millis(250);

/// The names that an expression may use.
const NAMES: [&str; 25] = [
    "sqrt", "cbrt", "abs", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "ln", "log",
    "log10", "log2", "round", "floor", "ceil", "pi", "tau", "e", "mod", "of",
];

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
        ToolSpec::new(
            NAME,
            "Works out an arithmetic expression: + - * / ^ !, mod (remainder), percentages such as 17% of \
                          250, parentheses, sqrt, cbrt, abs, sin, cos, tan, asin, acos, atan, exp, ln, log (base 10), \
                          log2, round, floor, ceil, pi, tau, e. Angles are in radians.",
            super::parameters::<Arguments>(),
        )
        .blocking()
        .idempotent()
    }

    async fn call(&self, _context: ToolContext, arguments: Value) -> Result<Value, ToolError> {
        let Arguments { expression } = super::arguments(arguments)?;
        let result = evaluate(&expression)?;
        Ok(json!({ "expression": expression, "result": result.value, "exact": result.exact }))
    }
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// A number where JSON has it without loss, else its digits as text.
    pub value: Value,
    /// Whether nothing was rounded.
    pub exact: bool,
}

/// Works out one expression.
///
/// # Errors
/// [`ToolError::BadArguments`] where it makes no sense, [`ToolError::Failed`] where it has no value or takes too long.
pub fn evaluate(expression: &str) -> Result<Evaluated, ToolError> {
    let plain = readable(expression)?;
    let result = on_a_deep_stack(plain)?.map_err(|fault| match fault.as_str() {
        "interrupted" => ToolError::Failed("the result is too large to work out".to_owned()),
        "division by zero" => ToolError::Failed("it divides by zero".to_owned()),
        _ => ToolError::BadArguments(format!("the expression can't be worked out: {fault}")),
    })?;
    let told = result.as_str();
    let digits = told.strip_prefix("approx. ").unwrap_or(told);
    let value = number(digits)
        .ok_or_else(|| ToolError::Failed("the expression has no value that is a real number".to_owned()))?;
    Ok(Evaluated {
        value,
        exact: digits.len() == told.len(),
    })
}

fn on_a_deep_stack(expression: String) -> Result<Result<String, String>, ToolError> {
    let limit = TimeLimit(Instant::now() + TIME_LIMIT);
    let work = move || {
        let mut context = fend_core::Context::new();
        fend_core::evaluate_with_interrupt(&expression, &mut context, &limit)
            .map(|result| result.get_main_result().to_owned())
    };
    let thread = std::thread::Builder::new()
        .name("calculator".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map_err(|_| ToolError::Failed("the calculator has no thread now; try again".to_owned()))?;
    thread
        .join()
        .map_err(|_| ToolError::Failed("the calculator crashed on this expression".to_owned()))
}

struct TimeLimit(Instant);

impl fend_core::Interrupt for TimeLimit {
    fn should_interrupt(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// The expression in the evaluator's signs, if it holds nothing but numbers, operators and known names.
fn readable(expression: &str) -> Result<String, ToolError> {
    if expression.trim().is_empty() {
        return Err(ToolError::BadArguments("the expression is empty".to_owned()));
    }
    if expression.chars().count() > EXPRESSION_MAX_CHARS {
        let why = format!("an expression has at most {EXPRESSION_MAX_CHARS} characters");
        return Err(ToolError::BadArguments(why));
    }
    if expression.chars().filter(|c| "+-*/^%!(×÷−".contains(*c)).count() > OPERATORS_MAX {
        let why = format!("an expression has at most {OPERATORS_MAX} operators and parentheses; work it out in parts");
        return Err(ToolError::BadArguments(why));
    }
    let plain = expression
        .to_lowercase()
        .replace('×', "*")
        .replace('÷', "/")
        .replace('−', "-");
    if let Some(odd) = plain
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"+-*/^%!().,_ \t".contains(*c))
    {
        return Err(ToolError::BadArguments(format!(
            "`{odd}` makes no sense in an expression"
        )));
    }
    let known = |word: &str| word.is_empty() || NAMES.contains(&word) || is_number(word);
    match plain
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
        .find(|word| !known(word))
    {
        Some(unknown) => Err(ToolError::BadArguments(format!(
            "`{unknown}` is no number, function or constant that the calculator knows"
        ))),
        None => Ok(plain),
    }
}

/// Digits with a point and, at most, an exponent (`1e3`): what else has letters must be a name.
fn is_number(word: &str) -> bool {
    let (mantissa, exponent) = word.split_once('e').unwrap_or((word, "0"));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && mantissa.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits(exponent)
}

fn number(digits: &str) -> Option<Value> {
    if let Ok(whole) = digits.parse::<i64>() {
        return Some(json!(whole));
    }
    let value: f64 = digits.parse().ok().filter(|value: &f64| value.is_finite())?;
    let is_whole = digits.trim_start_matches('-').chars().all(|c| c.is_ascii_digit());
    // JSON numbers hold 64 bits: what is longer keeps its digits as text.
    Some(if is_whole { json!(digits) } else { json!(value) })
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
            ("--3", json!(3)),
            ("6/2*3", json!(9)),
            ("17% of 250", json!(42.5)),
            ("17 mod 5", json!(2)),
            ("0.1 + 0.2", json!(0.3)),
            ("1e3 + 2e-1", json!(1000.2)),
            ("sqrt(16) + abs(-3)", json!(7)),
            ("SIN(pi/2)", json!(1)),
            ("log(1000)", json!(3)),
            ("6 × 7 ÷ 2", json!(21)),
            ("5!", json!(120)),
            ("1,250 + 1", json!(1251)),
            ("2^64", json!("18446744073709551616")),
        ] {
            let told = call_as("ada", &Calculator, json!({"expression": expression})).await;
            assert_eq!(told.map(|told| told["result"].clone()), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn it_says_whether_a_result_was_rounded() {
        assert!(evaluate("1/4").is_ok_and(|result| result.exact));
        assert!(evaluate("1/3").is_ok_and(|result| !result.exact));
    }

    #[test]
    fn what_has_no_value_says_plainly_why() {
        for expression in ["1/0", "1/(1/0)", "sqrt(-1)", "9^9^9", "100000!"] {
            let fault = evaluate(expression);
            assert!(matches!(fault, Err(ToolError::Failed(_))), "{expression}: {fault:?}");
        }
        for expression in [
            "",
            "2 +",
            "{x}",
            "x + 1",
            "rm(1)",
            "1e3e3",
            "5 km to m",
            "a = 5",
            "1; 2",
        ] {
            let fault = evaluate(expression);
            assert!(
                matches!(fault, Err(ToolError::BadArguments(_))),
                "{expression}: {fault:?}"
            );
        }
    }

    #[test]
    fn nothing_that_could_exhaust_the_stack_reaches_the_evaluator() {
        assert!(evaluate("(\\x.x x)(\\x.x x)").is_err());
        assert!(evaluate("(x:x x)(x:x x)").is_err());
        assert!(evaluate("(".repeat(200).as_str()).is_err());
        for operator in ["(", "-", "2^", "1*", "1-", "sin(", "sqrt("] {
            let deep = operator.repeat(OPERATORS_MAX);
            // A value or a refusal, but no end of the process.
            let _ = evaluate(&format!("{deep}1"));
            let closed = format!("{deep}1{}", ")".repeat(OPERATORS_MAX));
            let _ = evaluate(&closed);
        }
        assert!(evaluate(&format!("{}1{}", "(".repeat(99), ")".repeat(99))).is_ok());
        assert!(evaluate(&"1".repeat(201)).is_err());
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
