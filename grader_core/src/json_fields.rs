//! Compares the fields of a JSON answer with those of a reference, each with its weight. The fields of an object share
//! the object's weight, the entries of a list the list's. What the reference lacks does not count against an answer;
//! a schema can forbid it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{GraderError, Path};
use crate::grade::{ErrorClass, Grade, GradeError, count, excerpt};
use crate::json_schema::Schema;
use crate::json_value::same;
use crate::plain_kind::PlainKind;
use crate::scope::Scope;
use crate::spec::{read_input, read_reference};
use crate::template::Template;
use crate::wire;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonFields {
    input: Template,
    reference: Template,
    schema: Option<Schema>,
    weights: BTreeMap<String, f64>,
}

/// An expected value.
pub(crate) enum Field {
    /// A text, number, flag, null, or an empty list or object: right or wrong.
    Whole(Value),
    /// A list, place by place.
    List(Vec<Part<usize>>),
    /// An object, key by key.
    Object(Vec<Part<String>>),
}

/// A value inside another, at a place or key.
pub(crate) struct Part<K> {
    key: K,
    weight: f64,
    field: Field,
}

impl JsonFields {
    pub(crate) fn read(fields: &wire::JsonFieldsGrader, path: &Path) -> Result<Self, GraderError> {
        let inside = path.enter("weights");
        for (key, weight) in &fields.weights {
            if !is_path(key) {
                let detail = "is no path of a field; write it as `name`, `name.inner` or `names[0]`";
                return Err(inside.refuse(key, detail));
            }
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(inside.refuse(key, format!("must be a finite number of at least 0, got {weight}")));
            }
        }
        let schema = match fields.schema_json.as_str() {
            "" => None,
            text => Some(Schema::read(text, path, "schema_json")?),
        };
        Ok(Self {
            input: read_input(&fields.input, path)?,
            reference: read_reference(&fields.reference, path)?,
            schema,
            weights: fields.weights.clone(),
        })
    }

    pub(crate) fn to_wire(&self) -> wire::JsonFieldsGrader {
        wire::JsonFieldsGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            schema_json: self.schema.as_ref().map_or("", Schema::source).to_owned(),
            weights: self.weights.clone(),
        }
    }

    fn field(&self, value: Value, path: &mut String) -> Field {
        match value {
            Value::Object(values) if !values.is_empty() => {
                let part = |(key, value): (String, Value)| {
                    let separator = if path.is_empty() { "" } else { "." };
                    self.part(&format!("{separator}{key}"), key.clone(), value, path)
                };
                Field::Object(values.into_iter().map(part).collect())
            }
            Value::Array(values) if !values.is_empty() => {
                let part = |(place, value): (usize, Value)| self.part(&format!("[{place}]"), place, value, path);
                Field::List(values.into_iter().enumerate().map(part).collect())
            }
            whole => Field::Whole(whole),
        }
    }

    fn part<K>(&self, step: &str, key: K, value: Value, path: &mut String) -> Part<K> {
        let length = path.len();
        path.push_str(step);
        let weight = self.weights.get(path.as_str()).copied().unwrap_or(1.0);
        let field = self.field(value, path);
        path.truncate(length);
        Part { key, weight, field }
    }
}

impl PlainKind for JsonFields {
    type Expected = Field;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    fn expect(&self, scope: Scope<'_>) -> Result<Field, GradeError> {
        let reference = self.reference.render(scope)?;
        let refused = |what: &str| {
            let detail = format!("the reference must be a JSON object with {what}, got `{}`", excerpt(&reference));
            GradeError::new(ErrorClass::InvalidReference, detail)
        };
        let value: Value = serde_json::from_str(&reference).map_err(|_| refused("fields"))?;
        let field = self.field(value, &mut String::new());
        match &field {
            Field::Object(parts) if parts.iter().any(|part| part.weight > 0.0) => Ok(field),
            Field::Object(_) => Err(refused("a field whose weight is above 0")),
            _ => Err(refused("fields")),
        }
    }

    /// The weighted share of right fields; 0 where the text is no JSON or not what the schema asks for.
    fn grade(&self, expected: &Field, text: &str) -> Grade {
        let Ok(answer) = serde_json::from_str::<Value>(unfenced(text)) else { return Grade::scored(0.0) };
        let fits = self.schema.as_ref().is_none_or(|schema| schema.accepts(&answer));
        let score = if fits { expected.share(Some(&answer)) } else { 0.0 };
        // A value that was just read can be written.
        Grade::of_answer(score, serde_json::to_string(&answer).unwrap_or_default())
    }
}

impl Field {
    /// How much of the field an answer has right, 0 to 1.
    fn share(&self, given: Option<&Value>) -> f64 {
        match (self, given) {
            (_, None) => 0.0,
            (Self::Whole(expected), Some(given)) => f64::from(u8::from(same(expected, given))),
            (Self::Object(parts), Some(given)) => mean(parts, 0, |key| given.get(key)),
            (Self::List(parts), Some(Value::Array(given))) => {
                mean(parts, given.len().saturating_sub(parts.len()), |place| given.get(*place))
            }
            (Self::List(_), Some(_)) => 0.0,
        }
    }
}

/// The weighted mean of the parts' shares. `surplus` entries, which a list has beyond the reference, are wrong ones.
fn mean<'v, K>(parts: &[Part<K>], surplus: usize, given: impl Fn(&K) -> Option<&'v Value>) -> f64 {
    let whole = parts.iter().map(|part| part.weight).sum::<f64>() + count(surplus);
    let right: f64 = parts.iter().map(|part| part.weight * part.field.share(given(&part.key))).sum();
    if whole == 0.0 { 1.0 } else { right / whole }
}

/// Whether a text reads as the path of a field: keys between dots, each with places in brackets behind it.
fn is_path(text: &str) -> bool {
    text.split('.').all(|step| {
        let (key, places) = step.split_at(step.find('[').unwrap_or(step.len()));
        let inside = places.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        let are_places = |inside: &str| {
            inside.split("][").all(|place| !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit()))
        };
        !key.is_empty() && inside.is_none_or(|inside| inside.is_some_and(are_places))
    })
}

/// The text inside the fence (three backticks and perhaps a word) that stands around all of it; else the text.
fn unfenced(text: &str) -> &str {
    let inside = || {
        let inner = text.trim().strip_prefix("```")?.strip_suffix("```")?;
        inner.split_once('\n').map(|(_, body)| body)
    };
    inside().unwrap_or(text)
}
