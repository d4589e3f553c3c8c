//! `supply_researcher`: looks up what models cost and can do now, and keeps what is certain as the user's own updates.
//!
//! It parses the message, gathers pages, extracts, weighs, writes, and tells. Pages are read and never followed: no word of
//! theirs names a tool, an address or a model to change. What it is not sure of it proposes, and writes nothing.

use async_trait::async_trait;
use serde_json::{Value, json};
use sessile_actors::infra::{Agent, AgentClass, AgentError, Answer};
use sessile_actors::session::run::{RunContext, RunOver};

mod extract;
mod figures;
mod findings;
mod names;
mod pages;
mod reader;
mod request;
mod told;

use self::extract::{Extracted, Fact};
use self::findings::{Finding, SURE, weigh};
use self::names::Names;
use self::pages::{Gathered, Page};
use self::request::{Entry, Request};
use self::told::{Fate, Report};
use super::decide::{Decision, Question, decide};
use super::markdown::{cut, escape};
use super::{data, source, tool_reply};

/// The name that clients and workflows name.
pub const NAME: &str = "supply_researcher";

/// What the model is told to be, when it reads the message and when it reads the pages.
const PARSE_PROMPT: &str = include_str!("../../config/prompts/supply_researcher_parse.md");
const READ_PROMPT: &str = include_str!("../../config/prompts/supply_researcher_read.md");

/// The catalogue.
const CATALOGUE: &str = "supply_catalog";

/// Models that are written for one message. Beyond them the rest is proposed.
const WRITTEN: usize = 20;

/// Characters of a source's title, and bytes of its address, that the catalogue takes.
const TITLE_CHARS: usize = 200;
const ADDRESS_BYTES: usize = 500;

/// Sources that the catalogue takes of one update.
const SOURCES: usize = 10;

/// Characters of a message that are read for what is asked.
const WORDS_MAX: usize = 10_000;

/// Researches.
pub struct SupplyResearcher {
    step_limit: u32,
}

/// The class of [`SupplyResearcher`].
#[must_use]
pub fn class(step_limit: u32) -> AgentClass {
    AgentClass::new(
        NAME,
        "Looks up what models cost and can do now, says how sure that is, and keeps what is certain for you.",
        move |_| SupplyResearcher { step_limit },
    )
}

#[async_trait(?Send)]
impl Agent for SupplyResearcher {
    async fn run(&mut self, run: &mut RunContext) -> Result<Answer, AgentError> {
        let listed = tool_reply::call(run, CATALOGUE, json!({"action": "list"})).await?;
        let entries = Entry::all_in(&listed.map_err(|why| why.failure("catalogue_failed"))?);
        let words = cut(&source::words_of(run.message()), WORDS_MAX);
        let (request, mut output) = self.parse(run, &words, &entries).await?;
        let addresses = request::addresses(&words);
        let mut targets = request.targets(&entries);
        let gathered = pages::gather(run, &targets, &addresses).await?;
        if targets.is_empty() && gathered.pages.is_empty() {
            return nothing_named(run, &entries, &gathered, output).await;
        }
        if targets.is_empty() {
            // Whatever the user's own pages name.
            targets = entries.iter().collect();
        }
        run.think(format!(
            "Reading {} for {}.",
            data::counted(gathered.pages.len() as u64, "page"),
            data::counted(targets.len() as u64, "model")
        ))
        .await?;
        let read = self.extract(run, &words, &targets, &gathered.pages).await?;
        let mut findings = Vec::new();
        let mut updates = Vec::new();
        for entry in &targets {
            if let Some(finding) = weigh(entry, &gathered.pages, &read.facts) {
                let may_write = updates.len() < WRITTEN;
                let fate = write(run, &finding, &gathered.pages, may_write, &mut updates).await?;
                findings.push((finding, fate));
            }
        }
        let report = Report {
            request: &request,
            targets: &targets,
            findings: &findings,
            pages: &gathered.pages,
            missing: &gathered.missing,
            unused: &read.unused,
            notices: &read.notices,
            unknown: &read.unknown,
        };
        run.say(&report.words()).await?;
        output["confidence_score"] = json!(
            findings
                .iter()
                .map(|(finding, _)| finding.confidence)
                .min()
                .map(|least| f64::from(least) / 100.0)
        );
        output["updates_made"] = json!(updates);
        output["proposals"] = proposals(&findings);
        output["citations"] = citations(&gathered.pages);
        output["missing"] = json!(gathered.missing);
        output["summary"] = json!(report.summary());
        run.set_output(output);
        Ok(Answer::Said)
    }
}

/// What all pages say.
#[derive(Default)]
struct Pages {
    facts: Vec<Vec<Fact>>,
    unused: Vec<String>,
    /// A model, a line about it, and the page.
    notices: Vec<(String, String, usize)>,
    unknown: Vec<String>,
}

impl SupplyResearcher {
    async fn parse(
        &self,
        run: &mut RunContext,
        words: &str,
        entries: &[Entry],
    ) -> Result<(Request, Value), AgentError> {
        let names: Vec<Value> = entries
            .iter()
            .map(|entry| json!([entry.provider, entry.model]))
            .collect();
        let question = Question {
            prompt: PARSE_PROMPT,
            task: json!({"message": words, "catalogue": names}),
            history: run.history().await?,
            offered: &[],
            step_limit: self.step_limit,
        };
        let decision = decide(run, question, |request: &Request, _| request.check(entries)).await?;
        let request = match &decision {
            Decision::ByModel(request) => request.clone(),
            Decision::ByRules(_) => Request::by_rules(words, entries),
        };
        let mut output = json!({
            "research_type": request.research_type, "timeframe": request.timeframe,
            "providers": request.providers, "models": request.models,
            "confidence_score": null, "updates_made": [], "citations": [], "summary": "",
        });
        decision.mark(&mut output);
        let about: Vec<&str> = request
            .models
            .iter()
            .chain(&request.providers)
            .map(String::as_str)
            .collect();
        let kind = output["research_type"].as_str().unwrap_or_default();
        run.think(format!(
            "Researching {kind}: {}.",
            if about.is_empty() {
                "whatever the pages name".to_owned()
            } else {
                about.join(", ")
            }
        ))
        .await?;
        Ok((request, output))
    }

