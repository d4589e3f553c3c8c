use super::*;

const ENTRY: &str = "[[model]]\nprovider = \"p\"\nmodel = \"m\"\ninput_usd_per_million = \"1.50\"\noutput_usd_per_million = \"2\"\n\
    context_window = 1000\ncapabilities = [\"tools\"]\ntier = \"small\"\nsource = \"https://example.org\"\nas_of = \"2026-01-31\"\n";

fn fault(text: &str) -> (usize, String) {
    let error = Catalogue::parse(text).unwrap_err();
    (error.line, error.fault)
}

#[test]
fn the_shipped_catalogue_is_whole_and_covers_several_providers() {
    let catalogue = Catalogue::shipped();
    assert!(catalogue.models().len() >= 20);
    let providers: BTreeSet<_> = catalogue.models().iter().map(|model| &model.provider).collect();
    for provider in ["anthropic", "cohere", "deepseek", "google", "groq", "mistral", "openai"] {
        assert!(providers.contains(&provider.to_owned()), "{provider}");
    }
    for tier in [Tier::Small, Tier::Medium, Tier::Large] {
        assert!(catalogue.models().iter().any(|model| model.tier == tier));
    }
}

#[test]
fn a_model_is_found_by_name_and_alias_whatever_the_case() {
    let catalogue = Catalogue::shipped();
    let model = catalogue.get("gpt-4.1").unwrap();
    assert_eq!(catalogue.get("GPT-4.1-2025-04-14"), Some(model));
    assert_eq!(model.price.cached_input, "0.5".parse().ok());
    assert_eq!(catalogue.get("gpt-17"), None);
}

#[test]
fn a_fault_names_its_line_and_what_to_write() {
    assert!(Catalogue::parse(ENTRY).is_ok());
    for (from, to, part) in [
        ("\"1.50\"", "\"-1.50\"", "input_usd_per_million is \"-1.50\""),
        ("\"1.50\"", "\"1e3\"", "write US dollars"),
        ("\"1.50\"", "\"0.0000001\"", "at most 6 decimals"),
        ("\"1.50\"", "\"100000.01\"", "at most 100000"),
        ("\"1.50\"", "1.5", "expected a string"),
        (
            "\"2\"",
            "\"2\"\ncached_input_usd_per_million = \"1.51\"",
            "above input_usd_per_million",
        ),
        ("= 1000", "= 0", "context_window takes"),
        ("= 1000", "= 1000\nmax_output_tokens = 1001", "within context_window"),
        ("\"tools\"", "\"telepathy\"", "unknown word \"telepathy\""),
        ("\"small\"", "\"tiny\"", "unknown variant `tiny`"),
        ("2026-01-31", "2026-02-31", "write the day as YYYY-MM-DD"),
        ("https://", "ftp://", "https://"),
        ("\"p\"", "\"\"", "provider is empty"),
        ("\"m\"", "\"m\"\naliases = [\"M\"]", "names two models"),
        ("\"p\"", "\"p\"\nprize = \"1\"", "unknown field `prize`"),
        (
            "\"small\"",
            "\"small\"\nbatch_discount = \"50\"",
            "batch_discount is \"50\"",
        ),
    ] {
        let text = format!("# one entry\n{}", ENTRY.replace(from, to));
        let (line, fault) = fault(&text);
        assert!(fault.contains(part), "{fault}");
        assert!(line >= 2, "{fault}: line {line}");
    }
    let (line, twice) = fault(&format!("{ENTRY}\n{ENTRY}"));
    assert!(twice.contains("`m` names two models") && line == 12, "{line}: {twice}");
    assert!(fault("").1.contains("at least one [[model]]"));
    assert_eq!(fault("\n[[model]\n").0, 2);
}

#[test]
fn a_users_values_lie_over_the_frozen_ones_and_what_does_not_fit_is_left_out() {
    let catalogue = Catalogue::parse(ENTRY).unwrap();
    let (price, window) = (json!("0.25"), json!(5));
    let own = catalogue.with([
        ("M", "input_usd_per_million", &price),
        ("m", "context_window", &window),
        ("gone", "context_window", &window),
        ("m", "tier", &price),
        ("m", "capabilities", &window),
    ]);
    let model = own.get("m").unwrap();
    assert_eq!((model.price.input, model.context_window), ("0.25".parse().unwrap(), 5));
    assert_eq!(model.updated, ["input_usd_per_million", "context_window"]);
    assert_eq!(catalogue.get("m").unwrap().context_window, 1000);
}

#[test]
fn a_tier_reaches_itself_and_the_next_below() {
    assert!(Tier::Large.is_at_most_one_above(Tier::Medium) && Tier::Small.is_at_most_one_above(Tier::Small));
    assert!(!Tier::Large.is_at_most_one_above(Tier::Small) && !Tier::Small.is_at_most_one_above(Tier::Medium));
}
