//! Stand-ins for what the agents work with: tools that return what the real ones do, and models that lie.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sessile::agents;
use sessile_actors::infra::Model;
use sessile_actors::infra::model::{
    ChatMessage, ModelCall, ModelError, ModelPiece, ModelRequest, ModelStream, ModelUsage,
};
use sessile_actors::testing::{FakeTool, Probe, World, WorldBuilder, world};

/// How often an agent's model is asked at most.
pub const STEP_LIMIT: u32 = 4;

/// A message with data in it.
pub const WITH_DATA: &str = "How can we save money?\n```csv\nmodel,feature\nm1,summaries\n```";

/// Of `usage_analysis`.
pub fn analysis() -> Value {
    json!({
        "rows": 1200, "skipped": [], "skipped_count": 0, "sufficiency": "sufficient", "reasons": [], "missing": ["latency_ms"],
        "period": {"from": "2026-10-01", "to": "2026-10-30", "days": 30},
        "totals": {"requests": 1200, "input_tokens": 9_000_000, "output_tokens": 700_000, "cached_input_tokens": 0,
                   "cost_usd": "12.345678", "cost_usd_rounded": "12.35"},
        "by_model": [{"model": "m1", "requests": 1200, "input_tokens": 9_000_000, "output_tokens": 700_000,
                      "cost_usd": "12.345678", "cost_usd_rounded": "12.35", "share_percent": "100.00"}],
        "by_feature": [{"feature": "a|<script>", "requests": 1200, "input_tokens": 9_000_000, "output_tokens": 700_000,
                        "cost_usd": "12.345678", "cost_usd_rounded": "12.35", "share_percent": "100.00"}],
        "by_day": [], "percentiles": {}, "trend": null, "outliers": [],
        "repeated_prompts": {"known": true, "requests": 400, "distinct": 20, "repeated_input_tokens": 380_000},
        "unpriced_models": [],
    })
}

/// Of `cost_calculator` for savings.
pub fn savings() -> Value {
    json!({
        "baseline_usd": "12.345678",
        "strategies": [
            {"id": "other_model", "title": "Move `summaries` from m1 to m2", "detail": {"feature": "summaries", "from": "m1", "to": "m2"},
             "saves_usd": "3.210000", "saves_usd_rounded": "3.21", "saves_percent": "26.00", "effort": "high", "risk": "high",
             "assumption": "m2 is able enough."},
            {"id": "caching", "title": "Cache the prompts that come again", "detail": {"requests": 380},
             "saves_usd": "2.005000", "saves_usd_rounded": "2.01", "saves_percent": "16.24", "effort": "low", "risk": "low",
             "assumption": "A prompt is still in the cache."},
        ],
        "combined_saves_usd": "5.000000", "combined_saves_usd_rounded": "5.00", "note": "Together they save less than their sum.",
    })
}

/// A world with the agents, the first of them being whom messages go to by default.
pub fn agents_alone() -> WorldBuilder {
    world()
        .agent(agents::triage::class(STEP_LIMIT))
        .agent(agents::data::class(STEP_LIMIT))
        .agent(agents::data_helper::class(STEP_LIMIT))
        .agent(agents::optimization::class(STEP_LIMIT))
        .agent(agents::actions::class(STEP_LIMIT))
        .agent(agents::reporting::class(STEP_LIMIT))
}

/// The same with tools that work.
pub fn agents_with_tools() -> WorldBuilder {
    agents_alone()
        .tool(FakeTool::new("usage_analysis").returns(analysis()))
        .tool(FakeTool::new("cost_calculator").returns(savings()))
        .tool(catalogue())
}

/// A catalogue of two models.
pub fn catalogue() -> FakeTool {
    FakeTool::new("supply_catalog").returns(json!({"models": [{"model": "m1"}, {"model": "m2"}], "left_out": 0}))
}

/// A run that has ended: all its frames, and the payload of its end.
pub struct Ended {
    pub kind: String,
    pub end: Value,
    pub frames: Vec<Value>,
}

impl Ended {
    /// What the run answered.
    pub fn answer(&self) -> &str {
        assert_eq!(self.kind, "agent_completed", "{}", self.end);
        self.end["result"].as_str().unwrap()
    }

    /// The tools that were called, and how each call ended.
    pub fn calls(&self) -> Vec<(&str, &str)> {
        let completed = self.frames.iter().filter(|frame| frame["type"] == "tool_completed");
        let told = completed.map(|frame| &frame["payload"]);
        told.map(|call| (call["tool_name"].as_str().unwrap(), call["status"].as_str().unwrap()))
            .collect()
    }
}

/// Lets `agent` answer a message.
pub async fn ask(ada: &mut Probe, agent: &str, content: &str) -> Ended {
    ada.message(json!({"content": content, "agent": agent})).await;
    let mut frames = ada.run_to_end().await;
    // Its children end before it.
    while frames.last().unwrap()["agent_name"] != agent {
        frames.extend(ada.run_to_end().await);
    }
    let last = frames.last().unwrap();
    Ended {
        kind: last["type"].as_str().unwrap().to_owned(),
        end: last["payload"].clone(),
        frames,
    }
}

/// Lets `agent` answer one message in a world of its own.
pub async fn asked(world: World, agent: &str, content: &str) -> Ended {
    let mut ada = world.connect("ada").await;
    let ended = ask(&mut ada, agent, content).await;
    world.finish().await;
    ended
}

/// A model that says one thing after the other, whatever it is told; the last one for ever.
pub struct Says(Vec<Turn>);

/// One turn of such a model.
#[derive(Clone)]
pub enum Turn {
    /// It says this.
    Words(String),
    /// It calls this tool.
    Calls(&'static str, Value),
    /// It never answers.
    Hangs,
}

impl Says {
    /// It says these words, turn by turn.
    pub fn words(words: &[&str]) -> Self {
        Self(words.iter().map(|&words| Turn::Words(words.to_owned())).collect())
    }

    /// It does this, turn by turn.
    pub fn turns(turns: Vec<Turn>) -> Self {
        Self(turns)
    }
}

#[async_trait]
impl Model for Says {
    fn name(&self) -> &str {
        "says"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let replies = |message: &&ChatMessage| matches!(message, ChatMessage::Assistant { .. });
        let turn = request.messages.iter().filter(replies).count();
        let turn = self.0.get(turn).or(self.0.last()).cloned();
        let piece = match turn.ok_or_else(|| ModelError::Unavailable("it has nothing to say".to_owned()))? {
            Turn::Words(words) => ModelPiece::Text(words),
            Turn::Calls(name, arguments) => ModelPiece::Call(ModelCall {
                id: "1".to_owned(),
                name: name.to_owned(),
                arguments,
            }),
            Turn::Hangs => return Ok(stream::pending().boxed()),
        };
        let end = ModelPiece::End {
            usage: ModelUsage::default(),
        };
        Ok(stream::iter([Ok(piece), Ok(end)]).boxed())
    }
}
