//! The budgets, as an operator sets them.

use super::*;

#[test]
fn budgets_are_set_by_their_keys_and_a_window_is_no_longer_than_a_year() {
    let set = [
        ("budgets.user.tokens", "5"),
        ("budgets.session.time", "8h"),
        ("budgets.user_window", "1h"),
    ];
    let budgets = with_flags(&set).unwrap().budgets;
    assert_eq!(budgets.user.tokens, 5);
    assert_eq!(budgets.session.time, Duration::from_secs(8 * 60 * 60));
    assert_eq!(budgets.user_window, Duration::from_secs(60 * 60));
    let too_long = with_flags(&[("budgets.user_window", "400days")]).unwrap_err();
    says(&too_long.to_string(), &["budgets.user_window", "366days"]);
    let unknown = with_flags(&[("budgets.run.time", "1h")]).unwrap_err();
    says(&unknown.to_string(), &["budgets.run.time"]);
}

#[test]
fn every_budget_is_in_the_default_file_but_the_time_of_a_run() {
    let file: toml::Table = include_str!("../../../config/default.toml").parse().unwrap();
    let known = serde_json::to_value(Budgets::default()).unwrap();
    for scope in ["run", "session", "user"] {
        let keys = known[scope].as_object().unwrap().keys();
        let named = file["budgets"][scope].as_table().unwrap();
        let missing: Vec<_> = keys.filter(|key| !named.contains_key(*key)).collect();
        let expected: &[&str] = if scope == "run" { &["time"] } else { &[] };
        assert_eq!(missing, expected, "{scope}");
    }
    assert_eq!(Config::default().budgets, Budgets::default());
}
