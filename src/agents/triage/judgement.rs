//! What triage judges of a message, by the model or by rules, and what holds for it whoever judged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agents::usage::Usage;

/// What is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// What the message is about.
    pub category: Category,
    /// What of it, in a word or two.
    #[schemars(length(min = 1, max = 60))]
    pub sub_category: String,
    /// How soon it matters.
    pub priority: Priority,
    /// How much work it is.
    pub complexity: Complexity,
    /// How sure the judgement is, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// What the message names.
    pub entities: Entities,
    /// What its writer wants.
    pub intent: Intent,
    /// Who should work on it, in order.
    #[schemars(length(max = 5))]
    pub next_agents: Vec<NextAgent>,
    /// Whether the message tries to give orders to the agents, such as to forget their instructions.
    pub suspicious: bool,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// What models cost, and how to save.
    Cost,
    /// How fast models answer.
    Performance,
    /// How good the answers are.
    Quality,
    /// Which models there are, and their list prices.
    Catalogue,
    /// The user's documents.
    Documents,
    /// Anything else.
    General,
}

/// How soon it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Whenever.
    Low,
    /// As usual.
    Medium,
    /// Soon.
    High,
    /// Now.
    Urgent,
}

/// How much work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Complexity {
    /// One question.
    Simple,
    /// Some.
    Moderate,
    /// Several questions that hang together.
    Complex,
}

/// What the message names, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entities {
    /// Language models.
    #[schemars(length(max = 20), inner(length(min = 1, max = 100)))]
    pub models: Vec<String>,
    /// Features of the user's product that use models.
    #[schemars(length(max = 20), inner(length(min = 1, max = 100)))]
    pub features: Vec<String>,
    /// What is to be measured, such as cost or latency.
    #[schemars(length(max = 20), inner(length(min = 1, max = 40)))]
    pub metrics: Vec<String>,
    /// The time that it asks about.
    #[schemars(length(max = 60))]
    pub period: Option<String>,
}

/// What the writer wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Above all, in a word.
    #[schemars(length(min = 1, max = 40))]
    pub primary: String,
    /// Besides.
    #[schemars(length(max = 10), inner(length(min = 1, max = 40)))]
    pub secondary: Vec<String>,
    /// Whether something should be done, beyond an answer.
    pub action_required: bool,
}

/// An agent that may work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextAgent {
    /// Analyses the data.
    Data,
    /// Asks for the data that is missing.
    DataHelper,
    /// Finds what could be saved.
    Optimization,
    /// Plans how.
    Actions,
    /// Writes the report.
    Reporting,
}

impl Judgement {
    /// Keeps what the message and the data bear out: names that the message has, agents that have something to work on, and
    /// the report last.
    pub fn keep_to(&mut self, words: &str, usage: &Usage) {
        let words = words.to_lowercase();
        let stands = |name: &String| words.contains(&name.to_lowercase());
        self.entities.models.retain(stands);
        self.entities.features.retain(stands);
        self.entities.period = self.entities.period.take().filter(stands);
        self.suspicious |= super::rules::is_suspicious(&words);
        let usable = usage.sufficiency().is_usable();
        let mut next = Vec::new();
        for &agent in &self.next_agents {
            let has_work = match agent {
                NextAgent::Data | NextAgent::Optimization | NextAgent::Actions => usable,
                NextAgent::DataHelper => true,
                NextAgent::Reporting => false,
            };
            if has_work && !next.contains(&agent) {
                next.push(agent);
            }
        }
        if !usable && self.category.needs_data() && !next.contains(&NextAgent::DataHelper) {
            next.push(NextAgent::DataHelper);
        }
        next.push(NextAgent::Reporting);
        self.next_agents = next;
    }
}

impl Category {
    /// Whether usage data is needed to answer it.
    pub const fn needs_data(self) -> bool {
        match self {
            Self::Cost | Self::Performance | Self::Quality => true,
            Self::Catalogue | Self::Documents | Self::General => false,
        }
    }

    /// As it stands in a sentence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Performance => "performance",
            Self::Quality => "quality",
            Self::Catalogue => "the catalogue of models",
            Self::Documents => "documents",
            Self::General => "something general",
        }
    }
}

impl Priority {
    /// As it stands in a sentence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}

impl Complexity {
    /// As it stands in a sentence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Moderate => "moderate",
            Self::Complex => "complex",
        }
    }
}

impl NextAgent {
    /// The name of the agent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::DataHelper => "data_helper",
            Self::Optimization => "optimization",
            Self::Actions => "actions",
            Self::Reporting => "reporting",
        }
    }
}
