//! Notes: a user's own, bounded.

use sessile::store::{NOTE_BYTES, NOTES_PER_USER, NoteError};
use sessile_actors::testing::user;

use super::kit::World;

super::over_both_backends! {
    notes_are_found_by_their_words_newest_first
    another_users_notes_are_not_there
    notes_are_bounded_and_say_so
}

async fn notes_are_found_by_their_words_newest_first(world: World) {
    let ada = user("ada");
    for text in ["Buy milk", "call Bob", "buy MILK and bread"] {
        world.notes.write(&ada, text.to_owned()).await.unwrap();
    }
    let words = vec!["milk".to_owned(), "buy".to_owned()];
    let found = world.notes.search(&ada, words.clone(), 9).await.unwrap();
    let texts: Vec<_> = found.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(texts, ["buy MILK and bread", "Buy milk"]);
    assert_eq!(world.notes.search(&ada, words, 1).await.unwrap().len(), 1);
    assert_eq!(world.notes.list(&ada, 2).await.unwrap()[1].text, "call Bob");
}

async fn another_users_notes_are_not_there(world: World) {
    world.notes.write(&user("ada"), "a secret".to_owned()).await.unwrap();
    assert_eq!(world.notes.list(&user("eve"), 9).await, Ok(Vec::new()));
    let found = world.notes.search(&user("eve"), vec!["secret".to_owned()], 9).await;
    assert_eq!(found, Ok(Vec::new()));
}

async fn notes_are_bounded_and_say_so(world: World) {
    let ada = user("ada");
    let bytes = NOTE_BYTES + 1;
    let long = world.notes.write(&ada, "x".repeat(bytes)).await;
    assert_eq!(long, Err(NoteError::TooLong { bytes }));
    let writes = (0..NOTES_PER_USER).map(|_| world.notes.write(&ada, "x".repeat(NOTE_BYTES)));
    for written in futures_util::future::join_all(writes).await {
        written.unwrap();
    }
    let more = world.notes.write(&ada, "one more".to_owned()).await;
    assert_eq!(more, Err(NoteError::TooMany));
    assert!(world.notes.write(&user("eve"), "hers".to_owned()).await.is_ok());
}
