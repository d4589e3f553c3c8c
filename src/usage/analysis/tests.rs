use super::*;
use crate::usage::read;

fn analysed(text: &str) -> Value {
    analyse(&read(text.as_bytes(), None).unwrap(), &Catalogue::shipped()).to_json()
}

/// A month of a row a day of so many tokens of gpt-4.1, at 2 US dollars a million.
fn month(tokens: impl Fn(i64) -> u64) -> String {
    let first = Day::parse("2026-10-01").unwrap();
    let row = |n| format!("{},gpt-4.1,chat,{},0,{n}\n", first.plus(n), tokens(n));
    let rows: String = (0..30).map(row).collect();
    format!("timestamp,model,feature,input_tokens,output_tokens,prompt_hash\n{rows}")
}

#[test]
fn totals_groups_and_shares_are_exact() {
    let told = analysed(
        "timestamp,model,feature,input_tokens,output_tokens,cached_input_tokens,cost_usd\n\
        2026-10-02,gpt-4.1,chat,1000,100,400,\n\
        2026-10-01,gpt-4.1-mini,search,3,1,0,\n\
        2026-10-01,house-model,chat,10,10,0,0.005\n\
        2026-10-01,nobody,chat,10,10,0,\n",
    );
    // 600 * 2 + 400 * 0.5 + 100 * 8, and 3 * 0.4 + 1 * 1.6, in millionths.
    assert_eq!(told["totals"]["cost_usd"], "0.007203");
    assert_eq!(told["totals"]["cost_usd_rounded"], "0.01");
    assert_eq!(told["totals"]["cached_input_tokens"], 400);
    let models: Vec<_> = told["by_model"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["model"])
        .collect();
    assert_eq!(models, ["house-model", "gpt-4.1", "gpt-4.1-mini", "nobody"]);
    assert_eq!(told["by_model"][0]["share_percent"], "69.42");
    assert_eq!(told["by_day"][0]["day"], "2026-10-01");
    assert_eq!(told["unpriced_models"], json!(["nobody"]));
    assert_eq!(
        told["period"],
        json!({"from": "2026-10-01", "to": "2026-10-02", "days": 2})
    );
    assert_eq!(told["missing"], json!(["latency_ms", "prompt_hash"]));
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let rows: String = (1..=20).rev().map(|n| format!("{n},{}\n", 5)).collect();
    let told = analysed(&format!("input_tokens,output_tokens\n{rows}"));
    assert_eq!(
        told["percentiles"]["input_tokens"],
        json!({"p50": 10, "p90": 18, "p99": 20})
    );
    assert_eq!(
        told["percentiles"]["output_tokens"],
        json!({"p50": 5, "p90": 5, "p99": 5})
    );
    assert_eq!(
        told["percentiles"]["latency_ms"],
        json!({"p50": null, "p90": null, "p99": null})
    );
}

#[test]
fn a_trend_compares_the_halves_of_the_period_with_days_without_usage() {
    let told = analysed(&month(|n| if n < 15 { 1_000_000 } else { 1_250_000 }));
    assert_eq!(told["trend"]["first_half_usd_per_day"], "2.000000");
    assert_eq!(told["trend"]["change_percent"], "25.00");
    let told = analysed("timestamp,model,input_tokens\n2026-10-01,gpt-4.1,1000000\n2026-10-05,gpt-4.1,500000\n");
    assert_eq!(
        told["trend"],
        json!({"first_half_usd_per_day": "1.000000", "second_half_usd_per_day": "0.500000", "change_percent": "-50.00"})
    );
    assert_eq!(analysed("timestamp,input_tokens\n2026-10-01,1\n")["trend"], Value::Null);
}

#[test]
fn one_dear_day_stands_out_and_an_even_month_has_none() {
    let told = analysed(&month(|n| {
        if n == 16 {
            3_400_000
        } else {
            1_000_000 + u64::try_from(n % 3).unwrap() * 1_000
        }
    }));
    let outlier =
        json!({"kind": "day", "name": "2026-10-17", "cost_usd": "6.800000", "reason": "3.4 times the median day"});
    assert_eq!(told["outliers"], json!([outlier]));
    assert_eq!(
        analysed(&month(|n| 1_000_000 + u64::try_from(n).unwrap() * 10_000))["outliers"],
        json!([])
    );
}

