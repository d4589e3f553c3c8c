//! Documents in memory, for tests and `--journal memory`: one task owns them, as in the memory journal.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sessile_actors::ids::{DocumentId, UserId};
use sessile_actors::infra::memory::MemoryJournal;
use sessile_actors::protocol::server::rfc3339;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::text::{Query, parts};
use super::{DocumentError, DocumentInfo, DocumentLimits, DocumentStore, Found, RANKED_DOCUMENTS, document_name};

/// Jobs that wait for the task. Beyond: [`DocumentError::Unavailable`].
const JOBS: usize = 1_024;

/// A user's documents, oldest first.
type Documents = BTreeMap<UserId, Vec<Document>>;
type Job = Box<dyn FnOnce(&mut Documents) + Send>;

#[derive(Clone)]
struct Document {
    info: DocumentInfo,
    content: Bytes,
}

/// A [`DocumentStore`] in memory. Clones share their documents; the task ends with the last of them.
#[derive(Clone)]
pub struct MemoryDocuments {
    /// Where a search works.
    runtime: Handle,
    limits: DocumentLimits,
    /// Is told which documents there are, so that messages may name them.
    journal: Option<MemoryJournal>,
    /// To the task that owns the documents.
    jobs: mpsc::Sender<Job>,
}

impl MemoryDocuments {
    /// Starts without documents on the current tokio runtime, within the default limits. Panics outside a runtime.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(&Handle::current(), DocumentLimits::default(), None)
    }

    /// Starts without documents on `runtime`, beside the journal whose messages may name them.
    #[must_use]
    pub fn start_on(runtime: &Handle, limits: DocumentLimits, journal: Option<MemoryJournal>) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS);
        runtime.spawn(async move {
            let mut documents = Documents::new();
            while let Some(job) = queue.recv().await {
                job(&mut documents);
            }
        });
        Self {
            runtime: runtime.clone(),
            limits,
            journal,
            jobs,
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Documents) -> Result<T, DocumentError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, DocumentError>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.try_send(Box::new(move |documents| {
            // Nobody waits any more: it is done all the same.
            let _ = reply.send(work(documents));
        }));
        async move {
            sent.map_err(|_| unavailable("too much at once, or the server is ending"))?;
            answer.await.map_err(|_| unavailable("the server is ending"))?
        }
        .boxed()
    }

    /// Asks, and waits until the journal knows what came of it.
    fn tell<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Documents) -> Result<(T, BoxFuture<'static, ()>), DocumentError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, DocumentError>> {
        let asked = self.ask(work);
        async move {
            let (answer, told) = asked.await?;
            told.await;
            Ok(answer)
        }
        .boxed()
    }
}

impl DocumentStore for MemoryDocuments {
    fn put(
        &self,
        user: &UserId,
        name: String,
        media_type: String,
        content: Bytes,
    ) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>> {
        let (user, limits, journal) = (user.clone(), self.limits, self.journal.clone());
        self.tell(move |documents| {
            let name = document_name(&name)?;
            limits.check_text(&content)?;
            let own = documents.entry(user.clone()).or_default();
            limits.check_room(own.len(), together(own), content.len())?;
            let info = DocumentInfo {
                document_id: DocumentId::mint(),
                name,
                media_type,
                bytes: content.len() as u64,
                sha256: format!("{:x}", Sha256::digest(&content)),
                created_at: rfc3339(SystemTime::now()),
            };
            let told = match journal {
                Some(journal) => journal.document_made(user, info.document_id).boxed(),
                None => std::future::ready(()).boxed(),
            };
            let kept = info.clone();
            own.push(Document { info: kept, content });
            Ok((info, told))
        })
    }

