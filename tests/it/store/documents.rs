//! Documents: a user's own, whole or not at all, found by their words, bounded. And what messages may name.

use bytes::Bytes;
use futures_util::future::join_all;
use sessile::store::{DocumentError, DocumentInfo};
use sessile_actors::ids::{DocumentId, UserId};
use sessile_actors::infra::journal::{Accept, StoreCommand, StoreError, StoreReply};
use sessile_actors::testing::user;
use sha2::{Digest as _, Sha256};

use super::kit::{DOCUMENT_LIMITS as LIMITS, World, accept, at, done};

super::over_both_backends! {
    a_document_comes_back_as_it_went_in
    documents_are_listed_newest_first
    two_users_with_the_same_words_never_find_each_others_documents
    a_document_of_somebody_else_is_not_there
    a_search_finds_passages_that_hold_every_word_best_first
    what_is_searched_for_is_words_and_never_a_query_language
    a_replaced_text_is_read_and_found_and_the_old_one_is_not
    a_deleted_document_is_not_there_and_makes_room
    the_quota_is_exact_under_concurrent_puts
    a_replacement_counts_instead_of_what_it_replaces
    what_is_no_document_is_refused
    a_user_has_so_many_documents_and_no_more
    a_message_names_its_users_documents_only
    a_queued_message_keeps_its_documents_through_a_revival
    a_repeat_is_answered_although_its_document_is_gone
}

/// Words, in more than one part.
fn long_text() -> String {
    (0..9_000)
        .map(|line| format!("row {line}, größe {}€\n", line * 7))
        .collect()
}

async fn put(world: &World, user: &UserId, name: &str, text: &str) -> DocumentInfo {
    let content = Bytes::from(text.to_owned());
    let put = world
        .documents
        .put(user, name.to_owned(), "text/plain".to_owned(), content);
    put.await.unwrap()
}

/// The names of what is found.
async fn find(world: &World, user: &UserId, words: &str) -> Vec<String> {
    let found = world.documents.search(user, words.to_owned(), 9).await.unwrap();
    found.into_iter().map(|found| found.name).collect()
}

async fn read(world: &World, user: &UserId, id: DocumentId) -> Result<Bytes, DocumentError> {
    world.documents.read(user, id).await.map(|(_, content)| content)
}

async fn a_document_comes_back_as_it_went_in(world: World) {
    let (ada, text) = (user("ada"), long_text());
    let kept = put(&world, &ada, "reports/usage.txt", &text).await;
    assert_eq!(
        (kept.name.as_str(), kept.media_type.as_str()),
        ("usage.txt", "text/plain")
    );
    assert_eq!(kept.bytes, text.len() as u64);
    assert_eq!(kept.sha256, format!("{:x}", Sha256::digest(&text)));
    let (info, content) = world.documents.read(&ada, kept.document_id).await.unwrap();
    assert!(content == text.as_bytes(), "another text of {} bytes", content.len());
    assert_eq!(info, kept);
    assert_eq!(world.documents.info(&ada, kept.document_id).await, Ok(kept));
}

async fn documents_are_listed_newest_first(world: World) {
    let ada = user("ada");
    for name in ["one", "two", "three"] {
        put(&world, &ada, name, "text").await;
    }
    let listed = world.documents.list(&ada, 2).await.unwrap();
    let names: Vec<_> = listed.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["three", "two"]);
}

async fn two_users_with_the_same_words_never_find_each_others_documents(world: World) {
    let users: Vec<_> = (0..4).map(|number| user(&format!("user-{number}"))).collect();
    let text = format!("the canary sings for everybody\n{}", long_text());
    let puts = users.iter().map(|user| {
        let own = Bytes::from(text.clone());
        world
            .documents
            .put(user, format!("{user}.txt"), "text/plain".to_owned(), own)
    });
    for outcome in join_all(puts).await {
        outcome.unwrap();
    }
    for user in &users {
        let own = vec![format!("{user}.txt")];
        assert_eq!(find(&world, user, "canary sings").await, own);
        assert_eq!(find(&world, user, "row 8999").await, own);
        assert_eq!(find(&world, user, "TXT").await, own, "by its name");
    }
    assert_eq!(find(&world, &user("eve"), "canary").await, Vec::<String>::new());
}

