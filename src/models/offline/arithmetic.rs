//! Finds the sum in a sentence, and writes it as the calculator reads it.

/// Words that ask for a result. Without one of them only a sentence that is nothing but arithmetic is a sum: `3-4 days`
/// and `2026-11-20` are none.
const ASKING: [&str; 13] = [
    "what is",
    "what's",
    "whats",
    "what are",
    "calculate",
    "compute",
    "how much",
    "evaluate",
    "solve",
    "work out",
    "result of",
    "sum of",
    "product of",
];

/// How people say operators, longest first where one begins with the other.
const SPOKEN: [(&str, &str); 21] = [
    ("to the power of", "^"),
    ("multiplied by", "*"),
    ("divided by", "/"),
    ("square root of", "sqrt"),
    ("cube root of", "cbrt"),
    ("the root of", "sqrt"),
    ("percent of", "% of"),
    ("per cent of", "% of"),
    ("squared", "^2"),
    ("cubed", "^3"),
    ("modulo", "%"),
    ("minus", "-"),
    ("times", "*"),
    ("plus", "+"),
    ("over", "/"),
    ("mod", "%"),
    ("×", "*"),
    ("·", "*"),
    ("÷", "/"),
    ("−", "-"),
    ("√", "sqrt"),
];

/// The words of the calculator's language.
const NAMES: [&str; 20] = [
    "sqrt", "cbrt", "abs", "sin", "cos", "tan", "asin", "acos", "atan", "exp", "ln", "log", "log10", "log2", "round",
    "floor", "ceil", "pi", "tau", "e",
];

/// The names among [`NAMES`] that stand for a number.
const CONSTANTS: [&str; 3] = ["pi", "tau", "e"];

/// The sum in a sentence (in lower case), if there is one.
pub fn find(sentence: &str) -> Option<String> {
    let asks = ASKING.iter().any(|words| sentence.contains(words));
    let tokens = tokens(&in_signs(sentence));
    let runs: Vec<&[Token]> = tokens.split(|token| matches!(token, Token::Word(_))).collect();
    let only_arithmetic = runs.iter().filter(|run| !run.is_empty()).count() == 1
        && tokens
            .iter()
            .all(|token| !matches!(token, Token::Word(word) if !is_filler(word)));
    if (!asks && !only_arithmetic) || takes_words(&tokens) {
        return None;
    }
    let run = runs.into_iter().max_by_key(|run| run.len())?;
    calculates(run).then(|| written(run))
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(String),
    Name(String),
    /// An operator or a parenthesis.
    Sign(char),
    /// "% of": the number before it is a percentage of what follows.
    PercentOf,
    /// Anything else; it separates.
    Word(String),
}

/// Words that may stand around a sum that is not asked for.
fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "please" | "=" | "?" | "equals" | "is" | "and" | "then" | "," | "." | "!" | "the"
    )
}

/// The sentence with signs in place of spoken operators.
fn in_signs(sentence: &str) -> String {
    let mut text = format!(" {sentence} ");
    for (spoken, sign) in SPOKEN {
        let spoken_word = spoken.is_ascii();
        let (from, to) = if spoken_word {
            (format!(" {spoken} "), format!(" {sign} "))
        } else {
            (spoken.to_owned(), sign.to_owned())
        };
        text = text.replace(&from, &to);
        if spoken_word && sign.starts_with('^') {
            // "5 squared?" and "5 squared plus" alike.
            text = text.replace(&format!(" {spoken}"), &format!(" {sign}"));
        }
    }
    text
}

fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let taken = match rest[0] {
            c if c.is_whitespace() => 1,
            c if c.is_ascii_digit() || (c == '.' && rest.get(1).is_some_and(char::is_ascii_digit)) => {
                number(rest, &mut tokens)
            }
            c if c.is_alphabetic() => word(rest, &mut tokens),
            '%' if followed_by_of(&rest[1..]) => {
                tokens.push(Token::PercentOf);
                rest.iter().position(|c| *c == 'f').map_or(1, |f| f + 1)
            }
            '*' if rest.get(1) == Some(&'*') => {
                tokens.push(Token::Sign('^'));
                2
            }
            c @ ('+' | '-' | '*' | '/' | '^' | '%' | '(' | ')') => {
                tokens.push(Token::Sign(c));
                1
            }
            c => {
                tokens.push(Token::Word(c.to_string()));
                1
            }
        };
        at += taken;
    }
    tokens
}

