use super::*;

fn table(text: &str) -> Usage {
    read(text.as_bytes(), None).unwrap()
}

fn reasons(usage: &Usage) -> Vec<(u64, &str)> {
    let told = usage.skipped.iter();
    told.map(|skipped| (skipped.line, skipped.reason.as_str())).collect()
}

const HEADER: &str =
    "timestamp,model,feature,input_tokens,output_tokens,cached_input_tokens,latency_ms,cost_usd,prompt_hash\n";

#[test]
fn a_row_is_read_with_all_that_it_says() {
    let usage = table(&format!(
        "{HEADER}2026-10-01T08:00:00Z,gpt-5,\"chat, old\",1200,80.0,128,812.5,$0.0012,ab\n"
    ));
    let row = Row {
        line: 2,
        day: Day::parse("2026-10-01"),
        model: 0,
        feature: 0,
        input_tokens: 1200,
        output_tokens: 80,
        cached_input_tokens: 128,
        latency_ms: Some(813),
        cost_usd: "0.0012".parse().ok(),
        prompt: Some(0),
    };
    assert_eq!(usage.rows, [row]);
    assert_eq!(
        (usage.models, usage.features),
        (vec!["gpt-5".to_owned()], vec!["chat, old".to_owned()])
    );
    assert_eq!((usage.skipped_count, usage.missing), (0, Vec::<&str>::new()));
}

#[test]
fn columns_are_found_by_other_names_in_any_case_and_order() {
    for text in [
        "Prompt Tokens;Completion-Tokens;MODEL;Date\n10;20;m;2026-10-01\n",
        "model\tprompt_tokens\tcreated_at\tcompletion_tokens\tnotes\nm\t10\t2026-10-01\t20\tx, y; z\n",
        "\u{feff}\"input\",\"output\",\"engine\",\"day\"\r\n10,20,m,2026-10-01\r\n",
        r#"[{"tokens_in": 10, "tokens_out": "20", "model_id": "m", "time": "2026-10-01"}]"#,
        r#" {"rows": [{"input_tokens": 10.0, "output_tokens": 20, "model": " m ", "date": "2026-10-01", "x": {}}]}"#,
    ] {
        let usage = table(text);
        let row = usage
            .rows
            .first()
            .unwrap_or_else(|| panic!("{text}: {:?}", usage.skipped));
        assert_eq!(
            (row.input_tokens, row.output_tokens, usage.models[0].as_str()),
            (10, 20, "m"),
            "{text}"
        );
        assert_eq!(row.day, Day::parse("2026-10-01"), "{text}");
        assert!(
            usage.missing.contains(&"feature") && usage.features == [UNKNOWN],
            "{text}"
        );
    }
}

#[test]
fn a_column_of_our_name_comes_before_one_of_another() {
    let usage = table("input,input_tokens,output_tokens\n1,2,3\n");
    assert_eq!(usage.rows[0].input_tokens, 2);
}

#[test]
fn a_row_with_a_fault_is_left_out_with_its_line_and_the_others_count() {
    let rows = [
        "2026-10-01,m,f,1,1,,,,",
        "2026-10-01,m,f,-5,1,,,,",
        "2026-10-01,m,f,NaN,1,,,,",
        "2026-10-01,m,f,1.5,1,,,,",
        "2026-10-01,m,f,,1,,,,",
        "yesterday,m,f,1,1,,,,",
        "2026-10-01,,f,1,1,,,,",
        "2026-10-01,\"=HYPERLINK(\"\"http://x\"\")\",f,1,1,,,,",
        "2026-10-01,m,f,1",
        "2026-10-01,m,f,1,1,2,,,",
        "2026-10-01,m,f,1,1,,-3,,",
        "2026-10-01,m,f,1,1,,,inf,",
        "2026-10-01,m,f,1,9999999999,,,,",
        "2026-10-01,m,f,1,1,,,1e300,",
        "2026-10-01,m,f,2,2,,,,",
    ];
    let usage = table(&format!("{HEADER}{}\n", rows.join("\n")));
    assert_eq!(usage.rows.len(), 2);
    assert_eq!(
        reasons(&usage),
        [
            (3, "input_tokens is below zero"),
            (4, "input_tokens is no whole number"),
            (5, "input_tokens is no whole number"),
            (6, "input_tokens is empty"),
            (
                7,
                "timestamp is no day such as 2026-10-17, nor one with a time behind it"
            ),
            (8, "model is empty"),
            (9, "model is a formula"),
            (10, "it has 4 cells and the header 9"),
            (11, "cached_input_tokens is above input_tokens, of which it is a part"),
            (12, "latency_ms is below zero"),
            (13, "cost_usd is no number"),
            (14, "output_tokens is above 1000000000"),
            (15, "cost_usd is no number"),
        ]
    );
}