async fn a_document_of_somebody_else_is_not_there(world: World) {
    let (ada, eve) = (user("ada"), user("eve"));
    let id = put(&world, &ada, "diary", "a secret").await.document_id;
    let content = Bytes::from_static(b"mine now");
    assert_eq!(world.documents.info(&eve, id).await, Err(DocumentError::NotFound));
    assert_eq!(read(&world, &eve, id).await, Err(DocumentError::NotFound));
    assert_eq!(
        world.documents.replace(&eve, id, content).await,
        Err(DocumentError::NotFound)
    );
    assert_eq!(world.documents.delete(&eve, id).await, Err(DocumentError::NotFound));
    assert_eq!(world.documents.list(&eve, 9).await, Ok(Vec::new()));
    assert_eq!(read(&world, &ada, id).await.unwrap(), "a secret");
    // As if it had never been.
    assert_eq!(
        world.documents.delete(&ada, DocumentId::mint()).await,
        Err(DocumentError::NotFound)
    );
}

async fn a_search_finds_passages_that_hold_every_word_best_first(world: World) {
    let ada = user("ada");
    put(&world, &ada, "once", "The cost of a model.").await;
    put(
        &world,
        &ada,
        "often",
        "Model costs: the COST of model one, cost of model two.",
    )
    .await;
    put(&world, &ada, "other", "Nothing of the kind, only costs.").await;
    put(
        &world,
        &ada,
        "long",
        &format!("{}the needle of the model\n", long_text()),
    )
    .await;
    assert_eq!(find(&world, &ada, "cost model").await, ["often", "once"]);
    assert_eq!(
        find(&world, &ada, "OTHER costs").await,
        ["other"],
        "name and text together"
    );
    let found = world.documents.search(&ada, "needle".to_owned(), 9).await.unwrap();
    assert_eq!(found[0].name, "long");
    assert!(found[0].snippet.contains("the needle of the model"), "{:?}", found[0]);
    assert!(found[0].snippet.chars().count() <= 300);
    assert_eq!(
        world.documents.search(&ada, "the".to_owned(), 2).await.unwrap().len(),
        2
    );
}

async fn what_is_searched_for_is_words_and_never_a_query_language(world: World) {
    let ada = user("ada");
    put(&world, &ada, "mine", "plain or NOT near größe").await;
    put(&world, &user("eve"), "hers", "plain text").await;
    for words in [
        "plain OR größe",
        "\"plain\"",
        "plain) OR (owner : eve",
        "owner:\"657665\" plain",
        "pla*",
        "words : plain",
        "^plain",
        "NEAR(plain größe)",
        "plain -x",
        "ﬁ plain ½ ² प्लेन",
        "\0plain",
    ] {
        let found = find(&world, &ada, words).await;
        assert!(!found.contains(&"hers".to_owned()), "{words:?} found {found:?}");
    }
    assert_eq!(find(&world, &ada, "plain OR größe").await, ["mine"], "or is a word");
    assert_eq!(find(&world, &ada, "\"PLAIN\" (GRÖSSE)").await, Vec::<String>::new());
    assert_eq!(find(&world, &ada, "\"PLAIN\" (GRÖßE)").await, ["mine"]);
    for nothing in ["", "  ", "\"*\"", "-", "😀"] {
        assert_eq!(find(&world, &ada, nothing).await, Vec::<String>::new(), "{nothing:?}");
    }
}