/// Takes a number; `1,000` is a thousand. A comma that groups nothing stays, and the calculator asks about it: `1,5` may
/// mean anything. A number that runs into letters, as `3rd` does, is a word.
fn number(rest: &[char], tokens: &mut Vec<Token>) -> usize {
    let digit = |at: usize| rest.get(at).is_some_and(char::is_ascii_digit);
    let mut end = 0;
    while digit(end) || (matches!(rest.get(end), Some('.' | ',')) && digit(end + 1)) {
        end += 1;
    }
    let multiplies = rest.get(end) == Some(&'x') && digit(end + 1);
    if rest.get(end).is_some_and(|c| c.is_alphabetic()) && !multiplies {
        return end + word(&rest[end..], tokens);
    }
    let number: String = rest[..end].iter().collect();
    let whole = number.split('.').next().unwrap_or_default();
    let is_grouped = whole.split(',').skip(1).all(|group| group.len() == 3);
    tokens.push(Token::Number(if is_grouped { number.replace(',', "") } else { number }));
    end
}

fn word(rest: &[char], tokens: &mut Vec<Token>) -> usize {
    let is_part = |c: &&char| c.is_alphanumeric() || matches!(c, '\'' | '’');
    let word: String = rest.iter().take_while(is_part).collect();
    let length = word.chars().count();
    // "3 x 4" and "3x4" multiply.
    if let Some(factor) = word
        .strip_prefix('x')
        .filter(|rest| rest.chars().all(|c| c.is_ascii_digit()))
        && matches!(tokens.last(), Some(Token::Number(_) | Token::Sign(')')))
    {
        tokens.push(Token::Sign('*'));
        return length - factor.chars().count();
    }
    tokens.push(if NAMES.contains(&word.as_str()) {
        Token::Name(word)
    } else {
        Token::Word(word)
    });
    length
}

fn followed_by_of(rest: &[char]) -> bool {
    let text: String = rest.iter().take(8).collect();
    text.trim_start().starts_with("of ")
}

/// Whether an operator takes something that is no number, as in "7 apples + 3 - 2": a part of it would be no answer.
fn takes_words(tokens: &[Token]) -> bool {
    const BEFORE_A_SUM: [&str; 12] = [
        "is",
        "are",
        "s",
        "what's",
        "whats",
        "calculate",
        "compute",
        "evaluate",
        "solve",
        "much",
        "of",
        "out",
    ];
    tokens.windows(3).any(|three| match three {
        [Token::Word(word), Token::Sign('+' | '-' | '*' | '/' | '^' | '%'), after] => {
            let introduces = BEFORE_A_SUM.contains(&word.as_str()) || !word.starts_with(char::is_alphanumeric);
            !introduces && !matches!(after, Token::Word(_))
        }
        _ => false,
    })
}

/// Whether there is anything to work out: a number, and an operator or a function. A percentage of nothing is no sum,
/// and one that is added ("200 + 10%") could be a percentage of either.
fn calculates(run: &[Token]) -> bool {
    let has_value = run
        .iter()
        .any(|token| matches!(token, Token::Number(_) | Token::Name(_)) && !is_function(token));
    let has_sign = |signs: &str| {
        let mut behind_the_first = run.iter().skip(1);
        behind_the_first.any(|token| matches!(token, Token::Sign(sign) if signs.contains(*sign)))
    };
    let has_percentage = (0..run.len()).any(|at| run[at] == Token::Sign('%') && !is_remainder(run.get(at + 1)));
    if has_percentage && has_sign("+-") {
        return false;
    }
    let works = has_sign("+-*/^") || has_sign("%") && !has_percentage || run.contains(&Token::PercentOf);
    has_value && (works || run.iter().any(is_function))
}

/// The run as the calculator reads it: `17% of 250` becomes `17 / 100 * 250`, `sqrt 16` becomes `sqrt(16)`.
fn written(run: &[Token]) -> String {
    let run = with_parentheses(run);
    let mut text = String::new();
    for (at, token) in run.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &run[before]);
        match token {
            Token::Number(word) | Token::Name(word) | Token::Word(word) => text.push_str(word),
            Token::PercentOf => text.push_str(" / 100 * "),
            Token::Sign('%') if !is_remainder(run.get(at + 1)) => text.push_str(" / 100"),
            Token::Sign(sign @ ('(' | ')' | '^')) => text.push(*sign),
            Token::Sign(sign @ ('-' | '+')) if !before.is_some_and(ends_value) => text.push(*sign),
            Token::Sign(sign) => text.push_str(&format!(" {sign} ")),
        }
    }
    text
}

