//! The JSON spelling of a grader, as the openai graders API has it, with the kinds that API lacks spelt alike: `type`
//! names the kind and the other keys are the proto's field names. Here only keys and types are checked; what values
//! mean is checked in `spec.rs`, once for both spellings.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{GraderError, Path};
use crate::json_object::JsonObject;
use crate::multi::is_name;
use crate::ranked_list::CURVES;
use crate::spec::KINDS;
use crate::string_check::OPERATIONS;
use crate::wire::{self, Kind};

/// Reads a grader from JSON text.
pub(crate) fn from_json(text: &str) -> Result<wire::Grader, GraderError> {
    let refused = |detail: String| GraderError::Json { field: "json".to_owned(), detail };
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => read_grader(JsonObject::new(&map, Path::default())),
        Ok(_) => Err(refused("it is another JSON value".to_owned())),
        Err(fault) => Err(refused(fault.to_string())),
    }
}

fn read_grader(mut fields: JsonObject<'_>) -> Result<wire::Grader, GraderError> {
    let name = fields.text("name")?.unwrap_or_default();
    // Which keys there may be hangs on the kind.
    let kind = fields.text("type")?.ok_or_else(|| GraderError::MissingField { field: fields.path().field("type") })?;
    let kind = match kind.as_str() {
        "string_check" => Kind::StringCheck(read_string_check(&mut fields)?),
        "text_similarity" => Kind::TextSimilarity(read_text_similarity(&mut fields)?),
        "number" => Kind::Number(read_number(&mut fields)?),
        "multiple_choice" => Kind::MultipleChoice(read_multiple_choice(&mut fields)?),
        "ranked_list" => Kind::RankedList(read_ranked_list(&mut fields)?),
        "math" => Kind::Math(read_math(&mut fields)?),
        "json_fields" => Kind::JsonFields(read_json_fields(&mut fields)?),
        "tool_calls" => Kind::ToolCalls(read_tool_calls(&mut fields)?),
        "regex" => Kind::Regex(read_regex(&mut fields)?),
        "shape" => Kind::Shape(read_shape(&mut fields)?),
        "multi" => Kind::Multi(read_multi(&mut fields)?),
        "score_model" => Kind::ScoreModel(read_score_model(&mut fields)?),
        "label_model" => Kind::LabelModel(read_label_model(&mut fields)?),
        "python" => Kind::Python(read_python(&mut fields)?),
        "remote" => Kind::Remote(read_remote(&mut fields)?),
        other => {
            let (field, kind) = (fields.path().field("type"), other.to_owned());
            return Err(GraderError::UnknownKind { field, kind, known: KINDS.join(", ") });
        }
    };
    fields.finish()?;
    Ok(wire::Grader { name, kind: Some(kind) })
}

fn read_string_check(fields: &mut JsonObject<'_>) -> Result<wire::StringCheckGrader, GraderError> {
    let input = fields.required_text("input")?;
    // An empty reference is a text like any other here.
    let reference = fields.required_text("reference")?;
    let operation = fields.word("operation", &OPERATIONS)?;
    if operation.is_none() {
        fields.note_missing("operation");
    }
    Ok(wire::StringCheckGrader { input, reference, operation: operation.unwrap_or_default() })
}

fn read_text_similarity(fields: &mut JsonObject<'_>) -> Result<wire::TextSimilarityGrader, GraderError> {
    Ok(wire::TextSimilarityGrader {
        input: fields.required_text("input")?,
        reference: fields.required_text("reference")?,
        evaluation_metric: fields.required_text("evaluation_metric")?,
        pass_threshold: fields.number("pass_threshold")?,
    })
}

fn read_location(fields: &mut JsonObject<'_>) -> Result<Option<wire::AnswerLocation>, GraderError> {
    let Some(mut location) = fields.object("location")? else { return Ok(None) };
    let read = wire::AnswerLocation {
        marker: location.text("marker")?.unwrap_or_default(),
        marker_required: location.flag("marker_required")?,
    };
    location.finish()?;
    Ok(Some(read))
}

fn read_number(fields: &mut JsonObject<'_>) -> Result<wire::NumberGrader, GraderError> {
    Ok(wire::NumberGrader {
        input: fields.text("input")?.unwrap_or_default(),
        reference: fields.required_text("reference")?,
        location: read_location(fields)?,
        absolute_tolerance: fields.number("absolute_tolerance")?,
        relative_tolerance: fields.number("relative_tolerance")?,
        partial_score: fields.number("partial_score")?,
        percent_as_fraction: fields.flag("percent_as_fraction")?,
        expression: fields.flag("expression")?,
    })
}