async fn a_replaced_text_is_read_and_found_and_the_old_one_is_not(world: World) {
    let ada = user("ada");
    let kept = put(&world, &ada, "notes", "about apples").await;
    let id = kept.document_id;
    let text = format!("about pears\n{}", long_text());
    let replaced = world
        .documents
        .replace(&ada, id, Bytes::from(text.clone()))
        .await
        .unwrap();
    assert_eq!((replaced.document_id, &replaced.created_at), (id, &kept.created_at));
    assert_eq!(replaced.sha256, format!("{:x}", Sha256::digest(&text)));
    assert!(read(&world, &ada, id).await.unwrap() == text.as_bytes());
    assert_eq!(find(&world, &ada, "apples").await, Vec::<String>::new());
    assert_eq!(find(&world, &ada, "pears notes").await, ["notes"]);
    assert_eq!(world.documents.list(&ada, 9).await.unwrap(), [replaced]);
}

async fn a_deleted_document_is_not_there_and_makes_room(world: World) {
    let ada = user("ada");
    let text = "x ".repeat(LIMITS.bytes / 2);
    // More than fits, were nothing deleted.
    for _ in 0..=LIMITS.bytes_per_user / LIMITS.bytes as u64 {
        let id = put(&world, &ada, "big", &text).await.document_id;
        world.documents.delete(&ada, id).await.unwrap();
        assert_eq!(read(&world, &ada, id).await, Err(DocumentError::NotFound));
        assert_eq!(find(&world, &ada, "x").await, Vec::<String>::new());
        assert_eq!(world.documents.delete(&ada, id).await, Err(DocumentError::NotFound));
    }
    assert_eq!(world.documents.list(&ada, 9).await, Ok(Vec::new()));
}

async fn the_quota_is_exact_under_concurrent_puts(world: World) {
    let ada = user("ada");
    let fit = usize::try_from(LIMITS.bytes_per_user).unwrap() / LIMITS.bytes;
    let content = Bytes::from("x".repeat(LIMITS.bytes));
    let puts = (0..fit + 3).map(|number| {
        let name = format!("document {number}");
        world
            .documents
            .put(&ada, name, "text/plain".to_owned(), content.clone())
    });
    let outcomes = join_all(puts).await;
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(taken, fit, "{outcomes:?}");
    let most = LIMITS.bytes_per_user;
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(refused, DocumentError::QuotaExceeded { most });
    }
    assert_eq!(world.documents.list(&ada, 99).await.unwrap().len(), fit);
    put(&world, &user("eve"), "hers", "another user has room").await;
}

async fn a_replacement_counts_instead_of_what_it_replaces(world: World) {
    let ada = user("ada");
    let full = Bytes::from("x".repeat(LIMITS.bytes));
    let mut last = None;
    for number in 0..usize::try_from(LIMITS.bytes_per_user).unwrap() / LIMITS.bytes {
        let name = format!("document {number}");
        let put = world.documents.put(&ada, name, "text/plain".to_owned(), full.clone());
        last = Some(put.await.unwrap().document_id);
    }
    let id = last.unwrap();
    // There is no byte left, and none is needed.
    assert!(world.documents.replace(&ada, id, full.clone()).await.is_ok());
    let more = Bytes::from_static(b"one more");
    let refused = world
        .documents
        .put(&ada, "more".to_owned(), "text/plain".to_owned(), more);
    let most = LIMITS.bytes_per_user;
    assert_eq!(refused.await, Err(DocumentError::QuotaExceeded { most }));
}

async fn what_is_no_document_is_refused(world: World) {
    let ada = user("ada");
    let (bytes, most) = (LIMITS.bytes + 1, LIMITS.bytes);
    for (name, content, error) in [
        (
            "a",
            "x".repeat(bytes).into_bytes(),
            DocumentError::TooLarge { bytes, most },
        ),
        ("a", Vec::new(), DocumentError::Empty),
        ("a", b"\x89PNG\r\n".to_vec(), DocumentError::NotText),
        ("a", b"a\0b".to_vec(), DocumentError::NotText),
        ("", b"text".to_vec(), DocumentError::BadName),
        ("a\nb", b"text".to_vec(), DocumentError::BadName),
    ] {
        let put = world
            .documents
            .put(&ada, name.to_owned(), "text/plain".to_owned(), content.into());
        assert_eq!(put.await, Err(error));
    }
    let id = put(&world, &ada, "kept", "as it was").await.document_id;
    let replaced = world.documents.replace(&ada, id, Bytes::from_static(b"\xff")).await;
    assert_eq!(replaced, Err(DocumentError::NotText));
    assert_eq!(read(&world, &ada, id).await.unwrap(), "as it was");
    assert_eq!(find(&world, &ada, "was").await, ["kept"]);
}

