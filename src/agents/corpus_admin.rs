//! `corpus_admin`: finds, shows, adds, changes and deletes the user's documents, one at a time.
//!
//! Which document is meant must be certain before one is changed: where a name fits several, or only nearly, the candidates
//! are asked back. Deleting waits until the user has approved it: its tool asks.

use async_trait::async_trait;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::protocol::server::ToolStatus;
use sessile_actors::session::run::RunContext;

mod choice;
mod lookup;
mod rules;

use self::choice::Choice;
use self::lookup::{Document, Found, Resolved};
use self::rules::{Request, Which};
use super::decide::{Decision, Question, decide};
use super::markdown::{self, escape, name};
use super::steps::OfferedTool;
use super::tool_reply::{self, NoResult};

/// The name that clients and workflows name.
pub const NAME: &str = "corpus_admin";

/// What the model is told to be.
const PROMPT: &str = include_str!("../../config/prompts/corpus_admin.md");

/// The tool that finds and keeps documents, and the one that deletes them.
const CORPUS: &str = "corpus";
const DELETE: &str = "corpus_delete";

/// What the model may look up. Whatever changes a document is done by the agent, once it is certain which.
const OFFERED: [OfferedTool; 1] = [OfferedTool {
    name: CORPUS,
    actions: &["list", "search", "get"],
}];

/// Characters of a document that are shown. Beyond them its end is left out.
const SHOWN_CHARS: usize = 4000;

/// Characters of a reason that are passed on.
const REASON_CHARS: usize = 500;

/// What is said where nobody knows what to do.
const HELP: &str = "Say what to do with your documents: `list my documents`, `search my documents for WORDS`, \
    `show document NAME`, `add document NAME` or `update document NAME` with the text between two lines of three backticks, \
    or `delete document NAME`.";

/// Looks after documents.
pub struct CorpusAdmin {
    step_limit: u32,
}

/// The class of [`CorpusAdmin`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Finds, shows, adds, updates and deletes your documents; it deletes what you approve.",
        move |_| CorpusAdmin { step_limit },
    )
}

/// What became of a request: the answer, and what is handed back.
struct Done {
    words: String,
    output: Value,
}

#[async_trait(?Send)]
impl Agent for CorpusAdmin {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let history = run.history().await?;
        let ground = choice::Ground::of(run.message(), &history, run.references());
        let question = Question {
            prompt: PROMPT,
            task: json!({"message": run.message(), "referenced_documents": run.references()}),
            history,
            offered: &OFFERED,
            step_limit: self.step_limit,
        };
        let decision = decide(run, question, |choice: &Choice, _| choice.check(&ground)).await?;
        let request = match &decision {
            Decision::ByModel(choice) => choice.request(),
            Decision::ByRules(_) => rules::read(run.message(), !run.references().is_empty()),
        };
        let mut done = carry_out(run, request).await?;
        decision.mark(&mut done.output);
        run.say(&done.words).await?;
        run.set_output(done.output);
        Ok(Answer::Said)
    }
}

async fn carry_out(run: &mut RunContext, request: Request) -> Result<Done, AgentError> {
    match request {
        Request::List => list(run).await,
        Request::Search { query } => search(run, &query).await,
        Request::Show { which } => match lookup::which(run, &which, Found::Nearly).await? {
            Resolved::One(document) => show(run, &document).await,
            Resolved::Ask(asked) => Ok(ask("show", &asked)),
        },
        Request::Add { name, text } => add(run, &name, &text).await,
        Request::Update { which, text } => match lookup::which(run, &which, Found::ByName).await? {
            Resolved::One(document) => update(run, &document, &text).await,
            Resolved::Ask(asked) => Ok(ask("update", &asked)),
        },
        Request::Delete { which } => match lookup::which(run, &which, Found::ByName).await? {
            Resolved::One(document) => delete(run, &document).await,
            Resolved::Ask(asked) => Ok(ask("delete", &asked)),
        },
        Request::Unclear { why } => {
            let words = if why.is_empty() {
                HELP.to_owned()
            } else {
                format!("{why} {HELP}")
            };
            Ok(ask_back(&words, &[]))
        }
        Request::Ask { question } => Ok(ask_back(&question, &[])),
    }
}

/// A call that must bring a result.
async fn corpus(run: &mut RunContext, arguments: Value) -> Result<Value, AgentError> {
    let reply = tool_reply::call(run, CORPUS, arguments).await?;
    reply.map_err(|why| why.failure("corpus_failed"))
}