#[test]
fn in_json_a_bad_row_costs_only_itself() {
    let usage = table(
        r#"[{"input_tokens": 1, "model": "m"}, 7, {"input_tokens": [1], "model": "m"}, {"model": "m"}, {"input_tokens": 1e999}, {"input_tokens": null, "model": "m"}, {"input_tokens": 2, "model": "\u0000m"}]"#,
    );
    assert_eq!(usage.rows.len(), 1);
    let reasons: Vec<_> = reasons(&usage).into_iter().map(|(line, _)| line).collect();
    assert_eq!(reasons, [2, 3, 4, 5, 6, 7]);
}

#[test]
fn what_holds_no_usage_at_all_is_refused_with_what_to_do() {
    let wide: String = (0..10_000).map(|n| format!("c{n},")).collect();
    for (data, part) in [
        ("", "there is no usage data"),
        ("\u{feff} \n", "there is no usage data"),
        ("a,b\n1,2\n", "no column holds input tokens; name one input_tokens"),
        (wide.as_str(), "the header has 10001 columns"),
        ("[]", "there is no usage data"),
        ("{\"rows\": 1}", "no list of objects"),
        ("{\"data\": []}", "no list of objects"),
        ("[{\"input_tokens\": NaN}]", "can't be read"),
        ("{", "can't be read"),
        ("[{\"a\": 1}]", "no column holds input tokens"),
        ("\"unterminated, header\n1,2", "no column holds input tokens"),
    ] {
        let fault = read(data.as_bytes(), None).unwrap_err().to_string();
        assert!(fault.contains(part), "{fault}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(read(deep.as_bytes(), None), Err(ReadError::BadJson(_))));
}

#[test]
fn bytes_that_are_no_utf_8_cost_only_their_row() {
    let usage = read(b"input_tokens,model\n1,m\n2,\xff\xfe\n3,m\n", None).unwrap();
    assert_eq!(usage.rows.len(), 2);
    assert_eq!(reasons(&usage), [(3, "it is not UTF-8")]);
    assert!(read(&[0xff; 64], None).is_err());
}

#[test]
fn everything_is_bounded() {
    let large = vec![b'1'; DATA_BYTES + 1];
    assert_eq!(read(&large, None), Err(ReadError::TooLarge { bytes: DATA_BYTES + 1 }));
    let long = format!(
        "input_tokens,model\n{},m\n1,{}\n",
        "9".repeat(5_000_000),
        "m".repeat(5_000_000)
    );
    let usage = table(&long);
    assert_eq!(
        reasons(&usage),
        [
            (2, "input_tokens is too long for a number"),
            (3, "model is longer than 100 bytes")
        ]
    );
    let faulty = format!("input_tokens\n{}", "x\n".repeat(1_000));
    let usage = table(&faulty);
    assert_eq!((usage.skipped.len(), usage.skipped_count), (SKIPPED_TOLD, 1_000));
    let many = format!("input_tokens\n{}", "1\n".repeat(usize::try_from(ROWS).unwrap() + 1));
    assert_eq!(read(many.as_bytes(), None), Err(ReadError::TooManyRows));
}

#[test]
fn costs_are_rounded_to_what_sums_can_hold() {
    let usage = table("cost_usd\n1.2000000000000002e-05\n0.1234567890125\n");
    let costs: Vec<String> = usage
        .rows
        .iter()
        .filter_map(|row| Some(row.cost_usd?.normalize().to_string()))
        .collect();
    assert_eq!(costs, ["0.000012", "0.123456789013"]);
}