fn read_multiple_choice(fields: &mut JsonObject<'_>) -> Result<wire::MultipleChoiceGrader, GraderError> {
    Ok(wire::MultipleChoiceGrader {
        input: fields.text("input")?.unwrap_or_default(),
        reference: fields.required_text("reference")?,
        choices: fields.texts("choices")?,
        location: read_location(fields)?,
        partial_score: fields.number("partial_score")?,
    })
}

fn read_ranked_list(fields: &mut JsonObject<'_>) -> Result<wire::RankedListGrader, GraderError> {
    let input = fields.text("input")?.unwrap_or_default();
    let reference = fields.required_text("reference")?;
    let location = read_location(fields)?;
    let curve = match fields.object("curve")? {
        None => None,
        Some(mut curve) => {
            let read = wire::RankCurve {
                kind: curve.word("kind", &CURVES)?.unwrap_or_default(),
                table: curve.numbers("table")?,
                zero_rank: curve.integer("zero_rank")?,
            };
            curve.finish()?;
            Some(read)
        }
    };
    Ok(wire::RankedListGrader {
        input,
        reference,
        location,
        curve,
        max_rank: fields.integer("max_rank")?,
        case_sensitive: fields.flag("case_sensitive")?,
        aliases: fields.text("aliases")?.unwrap_or_default(),
        partial_score: fields.number("partial_score")?,
    })
}

fn read_math(fields: &mut JsonObject<'_>) -> Result<wire::MathGrader, GraderError> {
    Ok(wire::MathGrader {
        input: fields.text("input")?.unwrap_or_default(),
        reference: fields.required_text("reference")?,
        location: read_location(fields)?,
        partial_score: fields.number("partial_score")?,
    })
}

fn read_json_fields(fields: &mut JsonObject<'_>) -> Result<wire::JsonFieldsGrader, GraderError> {
    Ok(wire::JsonFieldsGrader {
        input: fields.text("input")?.unwrap_or_default(),
        reference: fields.required_text("reference")?,
        schema_json: fields.json_text("schema_json")?,
        weights: fields.number_map("weights")?,
    })
}

fn read_tool_calls(fields: &mut JsonObject<'_>) -> Result<wire::ToolCallsGrader, GraderError> {
    Ok(wire::ToolCallsGrader {
        input: fields.text("input")?.unwrap_or_default(),
        reference: fields.required_text("reference")?,
        any_order: fields.flag("any_order")?,
    })
}

fn read_regex(fields: &mut JsonObject<'_>) -> Result<wire::RegexGrader, GraderError> {
    Ok(wire::RegexGrader {
        input: fields.text("input")?.unwrap_or_default(),
        pattern: fields.required_text("pattern")?,
        reference: fields.text("reference")?.unwrap_or_default(),
    })
}

fn read_shape(fields: &mut JsonObject<'_>) -> Result<wire::ShapeGrader, GraderError> {
    Ok(wire::ShapeGrader {
        input: fields.text("input")?.unwrap_or_default(),
        min_characters: fields.integer("min_characters")?,
        max_characters: fields.integer("max_characters")?,
        slope_characters: fields.integer("slope_characters")?,
        required_pattern: fields.text("required_pattern")?.unwrap_or_default(),
    })
}

fn read_score_model(fields: &mut JsonObject<'_>) -> Result<wire::ScoreModelGrader, GraderError> {
    Ok(wire::ScoreModelGrader {
        model: fields.required_text("model")?,
        input: read_messages(fields)?,
        range: fields.numbers("range")?,
        sampling_params: read_sampling(fields)?,
        pass_threshold: fields.number("pass_threshold")?,
    })
}

fn read_label_model(fields: &mut JsonObject<'_>) -> Result<wire::LabelModelGrader, GraderError> {
    Ok(wire::LabelModelGrader {
        model: fields.required_text("model")?,
        input: read_messages(fields)?,
        labels: fields.texts("labels")?,
        passing_labels: fields.texts("passing_labels")?,
        sampling_params: read_sampling(fields)?,
    })
}

fn read_sampling(fields: &mut JsonObject<'_>) -> Result<Option<wire::JudgeSampling>, GraderError> {
    let Some(mut sampling) = fields.object("sampling_params")? else { return Ok(None) };
    let read = wire::JudgeSampling {
        seed: sampling.whole_number("seed")?,
        top_p: sampling.number("top_p")?,
        temperature: sampling.number("temperature")?,
        max_completions_tokens: sampling.given_integer("max_completions_tokens")?,
        reasoning_effort: sampling.text("reasoning_effort")?,
    };
    sampling.finish()?;
    Ok(Some(read))
}

