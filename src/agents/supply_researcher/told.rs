//! Writes down what a research found: each field with what it was and what the pages say, how sure that is, and where it stands.

use std::fmt::Write as _;

use super::findings::{Finding, SURE, shown};
use super::pages::Page;
use super::request::{Entry, Kind, Request, Timeframe};
use crate::agents::markdown::{cut, escape, name};

/// Lines of a kind that are told. The rest is counted.
const LINES: usize = 12;

/// Characters of a line of a page that are repeated.
const QUOTE_CHARS: usize = 200;

/// What became of a finding.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// The catalogue has it already.
    Known,
    /// It was written.
    Written,
    /// It was not, and why.
    Proposed(String),
}

/// All that is told.
pub struct Report<'a> {
    pub request: &'a Request,
    pub targets: &'a [&'a Entry],
    pub findings: &'a [(Finding, Fate)],
    pub pages: &'a [Page],
    pub missing: &'a [String],
    pub unused: &'a [String],
    pub notices: &'a [(String, String, usize)],
    pub unknown: &'a [String],
}

impl Report<'_> {
    /// In a sentence.
    pub fn summary(&self) -> String {
        let written = self.findings.iter().filter(|(_, fate)| *fate == Fate::Written).count();
        let proposed = self
            .findings
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::Proposed(_)))
            .count();
        if self.pages.is_empty() {
            return "No page could be read, so nothing was found.".to_owned();
        }
        format!(
            "Read {} and found something on {}: {written} updated, {proposed} not written, {} as the catalogue has them.",
            crate::agents::data::counted(self.pages.len() as u64, "page"),
            crate::agents::data::counted(self.findings.len() as u64, "model"),
            self.findings.len() - written - proposed
        )
    }

    /// As a whole.
    pub fn words(&self) -> String {
        let mut told = format!("{}\n", self.summary());
        for (finding, fate) in self.findings {
            told += &finding_words(finding, fate);
        }
        if self.findings.is_empty() {
            told += &self.catalogue();
        }
        let wants_news = !matches!(self.request.research_type, Kind::Pricing | Kind::Capabilities);
        if wants_news {
            let notices = self.notices.iter().map(|(model, line, page)| {
                format!("{}: {} [{}]", name(model), escape(&cut(line, QUOTE_CHARS)), page + 1)
            });
            told += &list("What the pages say of models' lives", notices.collect());
            let unknown = self.unknown.iter().map(|model| name(model));
            told += &list("Models that the catalogue does not have", unknown.collect());
            if self.notices.is_empty() && self.unknown.is_empty() && !self.pages.is_empty() {
                told += "\nThe pages say nothing of models that are new or end.\n";
            }
        }
        let sources = self.pages.iter().enumerate().map(|(at, page)| {
            let place = page.url.as_deref().map_or_else(|| "from you".to_owned(), escape);
            let official = if page.is_official { ", official" } else { "" };
            format!("[{}] {} ({place}{official})", at + 1, name(&page.title))
        });
        told += &list("Sources", sources.collect());
        told += &list("Not used", self.unused.iter().map(|why| escape(why)).collect());
        told += &list("Missing", self.missing.to_vec());
        if matches!(self.request.timeframe, Timeframe::Weekly | Timeframe::Monthly) {
            told += "\nPages say what holds now; what held before stands in the log of updates alone.\n";
        }
        told.trim_end().to_owned()
    }

    /// What the catalogue has, where no page says anything.
    fn catalogue(&self) -> String {
        let lines = self.targets.iter().map(|entry| {
            format!(
                "{} ({}): input ${}, output ${} for a million tokens, context {}; as of {}, {}",
                name(&entry.model),
                name(&entry.provider),
                shown(&entry.input_usd_per_million.clone().into()),
                shown(&entry.output_usd_per_million.clone().into()),
                entry.context_window,
                escape(&entry.as_of),
                escape(&entry.source)
            )
        });
        list("What the catalogue has", lines.collect())
    }
}

fn finding_words(finding: &Finding, fate: &Fate) -> String {
    let mut told = format!("\n**{}** ({})\n\n", name(&finding.model), name(&finding.provider));
    for line in &finding.fields {
        let pages: String = line.pages.iter().map(|page| format!(" [{}]", page + 1)).collect();
        let (field, old, new) = (
            line.field.as_str(),
            escape(&shown(&line.old)),
            escape(&shown(&line.new)),
        );
        // Writing into a text can't fail.
        let _ = match line.is_changed {
            true => writeln!(told, "- {field}: {old} -> {new}{pages}"),
            false => writeln!(told, "- {field}: {new}, as before{pages}"),
        };
    }
    for (field, values) in &finding.contradictions {
        let values = escape(&values.join(" and "));
        let _ = writeln!(told, "- {}: the pages contradict each other: {values}", field.as_str());
    }
    let parts: Vec<String> = finding
        .parts
        .iter()
        .map(|(words, part)| format!("{} {words}", hundredths(*part)))
        .collect();
    let fate = match fate {
        Fate::Known => "Nothing to change.".to_owned(),
        Fate::Written => "Written into your catalogue.".to_owned(),
        Fate::Proposed(why) => format!("Not written: {}", escape(why)),
    };
    let _ = writeln!(
        told,
        "\nConfidence {} ({}; {} is needed). {fate}",
        hundredths(finding.confidence),
        parts.join(", "),
        hundredths(SURE)
    );
    told
}

fn list(title: &str, lines: Vec<String>) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let rest = lines.len().saturating_sub(LINES);
    let mut told = format!("\n{title}:\n\n");
    for line in lines.into_iter().take(LINES) {
        let _ = writeln!(told, "- {line}");
    }
    if rest > 0 {
        let _ = writeln!(told, "- and {rest} more");
    }
    told
}

fn hundredths(part: u32) -> String {
    format!("{}.{:02}", part / 100, part % 100)
}