/// The run with parentheses around an argument that was said without.
fn with_parentheses(run: &[Token]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(run.len());
    for token in run {
        let is_argument = matches!(token, Token::Number(_)) && tokens.last().is_some_and(is_function);
        if is_argument {
            tokens.extend([Token::Sign('('), token.clone(), Token::Sign(')')]);
        } else {
            tokens.push(token.clone());
        }
    }
    tokens
}

fn is_function(token: &Token) -> bool {
    matches!(token, Token::Name(name) if !CONSTANTS.contains(&name.as_str()))
}

/// Whether a `%` before this is a remainder, and no percentage.
fn is_remainder(next: Option<&Token>) -> bool {
    matches!(next, Some(Token::Number(_) | Token::Name(_) | Token::Sign('(')))
}

/// Whether a sign behind this is an operator, and not the sign of a number.
fn ends_value(token: &Token) -> bool {
    match token {
        Token::Number(_) | Token::Sign(')' | '%') => true,
        Token::Name(_) => !is_function(token),
        Token::Sign(_) | Token::PercentOf | Token::Word(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::calculator::evaluate;

    #[test]
    fn a_sum_is_found_and_the_calculator_can_read_it() {
        for (sentence, expression, result) in [
            ("what is 12 * (3+4)?", "12 * (3 + 4)", 84.0),
            ("calculate 2^10", "2^10", 1024.0),
            ("17% of 250", "17 / 100 * 250", 42.5),
            ("what is 20 percent of 50?", "20 / 100 * 50", 10.0),
            ("what's 7 times 6", "7 * 6", 42.0),
            ("how much is 10 divided by 4, please?", "10 / 4", 2.5),
            ("2+2", "2 + 2", 4.0),
            ("2 + 2 =", "2 + 2", 4.0),
            ("2+2?", "2 + 2", 4.0),
            ("3 x 4", "3 * 4", 12.0),
            ("3x4", "3 * 4", 12.0),
            ("2 ** 3", "2^3", 8.0),
            ("1,250 + 1", "1250 + 1", 1251.0),
            ("what is 1,234,567.5 * 2", "1234567.5 * 2", 2_469_135.0),
            ("what is the square root of 16 plus 1", "sqrt(16) + 1", 5.0),
            ("compute sqrt(16) + pi - pi", "sqrt(16) + pi - pi", 4.0),
            ("what is sin 0 + cos 0?", "sin(0) + cos(0)", 1.0),
            ("what is 5 squared?", "5^2", 25.0),
            ("what is -3 - -4", "-3 - -4", 1.0),
            ("what is 17 mod 5", "17 % 5", 2.0),
            ("calculate 50% * 8", "50 / 100 * 8", 4.0),
            ("what is 1.5 × 2.", "1.5 * 2", 3.0),
            ("i have 3 boxes, what is 3 * 12?", "3 * 12", 36.0),
        ] {
            let found = find(sentence);
            assert_eq!(found.as_deref(), Some(expression), "{sentence}");
            let value = evaluate(expression).ok().and_then(|found| found.value.as_f64());
            assert_eq!(value, Some(result), "{expression}");
        }
    }

    #[test]
    fn what_is_no_sum_is_left_alone() {
        for sentence in [
            "",
            "what is love?",
            "what is 5?",
            "what is the 3rd planet?",
            "see you in 3-4 days",
            "we met on 2026-11-20",
            "i am 50% sure",
            "what is a cat - a pet?",
            "calculate the meaning of life",
            "+",
            "what is 7 apples + 3 - 2?",
            "what is 2+2 apples * 5?",
            "what is 20% tip on 50?",
            "what is 200 + 10%?",
        ] {
            assert_eq!(find(sentence), None, "{sentence}");
        }
    }

    #[test]
    fn an_impossible_sum_is_still_one_and_the_calculator_says_why() {
        assert_eq!(find("what is 1/0?").as_deref(), Some("1 / 0"));
        assert_eq!(find("what is 2 + ?").as_deref(), Some("2 + "));
        assert_eq!(find("what is 1,5 + 2?").as_deref(), Some("1,5 + 2"));
    }
}
