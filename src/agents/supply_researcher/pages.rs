//! Gathers the pages of a research: fetched ones, documents of the user, and what stands in the message.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use serde_json::json;
use sessile_actors::session::run::{RunContext, RunOver};

use super::figures::has_dollars;
use super::request::Entry;
use crate::agents::{markdown, tool_reply};

/// The tool that fetches pages; whoever runs the server may not have allowed it.
const FETCH: &str = "http_fetch";

/// The tool that has the user's documents.
const CORPUS: &str = "corpus";

/// Pages that are fetched for one message. Beyond them the rest is named and left out.
const FETCHED: usize = 5;

/// Documents and blocks of one message that are read.
const OWN_PAGES: usize = 5;

/// Characters of a title that are kept.
const TITLE_CHARS: usize = 120;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What it is called.
    pub title: String,
    /// Where it stands; none for what the user brought.
    pub url: Option<String>,
    /// Whether it was fetched from a host of the catalogue's own sources.
    pub is_official: bool,
    /// What stands in it.
    pub text: String,
}

/// What was gathered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// The pages.
    pub pages: Vec<Page>,
    /// What could not be, as sentences.
    pub missing: Vec<String>,
}

/// Gathers what the message brings and what stands at these addresses.
///
/// # Errors
/// [`RunOver`] where the run has ended. A page that can't be had is missing.
pub async fn gather(run: &mut RunContext, targets: &[&Entry], named: &[String]) -> Result<Gathered, RunOver> {
    let mut gathered = Gathered {
        pages: pasted(run.message()),
        missing: Vec::new(),
    };
    let references = run.references().to_vec();
    if references.len() > OWN_PAGES {
        gathered
            .missing
            .push(format!("Of the documents the first {OWN_PAGES} are read."));
    }
    for id in references.into_iter().take(OWN_PAGES) {
        match tool_reply::call(run, CORPUS, json!({"action": "get", "document_id": id})).await? {
            Ok(result) => {
                let title = result["document"]["name"].as_str().unwrap_or("a document");
                if result["truncated"] == true {
                    let told = markdown::name(title);
                    gathered
                        .missing
                        .push(format!("Of {told} only the beginning is read: it is long."));
                }
                gathered.pages.push(Page {
                    title: markdown::cut(title, TITLE_CHARS),
                    url: None,
                    is_official: false,
                    text: result["text"].as_str().unwrap_or_default().to_owned(),
                });
            }
            Err(why) => gathered.missing.push(markdown::escape(&why.sentence())),
        }
    }
    let mut addresses: Vec<String> = named.to_vec();
    for entry in targets {
        let address = without_fragment(&entry.source).to_owned();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if !run.tools().iter().any(|tool| tool.name == FETCH) {
        gathered.missing.push(no_fetch(&addresses, !gathered.pages.is_empty()));
        return Ok(gathered);
    }
    if addresses.len() > FETCHED {
        let rest = addresses.split_off(FETCHED);
        let rest: Vec<String> = rest.iter().map(|address| markdown::escape(address)).collect();
        gathered.missing.push(format!(
            "At most {FETCHED} pages are fetched at once. Not fetched: {}. Name fewer models to reach them.",
            rest.join(", ")
        ));
    }
    for address in addresses {
        fetch(run, &address, targets, &mut gathered).await?;
    }
    Ok(gathered)
}

async fn fetch(
    run: &mut RunContext,
    address: &str,
    targets: &[&Entry],
    gathered: &mut Gathered,
) -> Result<(), RunOver> {
    let told = markdown::escape(address);
    let result = match tool_reply::call(run, FETCH, json!({"url": address})).await? {
        Ok(result) => result,
        Err(why) => {
            gathered
                .missing
                .push(format!("{told}: {}", markdown::escape(&why.sentence())));
            return Ok(());
        }
    };
    let status = result["status"].as_u64().unwrap_or_default();
    let text = result["text"].as_str().unwrap_or_default();
    if !(200..300).contains(&status) || text.trim().is_empty() {
        gathered.missing.push(format!(
            "{told} answered with status {status} and no text that can be used."
        ));
        return Ok(());
    }
    if result["truncated"] == true {
        gathered
            .missing
            .push(format!("Of {told} only the beginning is read: it is long."));
    }
    // Where a redirect ended, not where it began.
    let url = result["url"].as_str().unwrap_or(address);
    let is_official = targets
        .iter()
        .any(|entry| host(&entry.source).is_some() && host(&entry.source) == host(url));
    let title = result["title"]
        .as_str()
        .filter(|title| !title.trim().is_empty())
        .unwrap_or(url);
    let page = Page {
        title: markdown::cut(title.trim(), TITLE_CHARS),
        url: Some(url.to_owned()),
        is_official,
        text: text.to_owned(),
    };
    // Two addresses may lead to one page: it is one source.
    if !gathered
        .pages
        .iter()
        .any(|known| known.url == page.url || known.text == page.text)
    {
        gathered.pages.push(page);
    }
    Ok(())
}

/// Says that nothing can be fetched, and what to do.
fn no_fetch(addresses: &[String], has_pages: bool) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| markdown::escape(address)).collect();
    let at = if addresses.is_empty() {
        String::new()
    } else {
        format!(" What to look at: {}.", addresses.join(", "))
    };
    let instead = if has_pages {
        "So only what you brought is read."
    } else {
        "Paste the page into your message between two lines of three backticks, or name a document of yours that has it."
    };
    format!(
        "This server fetches no pages: whoever runs it allows that by `tools.http_fetch.enabled = true`. {instead}{at}"
    )
}