    fn info(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>> {
        let user = user.clone();
        self.ask(move |documents| find(documents, &user, id).map(|document| document.info.clone()))
    }

    fn read(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<(DocumentInfo, Bytes), DocumentError>> {
        let user = user.clone();
        self.ask(move |documents| {
            let Document { info, content } = find(documents, &user, id)?.clone();
            Ok((info, content))
        })
    }

    fn list(&self, user: &UserId, limit: usize) -> BoxFuture<'static, Result<Vec<DocumentInfo>, DocumentError>> {
        let user = user.clone();
        self.ask(move |documents| {
            let newest = documents.get(&user).into_iter().flatten().rev();
            Ok(newest.take(limit).map(|document| document.info.clone()).collect())
        })
    }

    fn replace(
        &self,
        user: &UserId,
        id: DocumentId,
        content: Bytes,
    ) -> BoxFuture<'static, Result<DocumentInfo, DocumentError>> {
        let (user, limits) = (user.clone(), self.limits);
        self.ask(move |documents| {
            limits.check_text(&content)?;
            let old = find(documents, &user, id)?.info.bytes;
            let own = documents.entry(user).or_default();
            limits.check_room(own.len() - 1, together(own) - old, content.len())?;
            let place = own.iter_mut().find(|document| document.info.document_id == id);
            let document = place.ok_or(DocumentError::NotFound)?;
            document.info.bytes = content.len() as u64;
            document.info.sha256 = format!("{:x}", Sha256::digest(&content));
            document.content = content;
            Ok(document.info.clone())
        })
    }

    fn search(
        &self,
        user: &UserId,
        words: String,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Found>, DocumentError>> {
        let Some(query) = Query::read(&words) else {
            return std::future::ready(Ok(Vec::new())).boxed();
        };
        let user = user.clone();
        let own = self.ask(move |documents| Ok(documents.get(&user).cloned().unwrap_or_default()));
        let runtime = self.runtime.clone();
        async move {
            let own = own.await?;
            // Not in the task: whoever comes meanwhile need not wait for it.
            let searched = runtime.spawn_blocking(move || search(&own, &query, limit)).await;
            searched.map_err(|_| unavailable("the server is ending"))
        }
        .boxed()
    }

    fn delete(&self, user: &UserId, id: DocumentId) -> BoxFuture<'static, Result<(), DocumentError>> {
        let (user, journal) = (user.clone(), self.journal.clone());
        self.tell(move |documents| {
            find(documents, &user, id)?;
            if let Some(own) = documents.get_mut(&user) {
                own.retain(|document| document.info.document_id != id);
            }
            let told = match journal {
                Some(journal) => journal.document_gone(user, id).boxed(),
                None => std::future::ready(()).boxed(),
            };
            Ok(((), told))
        })
    }
}

fn find<'a>(documents: &'a Documents, user: &UserId, id: DocumentId) -> Result<&'a Document, DocumentError> {
    let mut own = documents.get(user).into_iter().flatten();
    own.find(|document| document.info.document_id == id)
        .ok_or(DocumentError::NotFound)
}

fn together(documents: &[Document]) -> u64 {
    documents.iter().map(|document| document.info.bytes).sum()
}

/// Of each document the first passage that holds the words, best first.
fn search(own: &[Document], query: &Query, limit: usize) -> Vec<Found> {
    let look = |document: &Document| {
        let text = std::str::from_utf8(&document.content).unwrap_or_default();
        let mut passages = parts(text).enumerate();
        let (rank, snippet) = passages.find_map(|(number, part)| {
            let name = (number == 0).then_some(document.info.name.as_str());
            query.look(name, &text[part])
        })?;
        Some(Found {
            document_id: document.info.document_id,
            name: document.info.name.clone(),
            snippet,
            rank,
        })
    };
    let mut found: Vec<Found> = own.iter().rev().filter_map(look).take(RANKED_DOCUMENTS).collect();
    found.sort_by_key(|found| Reverse(found.rank));
    found.truncate(limit);
    found
}

fn unavailable(why: &str) -> DocumentError {
    DocumentError::Unavailable(why.to_owned())
}
