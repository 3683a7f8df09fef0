//! The canonical JSON of a checked grader: every field that its kind has, keys sorted, no spaces. Fingerprints are made
//! of it.

use serde_json::{Map, Value, json};

use crate::ranked_list::CURVES;
use crate::string_check::OPERATIONS;
use crate::wire::{self, Kind};

/// The canonical JSON of a grader: every field that it carries, keys sorted, no spaces. With `named` false without
/// names, which have no say in a grade.
pub(crate) fn to_json(grader: &wire::Grader, named: bool) -> Value {
    let mut json = match &grader.kind {
        Some(Kind::StringCheck(check)) => json!({
            "type": "string_check",
            "input": check.input,
            "reference": check.reference,
            "operation": word(&OPERATIONS, check.operation),
        }),
        Some(Kind::TextSimilarity(similarity)) => json!({
            "type": "text_similarity",
            "input": similarity.input,
            "reference": similarity.reference,
            "evaluation_metric": similarity.evaluation_metric,
            "pass_threshold": similarity.pass_threshold,
        }),
        Some(Kind::Number(number)) => json!({
            "type": "number",
            "input": number.input,
            "reference": number.reference,
            "location": location(number.location.as_ref()),
            "absolute_tolerance": number.absolute_tolerance,
            "relative_tolerance": number.relative_tolerance,
            "partial_score": number.partial_score,
            "percent_as_fraction": number.percent_as_fraction,
            "expression": number.expression,
        }),
        Some(Kind::MultipleChoice(choice)) => json!({
            "type": "multiple_choice",
            "input": choice.input,
            "reference": choice.reference,
            "choices": choice.choices,
            "location": location(choice.location.as_ref()),
            "partial_score": choice.partial_score,
        }),
        Some(Kind::RankedList(ranked)) => json!({
            "type": "ranked_list",
            "input": ranked.input,
            "reference": ranked.reference,
            "location": location(ranked.location.as_ref()),
            "curve": ranked.curve.as_ref().map(|curve| json!({
                "kind": word(&CURVES, curve.kind),
                "table": curve.table,
                "zero_rank": curve.zero_rank,
            })),
            "max_rank": ranked.max_rank,
            "case_sensitive": ranked.case_sensitive,
            "aliases": ranked.aliases,
            "partial_score": ranked.partial_score,
        }),
        Some(Kind::Math(maths)) => json!({
            "type": "math",
            "input": maths.input,
            "reference": maths.reference,
            "location": location(maths.location.as_ref()),
            "partial_score": maths.partial_score,
        }),
        Some(Kind::JsonFields(fields)) => json!({
            "type": "json_fields",
            "input": fields.input,
            "reference": fields.reference,
            "schema_json": fields.schema_json,
            "weights": fields.weights,
        }),
        Some(Kind::ToolCalls(calls)) => json!({
            "type": "tool_calls",
            "input": calls.input,
            "reference": calls.reference,
            "any_order": calls.any_order,
        }),
        Some(Kind::Regex(regex)) => json!({
            "type": "regex",
            "input": regex.input,
            "pattern": regex.pattern,
            "reference": regex.reference,
        }),
        Some(Kind::Shape(shape)) => json!({
            "type": "shape",
            "input": shape.input,
            "min_characters": shape.min_characters,
            "max_characters": shape.max_characters,
            "slope_characters": shape.slope_characters,
            "required_pattern": shape.required_pattern,
        }),
        Some(Kind::Multi(multi)) => json!({
            "type": "multi",
            "graders": parts_json(multi, named),
            "calculate_output": multi.calculate_output,
            "gate": multi.gate,
            "shadow": multi.shadow,
        }),
        Some(Kind::ScoreModel(judge)) => json!({
            "type": "score_model",
            "model": judge.model,
            "input": messages(&judge.input),
            "range": judge.range,
            "sampling_params": sampling(judge.sampling_params.as_ref()),
            "pass_threshold": judge.pass_threshold,
        }),
        Some(Kind::LabelModel(judge)) => json!({
            "type": "label_model",
            "model": judge.model,
            "input": messages(&judge.input),
            "labels": judge.labels,
            "passing_labels": judge.passing_labels,
            "sampling_params": sampling(judge.sampling_params.as_ref()),
        }),
        Some(Kind::Python(python)) => json!({
            "type": "python",
            "source": python.source,
            "image_tag": python.image_tag,
            "pass_threshold": python.pass_threshold,
        }),
        Some(Kind::Remote(remote)) => json!({
            "type": "remote",
            "endpoint": remote.endpoint,
            "timeout_seconds": remote.timeout_seconds,
            "settings_json": remote.settings_json,
        }),
        // A checked grader has a kind.
        None => json!({}),
    };
    if named {
        json["name"] = json!(grader.name);
    }
    json
}

fn parts_json(multi: &wire::MultiGrader, named: bool) -> Map<String, Value> {
    multi.graders.iter().map(|(name, part)| (name.clone(), to_json(part, named))).collect()
}

fn messages(messages: &[wire::JudgeMessage]) -> Value {
    messages.iter().map(|message| json!({"role": message.role, "content": message.content})).collect()
}

fn sampling(sampling: Option<&wire::JudgeSampling>) -> Value {
    sampling.map_or(Value::Null, |sampling| {
        json!({
            "seed": sampling.seed,
            "top_p": sampling.top_p,
            "temperature": sampling.temperature,
            "max_completions_tokens": sampling.max_completions_tokens,
            "reasoning_effort": sampling.reasoning_effort,
        })
    })
}

fn location(location: Option<&wire::AnswerLocation>) -> Value {
    location
        .map_or(Value::Null, |location| json!({"marker": location.marker, "marker_required": location.marker_required}))
}

fn word(words: &[&'static str], number: i32) -> &'static str {
    let place = usize::try_from(number).unwrap_or_default().wrapping_sub(1);
    words.get(place).copied().unwrap_or_default()
}
