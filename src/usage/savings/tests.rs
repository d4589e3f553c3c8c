use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::usage::{analyse, read};

fn reckoned(text: &str) -> Savings {
    savings(&read(text.as_bytes(), None).unwrap(), &Catalogue::shipped())
}

fn saving<'a>(savings: &'a Savings, id: &str) -> &'a Saving {
    savings
        .measures
        .iter()
        .find(|saving| saving.id == id)
        .unwrap_or_else(|| panic!("{id}: {savings:#?}"))
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn caching_takes_the_cached_price_for_what_came_before_on_the_same_day() {
    let savings = reckoned(
        "timestamp,model,feature,input_tokens,cached_input_tokens,prompt_hash\n\
        2026-10-01,gpt-4.1,chat,1000000,0,a\n\
        2026-10-01,gpt-4.1,chat,1000000,200000,a\n\
        2026-10-02,gpt-4.1,chat,1000000,0,a\n\
        2026-10-01,gpt-4.1,search,1000000,0,a\n\
        2026-10-01,command-a-03-2025,chat,1000000,0,b\n\
        2026-10-01,command-a-03-2025,chat,1000000,0,b\n",
    );
    // Of the second row 800,000 tokens at 0.50 and not 2.00. Cohere's model has no price for cached input.
    let caching = saving(&savings, "caching");
    assert_eq!(caching.saves, decimal("1.2"));
    assert_eq!(caching.detail, json!({"requests": 1, "input_tokens": 800_000}));
}

#[test]
fn batches_save_what_the_catalogue_says_and_only_slow_features_count_among_all() {
    let savings = reckoned(
        "model,feature,input_tokens,latency_ms\n\
        gpt-4.1-nano,reports,1000000,20000\n\
        command-r7b-12-2024,reports,1000000,20000\n\
        gpt-4.1-nano,chat,1000000,900\n",
    );
    let batches: Vec<_> = savings
        .measures
        .iter()
        .filter(|saving| saving.id == "batching")
        .collect();
    assert_eq!(
        batches.iter().map(|saving| saving.saves).collect::<Vec<_>>(),
        [decimal("0.05"), decimal("0.05")]
    );
    let risks: Vec<_> = batches
        .iter()
        .map(|saving| (saving.title.as_str(), saving.risk))
        .collect();
    assert_eq!(
        risks,
        [("Send chat in batches", "high"), ("Send reports in batches", "medium")]
    );
}

#[test]
fn another_model_has_room_and_every_capability_of_the_one_it_replaces() {
    let text = "model,feature,input_tokens,output_tokens\ngpt-4.1,chat,200000,1000\n";
    for saving in reckoned(text)
        .measures
        .iter()
        .filter(|saving| saving.id == "other_model")
    {
        let to = Catalogue::shipped();
        let to = to.get(saving.detail["to"].as_str().unwrap()).unwrap();
        assert!(
            to.capabilities.contains("vision") && to.capabilities.contains("tools"),
            "{to:?}"
        );
        assert!(to.context_window >= 201_000, "{to:?}");
        assert_ne!(to.tier, crate::usage::catalogue::Tier::Small);
    }
    let savings = reckoned(text);
    let of_tier = |tier: &str| {
        savings
            .measures
            .iter()
            .find(|saving| saving.detail["to_tier"] == tier)
            .unwrap()
    };
    assert_eq!((of_tier("large").risk, of_tier("medium").risk), ("medium", "high"));
    // Nothing in the catalogue holds a request like this.
    let savings = reckoned("model,feature,input_tokens\ngpt-4.1,chat,900000000\n");
    assert!(savings.measures.iter().all(|saving| saving.id != "other_model"));
}

#[test]
fn the_longest_tenth_of_inputs_is_cut_and_cached_input_stays() {
    let rows: String = (1..=20)
        .map(|n| {
            format!(
                "gpt-4.1-nano,chat,{},{}\n",
                n * 100_000,
                if n == 20 { 1_000_000 } else { 0 }
            )
        })
        .collect();
    let savings = reckoned(&format!("model,feature,input_tokens,cached_input_tokens\n{rows}"));
    // The 90th percentile is 1,800,000: 100,000 and 200,000 fresh tokens go, at 0.10 a million.
    let shorter = saving(&savings, "shorter_context");
    assert_eq!(shorter.saves, decimal("0.03"));
    assert_eq!(shorter.detail["at_most_input_tokens"], 1_800_000);
    assert_eq!(shorter.detail["requests"], 2);
}