async fn a_user_has_so_many_documents_and_no_more(world: World) {
    let ada = user("ada");
    for number in 0..LIMITS.per_user {
        put(&world, &ada, &format!("document {number}"), "text").await;
    }
    let more = world.documents.put(
        &ada,
        "one more".to_owned(),
        "text/plain".to_owned(),
        Bytes::from_static(b"text"),
    );
    let most = LIMITS.per_user;
    assert_eq!(more.await, Err(DocumentError::TooMany { most }));
    let first = world.documents.list(&ada, 1).await.unwrap()[0].document_id;
    assert!(
        world
            .documents
            .replace(&ada, first, Bytes::from_static(b"other"))
            .await
            .is_ok()
    );
}

async fn a_message_names_its_users_documents_only(world: World) {
    let mut ada = world.session("ada").await;
    let own = put(&world, ada.context.user(), "own", "text").await.document_id;
    let foreign = put(&world, &user("eve"), "foreign", "text").await.document_id;
    let gone = put(&world, ada.context.user(), "gone", "text").await.document_id;
    world.documents.delete(ada.context.user(), gone).await.unwrap();
    let message = accept(ada.thread, "look at these", true);
    for document in [foreign, gone, DocumentId::mint()] {
        let naming = Accept {
            references: vec![own, document],
            ..message.clone()
        };
        assert_eq!(ada.ask(StoreCommand::Accept(naming)).await, StoreReply::NoDocument);
        // Nothing was taken: no thread was made, no run holds it, and the id is free.
        let history = world.history(&ada, message.thread_id).await;
        assert!(history.is_ok_and(|history| history.messages.is_empty() && history.active_runs.is_empty()));
        let listed = world.threads.list(ada.context.user().clone(), Default::default()).await;
        assert_eq!(listed.map(|page| page.threads.len()), Ok::<_, StoreError>(0));
    }
    let naming = Accept {
        references: vec![own],
        ..message
    };
    assert_eq!(ada.ask(StoreCommand::Accept(naming)).await, done());
}

async fn a_queued_message_keeps_its_documents_through_a_revival(world: World) {
    let mut ada = world.session("ada").await;
    let one = put(&world, ada.context.user(), "one", "text").await.document_id;
    let two = put(&world, ada.context.user(), "two", "text").await.document_id;
    ada.start("this runs").await;
    let naming = Accept {
        references: vec![two, one],
        ..accept(ada.thread, "this waits", false)
    };
    assert_eq!(ada.ask(StoreCommand::Accept(naming)).await, done());
    let revived = world.journal.revive(ada.context.clone(), at(9)).await.unwrap();
    let references: Vec<_> = revived.runs.into_iter().map(|run| run.references).collect();
    assert_eq!(references, [vec![], vec![two, one]]);
}

async fn a_repeat_is_answered_although_its_document_is_gone(world: World) {
    let mut ada = world.session("ada").await;
    let id = put(&world, ada.context.user(), "one", "text").await.document_id;
    let naming = Accept {
        references: vec![id],
        ..accept(ada.thread, "look at this", true)
    };
    assert_eq!(ada.ask(StoreCommand::Accept(naming.clone())).await, done());
    world.documents.delete(ada.context.user(), id).await.unwrap();
    let again = ada.ask(StoreCommand::Accept(naming)).await;
    assert!(matches!(again, StoreReply::Duplicate { .. }), "{again:?}");
}
