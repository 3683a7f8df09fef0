//! The values that templates read: the fields of one item and of one sample. JSON is parsed at most once, when first
//! read.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::de::Deserializer as JsonReader;

use crate::grade::{ErrorClass, GradeError, excerpt};

/// The top-level fields that a grader reads, by key.
pub(crate) type Fields = BTreeMap<String, Value>;

/// The reference side of one row, shared by all samples of its prompt.
pub struct Item<'a> {
    json: &'a str,
    wanted: &'a [String],
    fields: OnceLock<Result<Fields, String>>,
}

impl<'a> Item<'a> {
    /// An item as its JSON text, of which the keys in `wanted` will be read.
    pub fn new(json: &'a str, wanted: &'a [String]) -> Self {
        Self { json, wanted, fields: OnceLock::new() }
    }

    /// The whole row as it came. An error where it is no JSON object.
    pub(crate) fn json(&self) -> Result<&'a str, GradeError> {
        self.fields().map(|_| self.json)
    }

    /// The value of a top-level key; `None` where the row lacks it. An error where the row is no JSON object.
    pub(crate) fn field(&self, key: &str) -> Result<Option<&Value>, GradeError> {
        self.fields().map(|fields| fields.get(key))
    }

    fn fields(&self) -> Result<&Fields, GradeError> {
        self.fields.get_or_init(|| read_fields(self.json, Some(self.wanted))).as_ref().map_err(|fault| {
            let detail = format!("the item is not a JSON object ({fault}): {}", excerpt(self.json));
            GradeError::new(ErrorClass::Other, detail)
        })
    }
}

/// One completion with the further values that came along with it.
pub struct Sample<'a> {
    output_text: &'a str,
    json: &'a str,
    fields: OnceCell<Result<Fields, String>>,
    output_json: OnceCell<Result<Value, String>>,
}

impl<'a> Sample<'a> {
    /// A sample as its text and a JSON object of further values (`output_tools`, `choices`, …), empty for none.
    pub fn new(output_text: &'a str, json: &'a str) -> Self {
        Self { output_text, json, fields: OnceCell::new(), output_json: OnceCell::new() }
    }

    /// The sampled text.
    pub(crate) fn output_text(&self) -> &'a str {
        self.output_text
    }

    /// The value of a top-level key; `None` where the sample lacks it. `output_json` is read from the text where nobody
    /// sent it.
    pub(crate) fn field(&self, key: &str) -> Result<Option<&Value>, GradeError> {
        match self.fields()?.get(key) {
            None if key == "output_json" => self.parse_output().map(Some),
            found => Ok(found),
        }
    }

    /// Every further value that came along.
    pub(crate) fn fields(&self) -> Result<&Fields, GradeError> {
        let read = || if self.json.is_empty() { Ok(Fields::new()) } else { read_fields(self.json, None) };
        let fields = self.fields.get_or_init(read).as_ref();
        fields.map_err(|fault| unparsable("the sample's values are not a JSON object", fault, self.json))
    }

    fn parse_output(&self) -> Result<&Value, GradeError> {
        self.output_json
            .get_or_init(|| serde_json::from_str(self.output_text).map_err(|fault| fault.to_string()))
            .as_ref()
            .map_err(|fault| unparsable("the output is not JSON", fault, self.output_text))
    }
}

fn unparsable(what: &str, fault: &str, text: &str) -> GradeError {
    GradeError::new(ErrorClass::SampleParse, format!("{what} ({fault}): {}", excerpt(text)))
}

/// All that a template can read.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The row.
    pub(crate) item: &'a Item<'a>,
    /// The completion.
    pub(crate) sample: &'a Sample<'a>,
}

/// Reads a JSON object, keeping only the `wanted` keys and merely stepping over the others.
fn read_fields(json: &str, wanted: Option<&[String]>) -> Result<Fields, String> {
    let mut reader = JsonReader::from_str(json);
    let fields = FieldsSeed { wanted }.deserialize(&mut reader).map_err(|fault| fault.to_string())?;
    reader.end().map_err(|fault| fault.to_string())?;
    Ok(fields)
}

struct FieldsSeed<'w> {
    wanted: Option<&'w [String]>,
}

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_> {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Fields, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed<'_> {
    type Value = Fields;

    fn expecting(&self, message: &mut fmt::Formatter<'_>) -> fmt::Result {
        message.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if self.wanted.is_none_or(|wanted| wanted.iter().any(|name| *name == key)) {
                if fields.insert(key.clone().into_owned(), map.next_value()?).is_some() {
                    return Err(A::Error::custom(format!("key `{key}` stands twice")));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(fields)
    }
}
