//! What the server refuses at its start, in sentences that say what to do.

use super::House;

#[test]
fn guests_beyond_loopback_are_refused_with_what_to_set() {
    let said = House::new().listen("0.0.0.0:0").refusal();
    assert!(said.contains("auth.mode") && said.contains("0.0.0.0"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_misspelt_key_is_refused_with_the_nearest_one() {
    let said = House::new().set("limits.run_tme=1m").refusal();
    assert!(said.contains("run_tme") && said.contains("limits.run_time"), "{said}");
    let said = House::new().config("[limits]\nframe_byte = 1\n").refusal();
    assert!(said.contains("sessile.toml") && said.contains("frame_bytes"), "{said}");
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_its_key() {
    for (setting, key) in [
        ("limits.run_time=soon", "limits.run_time"),
        ("limits.frame_bytes=0", "limits.frame_bytes"),
        ("agents.default=nobody", "agents.default"),
        ("models.scripted_file=/nowhere/script.toml", "/nowhere/script.toml"),
        ("supply.file=/nowhere/supply.toml", "/nowhere/supply.toml"),
        (
            concat!("supply.file=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            "line 1: unknown field",
        ),
    ] {
        let said = House::new().set(setting).refusal();
        assert!(said.contains(key), "{setting}: {said}");
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let server = House::new().start().await;
    let data = server.house().data();
    let said = House::new().data_in(data).refusal();
    let place = data.display().to_string();
    assert!(
        said.contains("another server is using") && said.contains(&place),
        "{said}"
    );
    server.connect(&server.guest().await).await.settle().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_with_what_to_do() {
    let server = House::new().start().await;
    let address = server.address.to_string();
    let said = House::new().listen(&address).refusal();
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[cfg(not(feature = "llm"))]
#[tokio::test]
async fn a_build_without_models_over_the_network_says_so_where_one_is_named() {
    let house = House::new()
        .env("SESSILE__MODELS__NAMED__FAST__PROVIDER", "openai")
        .env("SESSILE__MODELS__NAMED__FAST__MODEL", "m-1");
    let refused = house.refusal();
    assert!(
        refused.contains("`fast`") && refused.contains("the feature `llm`"),
        "{refused}"
    );
}