/// A judge's messages. `content` is a text, an object with a text, or a list of those, which are joined by line ends.
fn read_messages(fields: &mut JsonObject<'_>) -> Result<Vec<wire::JudgeMessage>, GraderError> {
    let read = |mut message: JsonObject<'_>| {
        let kind = message.text("type")?.unwrap_or_else(|| "message".to_owned());
        if kind != "message" {
            return Err(message.path().refuse("type", format!("must be message, got `{kind}`")));
        }
        let role = message.required_text("role")?;
        let content = match message.peek("content") {
            Some(Value::Array(parts)) => read_contents(parts, message.path())?,
            Some(Value::Object(part)) => read_content(JsonObject::new(part, message.path().enter("content")))?,
            _ => message.required_text("content")?,
        };
        message.finish()?;
        Ok(wire::JudgeMessage { role, content })
    };
    fields.objects_in("input")?.into_iter().map(read).collect()
}

/// The parts of a message, each a text or an object, as one text.
fn read_contents(parts: &[Value], path: &Path) -> Result<String, GraderError> {
    let read = |(place, part): (usize, &Value)| {
        let place = format!("content[{place}]");
        match part {
            Value::String(text) => Ok(text.clone()),
            Value::Object(part) => read_content(JsonObject::new(part, path.enter(&place))),
            _ => Err(path.refuse(&place, "must be a text, or an object with type and text")),
        }
    };
    Ok(parts.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// A part of a message: only texts, since the judges that are asked here read nothing else.
fn read_content(mut part: JsonObject<'_>) -> Result<String, GraderError> {
    let kind = part.text("type")?.ok_or_else(|| GraderError::MissingField { field: part.path().field("type") })?;
    if kind != "input_text" && kind != "output_text" {
        let detail = format!("must be input_text or output_text, got `{kind}`; images and audio are not graded");
        return Err(part.path().refuse("type", detail));
    }
    let text = part.required_text("text")?;
    part.finish()?;
    Ok(text)
}

fn read_python(fields: &mut JsonObject<'_>) -> Result<wire::PythonGrader, GraderError> {
    Ok(wire::PythonGrader {
        source: fields.required_text("source")?,
        image_tag: fields.text("image_tag")?.unwrap_or_default(),
        pass_threshold: fields.number("pass_threshold")?,
    })
}

fn read_remote(fields: &mut JsonObject<'_>) -> Result<wire::RemoteGrader, GraderError> {
    Ok(wire::RemoteGrader {
        endpoint: fields.required_text("endpoint")?,
        timeout_seconds: fields.number("timeout_seconds")?,
        settings_json: fields.json_text("settings_json")?,
    })
}

fn read_multi(fields: &mut JsonObject<'_>) -> Result<wire::MultiGrader, GraderError> {
    Ok(wire::MultiGrader {
        graders: read_parts(fields)?,
        calculate_output: fields.required_text("calculate_output")?,
        gate: fields.text("gate")?.unwrap_or_default(),
        shadow: fields.texts("shadow")?,
    })
}

/// The parts of a multi grader: a map from names to graders, a list of graders whose names are identifiers and differ,
/// or one grader with such a name: that is how the openai package types the field.
fn read_parts(fields: &mut JsonObject<'_>) -> Result<BTreeMap<String, wire::Grader>, GraderError> {
    let path = fields.path().clone();
    let mut parts = BTreeMap::new();
    match fields.peek("graders") {
        Some(Value::Array(list)) => {
            for (place, part) in list.iter().enumerate() {
                let place = format!("graders[{place}]");
                let Value::Object(map) = part else {
                    return Err(path.refuse(&place, "must be a grader object"));
                };
                add_named_part(&mut parts, map, &path.enter(&place))?;
            }
        }
        Some(Value::Object(map)) if map.get("type").is_some_and(Value::is_string) => {
            add_named_part(&mut parts, map, &path.enter("graders"))?;
        }
        _ => match fields.object("graders")? {
            None => fields.note_missing("graders"),
            Some(map) => {
                for (name, part) in map.objects()? {
                    parts.insert(name, read_grader(part)?);
                }
            }
        },
    }
    Ok(parts)
}

/// Reads a part that goes by its own name.
fn add_named_part(
    parts: &mut BTreeMap<String, wire::Grader>,
    map: &Map<String, Value>,
    path: &Path,
) -> Result<(), GraderError> {
    let part = read_grader(JsonObject::new(map, path.clone()))?;
    let name = part.name.clone();
    if !is_name(&name) {
        let detail = format!(
            "graders that are no map need names that are identifiers, got `{name}`; or write `graders` as a map"
        );
        return Err(path.refuse("name", detail));
    }
    if parts.insert(name.clone(), part).is_some() {
        return Err(path.refuse("name", format!("`{name}` names two graders; names must differ")));
    }
    Ok(())
}