    /// What the pages say: by rules, and by the model as far as the pages bear it out. Where both disagree, that is a
    /// contradiction like any other.
    async fn extract(
        &self,
        run: &mut RunContext,
        words: &str,
        targets: &[&Entry],
        pages: &[Page],
    ) -> Result<Pages, AgentError> {
        let models: Vec<&str> = targets.iter().map(|entry| entry.model.as_str()).collect();
        let names = Names::of(models.iter().copied());
        let mut all = Pages::default();
        for (at, page) in pages.iter().enumerate() {
            let Extracted {
                facts,
                unused,
                notices,
                unknown,
            } = extract::read(&page.text, &names);
            all.facts.push(facts);
            all.unused.extend(unused);
            all.notices
                .extend(notices.into_iter().map(|(model, line)| (model, line, at)));
            all.unknown.extend(unknown);
            // A long page takes a while, and others wait on this thread.
            tokio::task::yield_now().await;
        }
        if pages.is_empty() {
            return Ok(all);
        }
        let question = Question {
            prompt: READ_PROMPT,
            task: reader::task(words, &models, pages),
            history: Vec::new(),
            offered: &[],
            step_limit: self.step_limit,
        };
        if let Decision::ByModel(read) = decide(run, question, |_: &reader::Read, _| Ok(())).await? {
            let (facts, dropped) = reader::verified(&read, pages, &names);
            for (known, new) in all.facts.iter_mut().zip(facts) {
                let new: Vec<Fact> = new.into_iter().filter(|fact| !known.contains(fact)).collect();
                known.extend(new);
            }
            if dropped > 0 {
                all.unused.push(format!(
                    "{dropped} of what the model read, as it does not stand on the pages"
                ));
            }
        }
        Ok(all)
    }
}

/// Writes a finding where it is sure enough.
async fn write(
    run: &mut RunContext,
    finding: &Finding,
    pages: &[Page],
    may_write: bool,
    updates: &mut Vec<Value>,
) -> Result<Fate, RunOver> {
    if !finding.is_change() {
        let is_disputed = !finding.contradictions.is_empty();
        return Ok(if is_disputed {
            Fate::Proposed("the pages contradict each other.".to_owned())
        } else {
            Fate::Known
        });
    }
    if finding.confidence < SURE {
        return Ok(Fate::Proposed(
            "it is not sure enough. A second source would help.".to_owned(),
        ));
    }
    let sources: Vec<Value> = finding
        .citations
        .iter()
        .filter_map(|page| pages.get(*page))
        .filter_map(|page| Some((page, page.url.as_deref().filter(|url| url.len() <= ADDRESS_BYTES)?)))
        .map(|(page, url)| json!({"url": url, "title": cut(&page.title, TITLE_CHARS)}))
        .take(SOURCES)
        .collect();
    if sources.is_empty() {
        return Ok(Fate::Proposed(
            "what you brought has no address that could be named as the source.".to_owned(),
        ));
    }
    if !may_write {
        return Ok(Fate::Proposed(format!(
            "at most {WRITTEN} changes are written at once. Name fewer models."
        )));
    }
    let arguments = json!({
        "action": "update", "model": finding.model, "provider": finding.provider, "changes": finding.changes(),
        "confidence": finding.share(), "sources": sources, "reason": "Research of the pages that are named as sources.",
    });
    Ok(match tool_reply::call(run, CATALOGUE, arguments).await? {
        Ok(result) => {
            updates.extend(result["changed"].as_array().into_iter().flatten().cloned());
            Fate::Written
        }
        Err(why) => Fate::Proposed(why.sentence()),
    })
}

/// Says what to name.
async fn nothing_named(
    run: &mut RunContext,
    entries: &[Entry],
    gathered: &Gathered,
    mut output: Value,
) -> Result<Answer, AgentError> {
    let mut providers: Vec<&str> = entries.iter().map(|entry| entry.provider.as_str()).collect();
    providers.dedup();
    let mut words = format!(
        "Say which model or provider to look up. The catalogue has models of {}.",
        escape(&providers.join(", "))
    );
    for missing in &gathered.missing {
        words += &format!("\n\n{missing}");
    }
    run.say(&words).await?;
    output["summary"] = json!("Nothing was named to look up.");
    run.set_output(output);
    Ok(Answer::Said)
}

/// What changes and was not written.
fn proposals(findings: &[(Finding, Fate)]) -> Value {
    let proposed = findings.iter().filter_map(|(finding, fate)| match fate {
        Fate::Proposed(why) => Some(json!({
            "model": finding.model, "changes": finding.changes(), "confidence": finding.share(), "why": why,
        })),
        Fate::Known | Fate::Written => None,
    });
    proposed.collect()
}

fn citations(pages: &[Page]) -> Value {
    let pages = pages
        .iter()
        .map(|page| json!({"title": page.title, "url": page.url, "official": page.is_official}));
    pages.collect()
}
