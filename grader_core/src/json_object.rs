//! A JSON object read field by field, with errors that name the path. A key that nobody asked for is an error, and goes
//! before one that is missing: it is mostly the missing one, misspelt.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{GraderError, Path};
use crate::nearness::nearest;

/// Most characters of a value that an error shows.
const SHOWN_CHARACTERS: usize = 60;

/// An object, the place where it stands and the keys that were asked for.
pub(crate) struct JsonObject<'v> {
    map: &'v Map<String, Value>,
    path: Path,
    known: Vec<&'static str>,
    missing: Option<&'static str>,
}

impl<'v> JsonObject<'v> {
    pub(crate) fn new(map: &'v Map<String, Value>, path: Path) -> Self {
        Self { map, path, known: Vec::new(), missing: None }
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
        convert(value).map(Some).ok_or_else(|| wrong_type(self.path.field(key), expected, value))
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, GraderError> {
        self.read(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A text; where it is missing the object is refused once all of its keys are known, and it is empty until then.
    pub(crate) fn required_text(&mut self, key: &'static str) -> Result<String, GraderError> {
        let text = self.text(key)?;
        if text.is_none() {
            self.note_missing(key);
        }
        Ok(text.unwrap_or_default())
    }

    /// Has `finish` refuse the object for want of this key.
    pub(crate) fn note_missing(&mut self, key: &'static str) {
        self.missing.get_or_insert(key);
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<f64>, GraderError> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(crate) fn integer(&mut self, key: &'static str) -> Result<i32, GraderError> {
        Ok(self.given_integer(key)?.unwrap_or_default())
    }

    /// A whole number where there is one, 0 included.
    pub(crate) fn given_integer(&mut self, key: &'static str) -> Result<Option<i32>, GraderError> {
        self.read(key, "a whole number below 2^31", |value| {
            value.as_i64().and_then(|number| i32::try_from(number).ok())
        })
    }

    pub(crate) fn whole_number(&mut self, key: &'static str) -> Result<Option<i64>, GraderError> {
        self.read(key, "a whole number below 2^63", Value::as_i64)
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool, GraderError> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or_default())
    }

    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Vec<String>, GraderError> {
        self.list(key, ["a list of texts", "a text"], |value| value.as_str().map(str::to_owned))
    }

    pub(crate) fn numbers(&mut self, key: &'static str) -> Result<Vec<f64>, GraderError> {
        self.list(key, ["a list of numbers", "a number"], Value::as_f64)
    }

    /// A list of what `convert` takes; `expected` says what the list must be, and what each of its values.
    fn list<T>(
        &mut self,
        key: &'static str,
        expected: [&'static str; 2],
        convert: impl Fn(&'v Value) -> Option<T>,
    ) -> Result<Vec<T>, GraderError> {
        let [of_list, of_value] = expected;
        let values = self.read(key, of_list, Value::as_array)?;
        let each = |(place, value): (usize, &'v Value)| {
            convert(value).ok_or_else(|| wrong_type(self.path.field(&format!("{key}[{place}]")), of_value, value))
        };
        values.into_iter().flatten().enumerate().map(each).collect()
    }

    /// A number for each of the object's keys.
    pub(crate) fn number_map(&mut self, key: &'static str) -> Result<BTreeMap<String, f64>, GraderError> {
        let Some(object) = self.object(key)? else { return Ok(BTreeMap::new()) };
        let each = object.map.iter().map(|(key, value)| {
            let number = value.as_f64().ok_or_else(|| wrong_type(object.path.field(key), "a number", value))?;
            Ok((key.clone(), number))
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
            let map = value.as_object().ok_or_else(|| wrong_type(self.path.field(&place), "an object", value))?;
            Ok(JsonObject::new(map, self.path.enter(&place)))
        };
        list.into_iter().flatten().enumerate().map(place).collect()
    }

    /// Every value of the object, which must be objects, by key.
    pub(crate) fn objects(self) -> Result<Vec<(String, JsonObject<'v>)>, GraderError> {
        let each = self.map.iter().map(|(key, value)| match value {
            Value::Object(map) => Ok((key.clone(), JsonObject::new(map, self.path.enter(key)))),
            other => Err(wrong_type(self.path.field(key), "an object", other)),
        });
        each.collect()
    }

    /// Refuses keys that nobody asked for, and then the first that is missing. A key that is null says nothing, as the
    /// openai package writes unset fields.
    pub(crate) fn finish(self) -> Result<(), GraderError> {
        let mut given = self.map.iter().filter(|(_, value)| !value.is_null());
        match (given.find(|(key, _)| !self.known.contains(&key.as_str())), self.missing) {
            (Some((key, _)), _) => {
                let absent = self.known.iter().copied().filter(|known| self.map.get(*known).is_none());
                let near = nearest(key, absent).map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
                let (field, known) = (self.path.field(key), self.known.join(", "));
                Err(GraderError::UnknownField { field, near, known })
            }
            (None, Some(missing)) => Err(GraderError::MissingField { field: self.path.field(missing) }),
            (None, None) => Ok(()),
        }
    }
}

fn wrong_type(field: String, expected: &'static str, value: &Value) -> GraderError {
    let mut given = value.to_string();
    if let Some((end, _)) = given.char_indices().nth(SHOWN_CHARACTERS) {
        given.truncate(end);
        given.push('…');
    }
    GraderError::FieldType { field, expected, given }
}