#[test]
fn a_row_never_saves_more_than_it_cost() {
    let savings = reckoned("model,feature,input_tokens,cost_usd\ngpt-4.1,chat,1000000,0.001\n");
    assert_eq!(savings.baseline, decimal("0.001"));
    assert!(savings.measures.iter().all(|saving| saving.saves <= savings.baseline));
    assert!(!savings.measures.is_empty() && savings.combined <= savings.baseline);
}

#[test]
fn rows_of_unknown_models_and_no_rows_at_all_save_nothing() {
    for text in [
        "model,input_tokens,cost_usd\nmine,5,7\n",
        "model,input_tokens\nmine,5\n",
        "input_tokens\nx\n",
    ] {
        let savings = reckoned(text);
        assert_eq!((savings.measures.len(), savings.combined), (0, Decimal::ZERO), "{text}");
    }
    assert_eq!(
        reckoned("model,input_tokens,cost_usd\nmine,5,7\n").baseline,
        decimal("7")
    );
}

#[test]
fn data_that_names_a_feature_in_each_row_is_reckoned_in_time() {
    let rows: String = (0..100_000).map(|n| format!("gpt-4.1,f{n},{}\n", 1_000 + n)).collect();
    let usage = read(format!("model,feature,input_tokens\n{rows}").as_bytes(), None).unwrap();
    let begun = tokio::time::Instant::now();
    let told = savings(&usage, &Catalogue::shipped());
    let analysis = analyse(&usage, &Catalogue::shipped()).to_json();
    assert_eq!(
        (told.measures.len(), analysis["left_out"]["by_feature"].clone()),
        (TOLD, json!(99_950))
    );
    // A second in a debug build; each row against each feature would be hours.
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}

fn table() -> impl Strategy<Value = String> {
    let models = [
        "gpt-4.1",
        "gpt-5",
        "claude-opus-4-5",
        "deepseek-chat",
        "command-a-03-2025",
        "gpt-4o-mini",
        "mine",
    ];
    let row = (
        1_u32..=9,
        select(models.to_vec()),
        select(vec!["chat", "search"]),
        0_u64..200_000,
        0_u64..9_000,
        0_u64..=100,
        (0_u64..40_000, 0_u8..9, prop::option::weighted(0.2, 0_u32..9_000)),
    );
    prop::collection::vec(row, 0..80).prop_map(|rows| {
        let row = |(day, model, feature, input, output, cached, (latency, prompt, cost))| {
            let cost = Option::map_or(cost, String::new(), |cost: u32| format!("0.{cost:04}"));
            let cached = input * cached / 100;
            format!("2026-10-0{day},{model},{feature},{input},{output},{cached},{latency},{prompt},{cost}\n")
        };
        let rows: String = rows.into_iter().map(row).collect();
        format!("timestamp,model,feature,input_tokens,output_tokens,cached_input_tokens,latency_ms,prompt_hash,cost_usd\n{rows}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn groups_add_up_and_savings_stay_within_what_was_paid(text in table()) {
        let usage = read(text.as_bytes(), None).unwrap();
        prop_assert_eq!(usage.skipped_count, 0);
        let catalogue = Catalogue::shipped();
        let analysis = analyse(&usage, &catalogue);
        for groups in [&analysis.by_model, &analysis.by_feature, &analysis.by_day] {
            let sums = groups.iter().map(|group| &group.figures);
            prop_assert_eq!(sums.clone().map(|sum| sum.cost).sum::<Decimal>(), analysis.totals.cost);
            prop_assert_eq!(sums.clone().map(|sum| sum.requests).sum::<u64>(), analysis.totals.requests);
            prop_assert_eq!(sums.map(|sum| sum.input_tokens).sum::<u64>(), analysis.totals.input_tokens);
        }
        let savings = savings(&usage, &catalogue);
        prop_assert_eq!(savings.baseline, analysis.totals.cost);
        prop_assert!(savings.combined >= Decimal::ZERO && savings.combined <= savings.baseline);
        prop_assert!(savings.combined <= savings.measures.iter().map(|saving| saving.saves).sum());
        prop_assert!(savings.measures.len() <= TOLD);
        prop_assert!(savings.measures.iter().all(|saving| saving.saves > Decimal::ZERO && saving.saves <= savings.baseline));
        prop_assert!(savings.measures.is_sorted_by(|one, next| one.saves >= next.saves));
        prop_assert_eq!(savings, super::savings(&usage, &catalogue));
    }

    #[test]
    fn no_bytes_whatever_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), head in any::<bool>()) {
        let mut data = if head { b"timestamp,model,input_tokens,cost_usd\n".to_vec() } else { Vec::new() };
        data.extend(bytes);
        if let Ok(usage) = read(&data, None) {
            let catalogue = Catalogue::shipped();
            let _ = (analyse(&usage, &catalogue).to_json(), super::savings(&usage, &catalogue).to_json());
        }
    }
}
