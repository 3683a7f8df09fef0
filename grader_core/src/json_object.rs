//! A JSON object read field by field, with errors that name the path. A key that nobody asked for is an error.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{GraderError, Path};

/// An object, the place where it stands and the keys that were asked for.
pub(crate) struct JsonObject<'v> {
    map: &'v Map<String, Value>,
    path: Path,
    known: Vec<&'static str>,
}

impl<'v> JsonObject<'v> {
    pub(crate) fn new(map: &'v Map<String, Value>, path: Path) -> Self {
        Self { map, path, known: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a key as it stands; null counts as absent.
    pub(crate) fn peek(&mut self, key: &'static str) -> Option<&'v Value> {
        self.known.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        convert: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, GraderError> {
        let Some(value) = self.peek(key) else { return Ok(None) };
        let refused = || GraderError::FieldType { field: self.path.field(key), expected, given: type_name(value) };
        convert(value).map(Some).ok_or_else(refused)
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, GraderError> {
        self.read(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn required_text(&mut self, key: &'static str) -> Result<String, GraderError> {
        self.text(key)?.ok_or_else(|| GraderError::MissingField { field: self.path.field(key) })
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<f64>, GraderError> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(crate) fn integer(&mut self, key: &'static str) -> Result<i32, GraderError> {
        let read = self.read(key, "a whole number below 2^31", |value| {
            value.as_i64().and_then(|number| i32::try_from(number).ok())
        })?;
        Ok(read.unwrap_or_default())
    }

    pub(crate) fn whole_number(&mut self, key: &'static str) -> Result<Option<i64>, GraderError> {
        self.read(key, "a whole number below 2^63", Value::as_i64)
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool, GraderError> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or_default())
    }

    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Vec<String>, GraderError> {
        let each = |values: &'v Vec<Value>| values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        Ok(self.read(key, "a list of texts", |value| value.as_array().and_then(each))?.unwrap_or_default())
    }

    pub(crate) fn numbers(&mut self, key: &'static str) -> Result<Vec<f64>, GraderError> {
        let each = |values: &'v Vec<Value>| values.iter().map(Value::as_f64).collect();
        Ok(self.read(key, "a list of numbers", |value| value.as_array().and_then(each))?.unwrap_or_default())
    }

    /// A number for each of the object's keys.
    pub(crate) fn number_map(&mut self, key: &'static str) -> Result<BTreeMap<String, f64>, GraderError> {
        let Some(object) = self.object(key)? else { return Ok(BTreeMap::new()) };
        let each = object.map.iter().map(|(key, value)| {
            let refused = || GraderError::FieldType {
                field: object.path.field(key),
                expected: "a number",
                given: type_name(value),
            };
            value.as_f64().map(|number| (key.clone(), number)).ok_or_else(refused)
        });
        each.collect()
    }

    /// JSON given as its text, or as it is.
    pub(crate) fn json_text(&mut self, key: &'static str) -> Result<String, GraderError> {
        let read = self.read(key, "an object or its JSON as a text", |value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Object(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        })?;
        Ok(read.unwrap_or_default())
    }

    /// One of `words`, as its number in the contract, which counts from 1.
    pub(crate) fn word(&mut self, key: &'static str, words: &[&'static str]) -> Result<Option<i32>, GraderError> {
        let Some(given) = self.text(key)? else { return Ok(None) };
        match (1..).zip(words).find(|(_, word)| **word == given) {
            Some((number, _)) => Ok(Some(number)),
            None => Err(self.path.refuse(key, format!("must be one of {}, got `{given}`", words.join(", ")))),
        }
    }

    pub(crate) fn object(&mut self, key: &'static str) -> Result<Option<JsonObject<'v>>, GraderError> {
        let map = self.read(key, "an object", Value::as_object)?;
        Ok(map.map(|map| JsonObject::new(map, self.path.enter(key))))
    }

    /// The objects of a list, each at its place; none where the key is absent.
    pub(crate) fn objects_in(&mut self, key: &'static str) -> Result<Vec<JsonObject<'v>>, GraderError> {
        let list = self.read(key, "a list of objects", Value::as_array)?;
        let place = |(place, value): (usize, &'v Value)| {
            let place = format!("{key}[{place}]");
            let refused = || GraderError::FieldType {
                field: self.path.field(&place),
                expected: "an object",
                given: type_name(value),
            };
            let map = value.as_object().ok_or_else(refused)?;
            Ok(JsonObject::new(map, self.path.enter(&place)))
        };
        list.into_iter().flatten().enumerate().map(place).collect()
    }

    /// Every value of the object, which must be objects, by key.
    pub(crate) fn objects(self) -> Result<Vec<(String, JsonObject<'v>)>, GraderError> {
        let each = self.map.iter().map(|(key, value)| match value {
            Value::Object(map) => Ok((key.clone(), JsonObject::new(map, self.path.enter(key)))),
            other => Err(GraderError::FieldType {
                field: self.path.field(key),
                expected: "an object",
                given: type_name(other),
            }),
        });
        each.collect()
    }

    /// Refuses keys that nobody asked for; one that is null says nothing, as the openai package writes unset fields.
    pub(crate) fn finish(self) -> Result<(), GraderError> {
        let mut given = self.map.iter().filter(|(_, value)| !value.is_null());
        match given.find(|(key, _)| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some((key, _)) => {
                Err(GraderError::UnknownField { field: self.path.field(key), known: self.known.join(", ") })
            }
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