#[test]
fn one_dear_request_stands_out_among_those_of_its_feature() {
    let rows: String = (0..40)
        .map(|n| format!("gpt-4.1,chat,{}\n", if n == 7 { 90_000 } else { 1_000 + n }))
        .collect();
    let told = analysed(&format!("model,feature,input_tokens\n{rows}"));
    assert_eq!(told["outliers"][0]["name"], "line 9");
    assert_eq!(told["outliers"][0]["kind"], "row");
}

#[test]
fn repeated_prompts_are_counted_where_the_data_tells_them_apart() {
    let told = analysed("input_tokens,prompt_hash\n100,a\n100,b\n110,a\n120,a\n5,\n");
    let repeated = json!({"known": true, "requests": 3, "distinct": 1, "repeated_input_tokens": 230});
    assert_eq!(told["repeated_prompts"], repeated);
    assert_eq!(analysed("input_tokens\n100\n")["repeated_prompts"]["known"], false);
}

#[test]
fn the_data_is_judged_by_rules_and_the_reasons_are_told() {
    let verdict = |text: &str| {
        let told = analysed(text);
        let reasons = serde_json::to_string(&told["reasons"]).unwrap();
        (told["sufficiency"].as_str().unwrap().to_owned(), reasons)
    };
    let (word, reasons) = verdict(&month(|_| 1_000));
    assert!(word == "partial" && reasons.contains("there are 30 rows"), "{reasons}");
    let (word, reasons) = verdict("input_tokens\n1\n");
    assert!(
        word == "insufficient" && reasons.contains("1 rows") && reasons.contains("nobody knows the cost"),
        "{reasons}"
    );
    let enough = month(|_| 1_000);
    let (header, rows) = enough.split_once('\n').unwrap();
    let enough = format!("{header}\n{}", rows.repeat(4));
    assert_eq!(verdict(&enough), ("sufficient".to_owned(), "[]".to_owned()));
    let (word, reasons) = verdict(&enough.replace("feature", "something"));
    assert!(word == "partial" && reasons.contains("no column feature"), "{reasons}");
    let (word, reasons) = verdict(&format!("{enough}{}", "x,x,x,x,x,x\n".repeat(121)));
    assert!(
        word == "insufficient" && reasons.contains("more rows have faults"),
        "{reasons}"
    );
    let (word, reasons) = verdict(&format!("{enough}{}", "x,x,x,x,x,x\n".repeat(7)));
    assert!(word == "partial" && reasons.contains("7 rows have faults"), "{reasons}");
}

#[test]
fn long_lists_are_cut_and_say_so() {
    let rows: String = (0..60).map(|n| format!("m{n:02},1\n")).collect();
    let told = analysed(&format!("model,input_tokens\n{rows}"));
    assert_eq!(told["by_model"].as_array().unwrap().len(), LISTED);
    assert_eq!(told["left_out"]["by_model"], 10);
    assert!(told["unpriced_models"].as_array().unwrap().len() == LISTED);
}

#[test]
fn what_is_told_at_most_fits_into_a_tools_output() {
    let name = |n: usize| format!("{n:03}{}", "é".repeat(48));
    let first = Day::parse("2026-01-01").unwrap();
    let rows: String = (0..3_000)
        .map(|n| {
            let day = first.plus(i64::try_from(n % 90).unwrap());
            format!(
                "{day},{},{},{},1,0.{n:04}\n",
                name(n % 300),
                name(n % 200),
                if n % 50 == 0 { "x" } else { "999999999" }
            )
        })
        .collect();
    let told = analysed(&format!(
        "timestamp,model,feature,input_tokens,output_tokens,cost_usd\n{rows}"
    ));
    let most = sessile_actors::limits::Limits::default().tool_output_bytes;
    assert!(told.to_string().len() < most, "{}", told.to_string().len());
}
