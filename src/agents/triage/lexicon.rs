//! The words that rules go by. A phrase is one or more words; one that ends in `*` stands for all that begin like it.

use super::judgement::Category;

/// What each category and its parts are told by.
pub const CATEGORIES: [(Category, &str, &[&str]); 12] = [
    (
        Category::Cost,
        "savings",
        &[
            "save",
            "saving*",
            "reduce",
            "cheaper",
            "cut",
            "lower",
            "optimi*",
            "too expensive",
        ],
    ),
    (
        Category::Cost,
        "spend",
        &[
            "cost*",
            "spend*",
            "spent",
            "bill*",
            "invoice*",
            "expensive",
            "money",
            "dollar*",
            "usd",
            "pay*",
        ],
    ),
    (
        Category::Cost,
        "budget",
        &["budget*", "forecast*", "overspend*", "over budget"],
    ),
    (Category::Cost, "usage", &["token*", "usage", "consumption"]),
    (
        Category::Performance,
        "latency",
        &[
            "latenc*",
            "slow*",
            "faster",
            "speed*",
            "response time*",
            "p50",
            "p90",
            "p95",
            "p99",
            "timeout*",
        ],
    ),
    (
        Category::Performance,
        "throughput",
        &["throughput", "rate limit*", "requests per second", "concurren*"],
    ),
    (
        Category::Quality,
        "accuracy",
        &["quality", "accura*", "hallucinat*", "wrong answers", "bad answers"],
    ),
    (
        Category::Quality,
        "evaluation",
        &["evaluat*", "benchmark*", "eval", "evals"],
    ),
    (
        Category::Catalogue,
        "prices",
        &["price*", "pricing", "price list", "list price*", "per million"],
    ),
    (
        Category::Catalogue,
        "models",
        &[
            "which model*",
            "what models",
            "catalog*",
            "context window*",
            "capabilit*",
            "vision",
            "new model*",
            "deprecat*",
            "provider*",
        ],
    ),
    (
        Category::Documents,
        "search",
        &["search my", "my documents", "in my documents", "find in", "corpus"],
    ),
    (
        Category::Documents,
        "manage",
        &["upload*", "document*", "file", "files", "delete document*"],
    ),
];

/// What people want, in the words that say so; and whether something should then be done.
pub const INTENTS: [(&str, bool, &[&str]); 7] = [
    (
        "optimise",
        true,
        &[
            "optimi*", "reduce", "save", "saving*", "cheaper", "cut", "lower", "faster", "improve",
        ],
    ),
    (
        "plan",
        true,
        &[
            "plan*",
            "roadmap",
            "next steps",
            "what should we do",
            "what should i do",
            "implement",
            "how do we",
        ],
    ),
    (
        "compare",
        false,
        &["compar*", "versus", "vs", "difference between", "or better"],
    ),
    ("report", false, &["report*", "summar*", "overview"]),
    (
        "analyse",
        false,
        &[
            "analy*",
            "break down",
            "breakdown",
            "show",
            "how much",
            "where does",
            "where do",
            "trend*",
            "look at",
        ],
    ),
    (
        "explain",
        false,
        &["why", "explain", "what is", "what does", "how does"],
    ),
    ("find", false, &["find", "search", "which", "list"]),
];

/// What can be measured.
pub const METRICS: [(&str, &[&str]); 8] = [
    (
        "cost",
        &[
            "cost*",
            "spend*",
            "spent",
            "bill*",
            "expensive",
            "cheaper",
            "dollar*",
            "usd",
        ],
    ),
    ("tokens", &["token*"]),
    (
        "latency",
        &[
            "latenc*",
            "slow*",
            "faster",
            "response time*",
            "p50",
            "p90",
            "p95",
            "p99",
        ],
    ),
    ("throughput", &["throughput", "requests per second"]),
    ("requests", &["request*", "calls"]),
    ("errors", &["error*", "failure*", "timeout*"]),
    ("cache hits", &["cache*", "caching"]),
    ("quality", &["quality", "accura*", "hallucinat*"]),
];

/// That it can wait: asked first, for `not urgent` has `urgent` in it.
pub const CAN_WAIT: [&str; 8] = [
    "not urgent",
    "no rush",
    "no hurry",
    "whenever",
    "low priority",
    "just curious",
    "just wondering",
    "some day",
];

/// That it can't wait at all.
pub const URGENT: [&str; 9] = [
    "urgent*",
    "asap",
    "immediately",
    "right now",
    "emergency",
    "outage",
    "production is down",
    "at once",
    "exploded",
];

/// That it matters soon.
pub const SOON: [&str; 10] = [
    "important",
    "soon",
    "today",
    "tomorrow",
    "critical",
    "deadline",
    "doubled",
    "over budget",
    "high priority",
    "quickly",
];

/// That much hangs together.
pub const INTRICATE: [&str; 8] = [
    "across all",
    "every model",
    "all models",
    "all features",
    "roadmap",
    "strategy",
    "end to end",
    "trade off*",
];

/// That a message tries to give orders to the agents.
pub const ORDERS: [&str; 18] = [
    "ignore previous",
    "ignore all previous",
    "ignore the previous",
    "ignore your instructions",
    "ignore all instructions",
    "ignore the instructions",
    "ignore the above",
    "ignore everything above",
    "disregard previous",
    "disregard all previous",
    "disregard your instructions",
    "forget your instructions",
    "forget all previous",
    "system prompt",
    "your instructions are now",
    "you are now",
    "jailbreak",
    "developer mode",
];
