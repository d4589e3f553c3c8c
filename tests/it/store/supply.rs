//! Users' changes of the supply catalogue: their own, logged, the last one counts.

use serde_json::{Value, json};
use sessile::store::supply::{FieldChange, Overlay, SUPPLY_CHANGES_PER_USER, Source, SupplyError, SupplyUpdate};
use sessile_actors::testing::user;

use super::kit::{World, at};

super::over_both_backends! {
    the_last_change_of_a_field_counts_and_the_log_keeps_all
    a_value_that_stays_is_no_change
    another_users_changes_are_not_there
    changes_are_bounded_and_an_update_is_taken_whole_or_not_at_all
    updates_at_the_same_time_log_what_was_before_each
}

fn field(field: &str, shipped: Value, new: Value) -> FieldChange {
    FieldChange {
        field: field.to_owned(),
        shipped,
        new,
    }
}

fn update(model: &str, fields: Vec<FieldChange>) -> SupplyUpdate {
    SupplyUpdate {
        model: model.to_owned(),
        fields,
        confidence: 0.85,
        reason: "the list changed".to_owned(),
        sources: vec![Source {
            url: "https://example.org".to_owned(),
            title: "Prices".to_owned(),
        }],
        at: at(1),
    }
}

fn priced(price: &str) -> SupplyUpdate {
    update("m", vec![field("input", json!("2.00"), json!(price))])
}

async fn the_last_change_of_a_field_counts_and_the_log_keeps_all(world: World) {
    let ada = user("ada");
    let both = vec![
        field("input", json!("2.00"), json!("1.00")),
        field("window", json!(8), json!(9)),
    ];
    let logged = world.supply.update(&ada, update("m", both)).await.unwrap();
    assert_eq!(logged.len(), 2);
    world.supply.update(&ada, priced("0.50")).await.unwrap();
    world
        .supply
        .update(&ada, update("n", vec![field("window", json!(null), json!([1]))]))
        .await
        .unwrap();
    let overlay = |model: &str, field: &str, value| Overlay {
        model: model.to_owned(),
        field: field.to_owned(),
        value,
    };
    let expected = [
        overlay("m", "input", json!("0.50")),
        overlay("m", "window", json!(9)),
        overlay("n", "window", json!([1])),
    ];
    assert_eq!(world.supply.overlay(&ada).await.unwrap(), expected);
    let log = world.supply.log(&ada, Some("m".to_owned()), 9).await.unwrap();
    let values: Vec<_> = log.iter().map(|change| (&change.old, &change.new)).collect();
    assert_eq!(values[0], (&json!("1.00"), &json!("0.50")));
    assert_eq!(values[1..], [(&json!(8), &json!(9)), (&json!("2.00"), &json!("1.00"))]);
    assert_eq!(
        (log[2].confidence, log[2].at.as_str()),
        (0.85, "2023-11-14T22:13:21.000Z")
    );
    assert_eq!(log[2].sources[0].title, "Prices");
    let newest = world.supply.log(&ada, None, 1).await.unwrap();
    assert_eq!((newest.len(), newest[0].model.as_str()), (1, "n"));
}

async fn a_value_that_stays_is_no_change(world: World) {
    let ada = user("ada");
    assert_eq!(world.supply.update(&ada, priced("2.00")).await, Ok(Vec::new()));
    world.supply.update(&ada, priced("1.00")).await.unwrap();
    assert_eq!(world.supply.update(&ada, priced("1.00")).await, Ok(Vec::new()));
    assert_eq!(world.supply.log(&ada, None, 9).await.unwrap().len(), 1);
}

async fn another_users_changes_are_not_there(world: World) {
    let (ada, eve) = (user("ada"), user("eve"));
    world.supply.update(&ada, priced("1.00")).await.unwrap();
    assert_eq!(world.supply.overlay(&eve).await, Ok(Vec::new()));
    assert_eq!(world.supply.log(&eve, None, 9).await, Ok(Vec::new()));
    assert_eq!(world.supply.log(&eve, Some("m".to_owned()), 9).await, Ok(Vec::new()));
    // What is old for eve is the shipped value, whatever ada changed.
    let logged = world.supply.update(&eve, priced("0.10")).await.unwrap();
    assert_eq!(logged[0].old, json!("2.00"));
    assert_eq!(world.supply.overlay(&ada).await.unwrap()[0].value, json!("1.00"));
}

async fn changes_are_bounded_and_an_update_is_taken_whole_or_not_at_all(world: World) {
    let ada = user("ada");
    let updates = (1..SUPPLY_CHANGES_PER_USER).map(|n| world.supply.update(&ada, priced(&n.to_string())));
    for logged in futures_util::future::join_all(updates).await {
        assert_eq!(logged.unwrap().len(), 1);
    }
    let two = vec![
        field("input", json!("2.00"), json!("0.07")),
        field("window", json!(8), json!(9)),
    ];
    assert_eq!(
        world.supply.update(&ada, update("m", two)).await,
        Err(SupplyError::TooMany)
    );
    assert_eq!(world.supply.overlay(&ada).await.unwrap().len(), 1);
    assert_eq!(world.supply.update(&ada, priced("0.08")).await.unwrap().len(), 1);
    assert_eq!(
        world.supply.update(&ada, priced("0.09")).await,
        Err(SupplyError::TooMany)
    );
    assert!(world.supply.update(&user("eve"), priced("0.09")).await.is_ok());
}

async fn updates_at_the_same_time_log_what_was_before_each(world: World) {
    let ada = user("ada");
    let updates = ["1.00", "0.90", "0.80", "0.70"].map(|price| world.supply.update(&ada, priced(price)));
    for logged in futures_util::future::join_all(updates).await {
        logged.unwrap();
    }
    let log = world.supply.log(&ada, None, 9).await.unwrap();
    assert_eq!(log.len(), 4);
    assert!(log.windows(2).all(|two| two[0].old == two[1].new), "{log:?}");
    assert_eq!(log[3].old, json!("2.00"));
}
