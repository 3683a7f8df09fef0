//! Compares tool calls as values. A call is `{"function": {"name", "arguments"}}` as chat completions have it, or
//! `{"name", "arguments"}`; arguments are an object, or the text of one.

use serde_json::{Map, Value};

use crate::error::{GraderError, Path};
use crate::grade::{ErrorClass, Grade, GradeError, count, excerpt};
use crate::json_value::same;
use crate::plain_kind::PlainKind;
use crate::scope::Scope;
use crate::spec::{read_reference, read_template};
use crate::template::Template;
use crate::wire;

/// The template that reads the sampled calls.
const OUTPUT_TOOLS: &str = "{{sample.output_tools}}";

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCalls {
    input: Template,
    reference: Template,
    any_order: bool,
}

/// One call, its arguments read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    name: String,
    arguments: Value,
}

impl ToolCalls {
    pub(crate) fn read(calls: &wire::ToolCallsGrader, path: &Path) -> Result<Self, GraderError> {
        let input = if calls.input.is_empty() { OUTPUT_TOOLS } else { &calls.input };
        Ok(Self {
            input: read_template(input, path, "input")?,
            reference: read_reference(&calls.reference, path)?,
            any_order: calls.any_order,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::ToolCallsGrader {
        wire::ToolCallsGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            any_order: self.any_order,
        }
    }

    /// How many of the expected calls were made: place by place, or each matched once in any order.
    fn made(&self, expected: &[Call], given: &[Call]) -> usize {
        if !self.any_order {
            return expected.iter().zip(given).filter(|(expected, given)| expected.is(given)).count();
        }
        let mut left: Vec<&Call> = given.iter().collect();
        let take = |call: &Call| {
            let place = left.iter().position(|given| call.is(given))?;
            Some(left.swap_remove(place))
        };
        expected.iter().filter_map(take).count()
    }
}

impl PlainKind for ToolCalls {
    type Expected = Vec<Call>;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    fn expect(&self, scope: Scope<'_>) -> Result<Vec<Call>, GradeError> {
        let reference = self.reference.render(scope)?;
        calls(&reference).ok_or_else(|| {
            let detail = format!(
                "the reference must be a JSON array of calls with name and arguments, got `{}`",
                excerpt(&reference)
            );
            GradeError::new(ErrorClass::InvalidReference, detail)
        })
    }

    /// The share of right calls among those expected or made, whichever are more; 1 where none are expected or made.
    fn grade(&self, expected: &Vec<Call>, text: &str) -> Grade {
        // What is no list of calls is a wrong answer, as a wrong call is.
        let Some(given) = calls(text) else { return Grade::scored(0.0) };
        let most = expected.len().max(given.len());
        let score = if most == 0 { 1.0 } else { count(self.made(expected, &given)) / count(most) };
        Grade::of_answer(score, given.iter().map(Call::written).collect::<Vec<_>>().join("; "))
    }
}

impl Call {
    fn read(value: &Value) -> Option<Self> {
        let call = value.get("function").unwrap_or(value);
        let arguments = match call.get("arguments") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            // Calls without arguments come as an empty text too.
            Some(Value::String(text)) if text.trim().is_empty() => Value::Object(Map::new()),
            Some(Value::String(text)) => serde_json::from_str(text).ok()?,
            Some(other) => other.clone(),
        };
        let name = call.get("name")?.as_str()?.to_owned();
        arguments.is_object().then_some(Self { name, arguments })
    }

    fn is(&self, other: &Self) -> bool {
        self.name == other.name && same(&self.arguments, &other.arguments)
    }

    fn written(&self) -> String {
        format!("{}({})", self.name, self.arguments)
    }
}

/// The calls of a JSON array, or of one call alone; `None` where it is neither.
fn calls(text: &str) -> Option<Vec<Call>> {
    match serde_json::from_str(text).ok()? {
        Value::Array(values) => values.iter().map(Call::read).collect(),
        value => Call::read(&value).map(|call| vec![call]),
    }
}