/// The pages in a message: its fenced blocks; without one the message itself, if it has prices.
fn pasted(message: &str) -> Vec<Page> {
    let mut texts = Vec::new();
    let mut open: Option<String> = None;
    for event in Parser::new(message) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => open = Some(String::new()),
            Event::Text(piece) => {
                if let Some(text) = &mut open {
                    text.push_str(&piece);
                }
            }
            Event::End(TagEnd::CodeBlock) => texts.extend(open.take()),
            _ => {}
        }
    }
    if texts.is_empty() && has_dollars(message) {
        texts.push(message.to_owned());
    }
    let pages = texts.into_iter().filter(|text| !text.trim().is_empty()).take(OWN_PAGES);
    pages
        .map(|text| Page {
            title: "your message".to_owned(),
            url: None,
            is_official: false,
            text,
        })
        .collect()
}

fn without_fragment(address: &str) -> &str {
    address.split('#').next().unwrap_or(address)
}

fn host(address: &str) -> Option<String> {
    let url = reqwest::Url::parse(address).ok()?;
    Some(url.host_str()?.trim_start_matches("www.").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_is_a_page() {
        let texts = |message: &str| -> Vec<String> { pasted(message).into_iter().map(|page| page.text).collect() };
        assert_eq!(texts("look\n```\na $1\n```\n~~~text\nb\n~~~"), ["a $1\n", "b\n"]);
        assert_eq!(texts("gpt-5: input $1 / 1M"), ["gpt-5: input $1 / 1M"]);
        assert_eq!(texts("what does gpt-5 cost?"), Vec::<String>::new());
    }

    #[test]
    fn a_host_is_read_from_an_address_and_from_nothing_that_looks_like_one() {
        for (address, expected) in [
            ("https://openai.com/api/pricing", Some("openai.com")),
            ("https://www.together.ai/pricing", Some("together.ai")),
            ("https://openai.com@evil.test/", Some("evil.test")),
            ("https://evil.test/openai.com", Some("evil.test")),
            ("https://openai.com.evil.test/", Some("openai.com.evil.test")),
            ("openai.com", None),
        ] {
            assert_eq!(host(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn without_fetching_it_is_said_what_to_do() {
        let told = no_fetch(&["https://openai.com/api/pricing".to_owned()], false);
        assert!(
            told.contains("`tools.http_fetch.enabled = true`") && told.contains("Paste the page"),
            "{told}"
        );
        assert!(
            told.ends_with("What to look at: https://openai.com/api/pricing."),
            "{told}"
        );
    }
}
