//! What happens in a run besides its answer, in one line each; and what it used, in one more.

use serde_json::Value;

use super::text;

/// Characters of a tool's arguments or result that are shown. Beyond: the line is cut.
const TOOL_LINE_MAX: usize = 500;

/// Millionths of a dollar from which four decimals show something.
const COST_SHOWN_MICROS: u64 = 50;

/// The line of an event, where it has one.
pub(super) fn line(arrived: &Value) -> Option<String> {
    let payload = &arrived["payload"];
    let line = match text(arrived, "type") {
        "agent_started" => format!("{}:", text(arrived, "agent_name")),
        "agent_thinking" => format!("  ~ {}", text(payload, "reasoning")),
        "progress_update" => format!("  … {}", progress(payload)),
        "tool_executing" => cut(&format!("  > {} {}", text(payload, "tool_name"), payload["parameters"])),
        "tool_completed" => cut(&format!("  < {} {}", text(payload, "status"), payload["result"])),
        "tool_approval_decided" => format!("  ? {}", decision(payload)),
        "steering_applied" => format!("  … it was told: {}", text(payload, "content")),
        "budget_warning" => {
            let of = |field: &str| payload[field].as_f64().unwrap_or_default();
            let name = text(payload, "budget");
            format!("  … of its {name}, {} of {} are used", of("used"), of("limit"))
        }
        "run_recovering" => format!("  … run_recovering {}", text(payload, "message")),
        "workflow_started" => {
            let steps = payload["steps"].as_array().into_iter().flatten();
            let steps: Vec<_> = steps.filter_map(Value::as_str).collect();
            format!("  … steps: {}", steps.join(", "))
        }
        "step_started" => format!("  … step {}, {}", payload["step_number"], text(payload, "step")),
        "step_completed" => {
            let (number, name) = (&payload["step_number"], text(payload, "step"));
            format!("  … step {number}, {name}: {}", text(payload, "status"))
        }
        "workflow_completed" => format!("  … {}: {}", text(payload, "workflow"), text(payload, "status")),
        _ => return None,
    };
    Some(line)
}

/// What a run used, as its end tells it: only what is not zero; none where nothing is known.
pub(super) fn usage(end: &Value) -> Option<String> {
    let usage = &end["usage"];
    let count = |field: &str| usage[field].as_u64().unwrap_or(0);
    let time = end["execution_time_ms"].as_u64().filter(|millis| *millis > 0);
    let cost = Some(count("cost_micros")).filter(|micros| *micros > 0);
    let parts = [
        time.map(took),
        counted(count("model_calls"), "model call"),
        counted(count("tool_calls"), "tool call"),
        counted(count("input_tokens").saturating_add(count("output_tokens")), "token"),
        cost.map(dollars),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn took(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        _ => {
            let tenths = millis / 100;
            format!("{}.{} s", grouped(tenths / 10), tenths % 10)
        }
    }
}

fn counted(count: u64, what: &str) -> Option<String> {
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("{} {what}{plural}", grouped(count)))
}

fn dollars(micros: u64) -> String {
    if micros < COST_SHOWN_MICROS {
        return "under $0.0001".to_owned();
    }
    let shown = (micros + 50) / 100;
    format!("${}.{:04}", grouped(shown / 10_000), shown % 10_000)
}

/// With a comma before each three digits.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn decision(payload: &Value) -> String {
    let what = match text(payload, "decision") {
        "approve" => "approved",
        "deny" => "denied",
        _ => "nobody decided in time",
    };
    match text(payload, "note") {
        "" => what.to_owned(),
        note => format!("{what}: {note}"),
    }
}

fn progress(payload: &Value) -> String {
    match payload["percentage"].as_u64() {
        Some(percentage) => format!("{percentage} % {}", text(payload, "message")),
        None => text(payload, "message").to_owned(),
    }
}

/// Cut where it is too long for a line to be read.
fn cut(line: &str) -> String {
    match line.char_indices().nth(TOOL_LINE_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_run_used_is_told_and_what_it_did_not_use_is_not() {
        let end = |millis: u64, usage: Value| json!({ "execution_time_ms": millis, "usage": usage });
        let all = json!({
            "input_tokens": 1_000, "output_tokens": 234, "model_calls": 2, "tool_calls": 3, "cost_micros": 4_249,
        });
        assert_eq!(
            usage(&end(1_260, all)).unwrap(),
            "1.2 s, 2 model calls, 3 tool calls, 1,234 tokens, $0.0042"
        );
        for (millis, used, told) in [
            (
                12,
                json!({ "model_calls": 1, "tool_calls": 0 }),
                Some("12 ms, 1 model call"),
            ),
            (0, json!({ "input_tokens": 1_234_567 }), Some("1,234,567 tokens")),
            (0, json!({ "cost_micros": 49 }), Some("under $0.0001")),
            (0, json!({ "cost_micros": 50 }), Some("$0.0001")),
            (0, json!({ "cost_micros": 1_234_567_890_u64 }), Some("$1,234.5679")),
            (3_661_000, Value::Null, Some("3,661.0 s")),
            (0, Value::Null, None),
        ] {
            assert_eq!(usage(&end(millis, used)).as_deref(), told);
        }
    }
}