async fn list(run: &mut RunContext) -> Result<Done, AgentError> {
    let documents = Document::all_in(&corpus(run, json!({"action": "list"})).await?["documents"]);
    let words = if documents.is_empty() {
        "You have no documents yet.".to_owned()
    } else {
        format!("Your newest documents:\n\n{}", lookup::listed(&documents))
    };
    Ok(Done {
        words,
        output: json!({"action": "list", "done": true, "documents": documents}),
    })
}

async fn search(run: &mut RunContext, query: &str) -> Result<Done, AgentError> {
    let result = corpus(run, json!({"action": "search", "query": query})).await?;
    let documents = Document::all_in(&result["found"]);
    let words = if documents.is_empty() {
        format!("No document of yours has all of these words: {}.", escape(query))
    } else {
        format!("Documents that have these words:\n\n{}", lookup::listed(&documents))
    };
    Ok(Done {
        words,
        output: json!({"action": "search", "done": true, "query": query, "documents": documents}),
    })
}

async fn show(run: &mut RunContext, document: &Document) -> Result<Done, AgentError> {
    let result = corpus(run, json!({"action": "get", "document_id": document.document_id})).await?;
    let text = result["text"].as_str().unwrap_or_default();
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let is_whole = shown.len() == text.len() && result["truncated"] != true;
    let mut words = format!("{}:\n\n{}", name(&document.name), markdown::fenced(&shown));
    if !is_whole {
        words += "\nThat is its beginning.";
    }
    Ok(Done {
        words,
        output: json!({"action": "show", "done": true, "document": document}),
    })
}

async fn add(run: &mut RunContext, title: &str, text: &str) -> Result<Done, AgentError> {
    let kept = corpus(run, json!({"action": "add", "name": title, "text": text})).await?;
    let document = Document::of(&kept).ok_or_else(|| NoResult::misshapen(CORPUS).failure("corpus_failed"))?;
    Ok(Done {
        words: format!("Added {}.", document.told()),
        output: json!({"action": "add", "done": true, "document": document}),
    })
}

async fn update(run: &mut RunContext, document: &Document, text: &str) -> Result<Done, AgentError> {
    let arguments = json!({"action": "update", "document_id": document.document_id, "text": text});
    let kept = corpus(run, arguments).await?;
    let document = Document::of(&kept).ok_or_else(|| NoResult::misshapen(CORPUS).failure("corpus_failed"))?;
    Ok(Done {
        words: format!("Updated {}: it has the new text only.", document.told()),
        output: json!({"action": "update", "done": true, "document": document}),
    })
}

/// Says which document it is before the tool asks: what is approved names it by its id alone.
async fn delete(run: &mut RunContext, document: &Document) -> Result<Done, AgentError> {
    run.say(&format!("To delete for good: {}.\n\n", document.told()))
        .await?;
    let arguments = json!({"document_id": document.document_id});
    let reply = run.call_tool(DELETE, arguments).await?;
    let (is_done, words) = match reply.status {
        ToolStatus::Ok => (true, "It is deleted.".to_owned()),
        ToolStatus::Denied => {
            let why = reply.result.as_str().unwrap_or("it was denied");
            (
                false,
                format!("It is kept: {}.", escape(&markdown::cut(why, REASON_CHARS))),
            )
        }
        ToolStatus::Error
        | ToolStatus::Timeout
        | ToolStatus::Cancelled
        | ToolStatus::Panicked
        | ToolStatus::Unknown => match NoResult::of(DELETE, reply) {
            Ok(_) => (true, "It is deleted.".to_owned()),
            Err(why) => return Err(why.failure("corpus_failed")),
        },
    };
    Ok(Done {
        words,
        output: json!({"action": "delete", "done": is_done, "document": document}),
    })
}

/// Asks which document is meant.
fn ask(action: &str, asked: &lookup::Asked) -> Done {
    let words = if asked.candidates.is_empty() {
        asked.why.clone()
    } else {
        format!(
            "{}\n\n{}\nSay which by its id: `{action} document ID`.",
            asked.why,
            lookup::listed(&asked.candidates)
        )
    };
    ask_back(&words, &asked.candidates)
}

fn ask_back(words: &str, candidates: &[Document]) -> Done {
    Done {
        words: words.to_owned(),
        output: json!({"action": "ask", "done": false, "candidates": candidates}),
    }
}
