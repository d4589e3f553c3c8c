use super::*;

/// What a page says, a line for each fact.
fn facts(page: &str) -> Vec<String> {
    let names = Names::of(["gpt-5", "gpt-5-mini", "claude-opus-4-5"]);
    let told = read(page, &names).facts.into_iter().map(|fact| match fact.value {
        Stated::Price(field, price) => {
            let field = field.as_str().trim_end_matches("_usd_per_million");
            format!("{} {field} {price}", fact.model)
        }
        Stated::Window(tokens, rounded) => format!("{} {}{tokens}", fact.model, if rounded { "about " } else { "" }),
        Stated::Abilities(words) => format!("{} {}", fact.model, words.into_iter().collect::<Vec<_>>().join("+")),
    });
    told.collect()
}

const BOTH: [&str; 3] = ["gpt-5 input 1.25", "gpt-5 cached_input 0.125", "gpt-5 output 10"];

#[test]
fn prices_are_read_from_tables_lists_and_sentences() {
    for page in [
        "| Model | Input | Cached input | Output |\n|---|---|---|---|\n| GPT-5 | $1.25 / 1M | $0.125 / 1M | $10.00 / 1M |",
        "Prices per 1M tokens.\n\nModel\tInput\tCached input\tOutput\nGPT-5\t$1.25\t$0.125\t$10.00",
        "Model  Input ($/MTok)  Cached input ($/MTok)  Output ($/MTok)\ngpt-5  1.25  0.125  10",
        "model,input (USD per million),cached input (USD per million),output (USD per million)\ngpt-5,1.25,0.125,10.00",
        "| Model | Input per 1K tokens | Cached input per 1K tokens | Output per 1K tokens |\n| gpt-5 | $0.00125 | $0.000125 | $0.01 |",
        "| Model | GPT-5 |\n| Input tokens (cache miss) | $1.25 / 1M |\n| Input tokens (cache hit) | $0.125 / 1M |\n| Output | $10 / 1M |",
        "# GPT-5\nThe best model for coding in any language there is.\nInput: $1.250 / 1M tokens\nCached input: $0.125 / 1M tokens\nOutput: $10.000 / 1M tokens",
        "GPT-5 costs $1.25 per million input tokens, $0.125 per million cached tokens and $10 per million output tokens.",
    ] {
        let mut found = facts(page);
        found.sort_by_key(|fact| BOTH.iter().position(|known| known == fact));
        assert_eq!(found, BOTH, "{page}");
    }
}

#[test]
fn a_table_whose_columns_were_lost_is_read_by_their_order() {
    let head = "Prices per 1M tokens\nModel Context window Input Cached input Output\n";
    let facts_of = |row: &str| facts(&format!("{head}{row}"));
    assert_eq!(
        facts_of("GPT-5 400K $1.25 $0.125 $10.00"),
        [&BOTH[..], &["gpt-5 about 400000"]].concat()
    );
    assert_eq!(
        facts_of("GPT-5 400K $1.25 - $10.00"),
        ["gpt-5 input 1.25", "gpt-5 output 10", "gpt-5 about 400000"]
    );
    for row in [
        "GPT-5 400K $1.25 $10.00",
        "GPT-5 pro 400K $1.25 $0.125 $10.00",
        "GPT-5 batch $1.25 $0.125 $10.00",
        "GPT-5 $1.25 now $0.125 $10.00",
        "GPT-5 $1.25 $0.125 $10.00 $3.00",
    ] {
        assert_eq!(facts_of(row), Vec::<String>::new(), "{row}");
    }
}

#[test]
fn windows_and_abilities_are_read() {
    let table = "| Model | Context window | Capabilities |\n| GPT-5 | 400K | Vision, function calling |\n| GPT-5 mini | 400,000 tokens | - |";
    assert_eq!(
        facts(table),
        ["gpt-5 about 400000", "gpt-5 tools+vision", "gpt-5-mini 400000"]
    );
    assert_eq!(facts("GPT-5 has a context window of 400,000 tokens."), ["gpt-5 400000"]);
    assert_eq!(facts("GPT-5 supports vision."), ["gpt-5 vision"]);
    assert_eq!(
        facts("GPT-5 supports tools but does not support vision."),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_not_plain_is_left_out_with_its_reason() {
    let names = Names::of(["gpt-5", "gpt-5-mini", "claude-opus-4-5"]);
    for (page, why) in [
        (
            "| Model | Input |\n| GPT-5 | $1.25 |",
            "does not say for how many tokens",
        ),
        ("| Model | Input per 1M |\n| GPT-5 | €1.10 |", "not in US dollars"),
        (
            "| Model | Input per 1M |\n| GPT-5 | $1.25 up to 200K, else $2.50 |",
            "more than one amount",
        ),
        ("| Model | Input per 1M |\n| GPT-5 | $1,25 |", "in two ways"),
    ] {
        let read = read(page, &names);
        assert_eq!(read.facts, [], "{page}");
        assert!(read.unused[0].contains(why), "{page}: {:?}", read.unused);
    }
}

#[test]
fn other_models_other_tariffs_and_other_goods_are_no_prices_of_a_model() {
    for page in [
        "| Model | Input per 1M |\n| GPT-5 pro | $15 |",
        "| Model | Input per 1M |\n| GPT-5 (batch) | $0.6 |",
        "Batch API prices\n| Model | Input per 1M |\n| GPT-5 | $0.625 |",
        "| Model | Cache writes per 1M | Batch input per 1M |\n| GPT-5 | $3 | $0.6 |",
        "GPT-5 takes $0.04 per input image.",
        "GPT-5 and GPT-5 mini: input $1 / 1M tokens",
        "GPT-6 turbo\nInput: $9 / 1M tokens",
        "# GPT-5\n# GPT-6\nInput: $9 / 1M tokens",
    ] {
        assert_eq!(facts(page), Vec::<String>::new(), "{page}");
    }
}

#[test]
fn a_page_that_contradicts_itself_states_both() {
    let page = "| Model | Input per 1M |\n| GPT-5 | $1.25 |\n| GPT-5 | $2.50 |";
    assert_eq!(facts(page), ["gpt-5 input 1.25", "gpt-5 input 2.5"]);
}

#[test]
fn models_that_nobody_knows_and_news_of_models_are_noted() {
    let names = Names::of(["gpt-5"]);
    let read = read(
        "GPT-5 will be retired on 2027-01-31.\n| Model | Input per 1M |\n| GPT-6 | $3 |",
        &names,
    );
    assert_eq!(read.unknown, ["GPT-6"]);
    assert_eq!(
        read.notices,
        [("gpt-5".to_owned(), "GPT-5 will be retired on 2027-01-31.".to_owned())]
    );
}

#[test]
fn a_hostile_page_ends_in_time() {
    let names = Names::of(["gpt-5", "gpt-5-mini"]);
    for page in [
        "|".repeat(PAGE_BYTES * 2),
        "gpt-5 $1,".repeat(PAGE_BYTES),
        "$".repeat(PAGE_BYTES),
        "é€\n".repeat(PAGE_BYTES),
    ] {
        assert_eq!(read(&page, &names).facts, []);
    }
}
