//! Looks at a run's usage data with the usage tools: whatever agents say of figures comes from here.

use serde::Deserialize;
use serde_json::Value;
use sessile_actors::session::run::{RunContext, RunOver};

use super::given::Given;
use super::shapes::{Analysis, Savings, Sufficiency};
use super::source::{self, Source};
use super::tool_reply::{self, NoResult};

/// The tool that analyses.
const ANALYSIS: &str = "usage_analysis";

/// The tool that reckons savings.
const CALCULATOR: &str = "cost_calculator";

/// What became of looking.
#[derive(Debug, Clone, PartialEq)]
pub enum Usage {
    /// There is data.
    Found(Box<Found>),
    /// There is none.
    Nothing,
    /// There may be some, but it can't be read.
    Failed {
        /// Where it should be.
        source: Source,
        /// Why there is no analysis.
        why: NoResult,
    },
}

/// Usage data that was analysed.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where it is.
    pub source: Source,
    /// The tool's result as it came.
    pub result: Value,
    /// The same, read.
    pub analysis: Analysis,
}

impl Usage {
    /// Whether it is enough to go by.
    pub fn sufficiency(&self) -> Sufficiency {
        match self {
            Self::Found(found) => found.analysis.sufficiency,
            Self::Nothing => Sufficiency::Insufficient,
            Self::Failed { .. } => Sufficiency::Unknown,
        }
    }

    /// The same, for a question: where there is no data and none is needed, nobody can say.
    pub fn sufficiency_for(&self, needs_data: bool) -> Sufficiency {
        match self {
            Self::Nothing if !needs_data => Sufficiency::Unknown,
            Self::Nothing | Self::Found(_) | Self::Failed { .. } => self.sufficiency(),
        }
    }

    /// Where it is, or should be.
    pub const fn source(&self) -> Option<&Source> {
        match self {
            Self::Found(found) => Some(&found.source),
            Self::Failed { source, .. } => Some(source),
            Self::Nothing => None,
        }
    }

    /// Whether it says more than `other`.
    fn is_better_than(&self, other: &Self) -> bool {
        let rank = |usage: &Self| match usage {
            Self::Found(found) if found.analysis.sufficiency.is_usable() => 3,
            Self::Found(_) => 2,
            Self::Failed { .. } => 1,
            Self::Nothing => 0,
        };
        rank(self) > rank(other)
    }
}

/// Analyses the data that the workflow found, or else the first place of the run that has enough.
///
/// # Errors
/// [`RunOver`] where the run has ended.
pub async fn look(run: &mut RunContext) -> Result<Usage, RunOver> {
    let sources = match Given::of(run.input()).source() {
        Some(source) => vec![source],
        None => source::of_run(run).await?,
    };
    let mut best = Usage::Nothing;
    for source in sources {
        let usage = analyse(run, source).await?;
        if usage.is_better_than(&best) {
            best = usage;
        }
        if best.sufficiency().is_usable() {
            break;
        }
    }
    Ok(best)
}

async fn analyse(run: &mut RunContext, source: Source) -> Result<Usage, RunOver> {
    let reply = tool_reply::call(run, ANALYSIS, source.arguments()).await?;
    let read = reply.and_then(|result| match Analysis::deserialize(&result) {
        Ok(analysis) => Ok((result, analysis)),
        Err(_) => Err(NoResult::misshapen(ANALYSIS)),
    });
    Ok(match read {
        Ok((result, analysis)) => Usage::Found(Box::new(Found {
            source,
            result,
            analysis,
        })),
        Err(why) => Usage::Failed { source, why },
    })
}

/// Reckons what could be saved: the tool's result as it came, and the same, read.
///
/// # Errors
/// [`RunOver`] where the run has ended. That the tool failed is an answer.
pub async fn savings(run: &mut RunContext, source: &Source) -> Result<Result<(Value, Savings), NoResult>, RunOver> {
    let mut arguments = source.arguments();
    arguments["action"] = "savings".into();
    let reply = tool_reply::call(run, CALCULATOR, arguments).await?;
    Ok(reply.and_then(|result| match Savings::deserialize(&result) {
        Ok(savings) => Ok((result, savings)),
        Err(_) => Err(NoResult::misshapen(CALCULATOR)),
    }))
}
