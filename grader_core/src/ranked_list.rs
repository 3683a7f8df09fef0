//! Gives credit by the rank of the reference in a listed answer. An entry is the name at its head: `NF1`, `**NF1** -
//! neurofibromin`, `NF1 (likely)` all list NF1. What stands behind the head is explanation and cannot score, so a list
//! gains nothing by naming more.

use std::collections::HashSet;

use serde_json::Value;

use crate::error::{GraderError, Path};
use crate::grade::{ErrorClass, Grade, GradeError, excerpt};
use crate::listing::entries;
use crate::location::Location;
use crate::plain_kind::PlainKind;
use crate::rank_curve::RankCurve;
use crate::scope::Scope;
use crate::spec::{read_input, read_location, read_partial_score, read_reference, read_template};
use crate::template::Template;
use crate::wire;

pub(crate) use crate::rank_curve::CURVES;

/// What ends the head of an entry.
const EXPLANATIONS: [&str; 12] = [" - ", " – ", " — ", " -- ", "—", ": ", " (", " [", " = ", " | ", ". ", " → "];
/// What may follow a name inside an entry: a head's end, or a comma.
const AFTER_NAME: [&str; 4] = [",", ";", ":", "."];

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedList {
    input: Template,
    reference: Template,
    aliases: Template,
    location: Location,
    curve: RankCurve,
    max_rank: usize,
    case_sensitive: bool,
    partial_score: f64,
}

impl RankedList {
    pub(crate) fn read(ranked: &wire::RankedListGrader, path: &Path) -> Result<Self, GraderError> {
        let max_rank = usize::try_from(ranked.max_rank).map_err(|_| {
            path.refuse("max_rank", format!("must be at least 0 (0 means no end), got {}", ranked.max_rank))
        })?;
        Ok(Self {
            input: read_input(&ranked.input, path)?,
            reference: read_reference(&ranked.reference, path)?,
            aliases: read_template(&ranked.aliases, path, "aliases")?,
            location: read_location(ranked.location.as_ref(), path)?,
            curve: RankCurve::read(ranked.curve.as_ref(), &path.enter("curve"))?,
            max_rank,
            case_sensitive: ranked.case_sensitive,
            partial_score: read_partial_score(ranked.partial_score, path)?,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::RankedListGrader {
        wire::RankedListGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            location: self.location.to_wire(),
            curve: Some(self.curve.to_wire()),
            max_rank: i32::try_from(self.max_rank).unwrap_or(i32::MAX),
            case_sensitive: self.case_sensitive,
            aliases: self.aliases.source().to_owned(),
            partial_score: Some(self.partial_score),
        }
    }
}

impl PlainKind for RankedList {
    type Expected = Vec<String>;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference), ("aliases", &self.aliases)]
    }

    /// Every accepted spelling, in the form that entries are compared in.
    fn expect(&self, scope: Scope<'_>) -> Result<Vec<String>, GradeError> {
        let (reference, aliases) = (self.reference.render(scope)?, self.aliases.render(scope)?);
        let invalid = |detail: String| GradeError::new(ErrorClass::InvalidReference, detail);
        let mut accepted = names(&reference).map_err(invalid)?;
        accepted.extend(spellings(&aliases, &accepted).map_err(invalid)?);
        let accepted: Vec<String> =
            accepted.iter().map(|name| self.normal(name)).filter(|name| !name.is_empty()).collect();
        match accepted.is_empty() {
            true => Err(invalid(format!("the reference must name an answer, got `{}`", excerpt(&reference)))),
            false => Ok(accepted),
        }
    }

    /// The credit of the best rank at which an accepted spelling stands; the partial score where that is more.
    fn grade(&self, accepted: &Vec<String>, text: &str) -> Grade {
        let mut grade = Grade::scored(0.0);
        let entries = entries(self.location.narrow(text));
        let names: Vec<String> = entries.iter().map(|entry| self.normal(entry)).collect();
        let mut listed = HashSet::with_capacity(names.len());
        for (entry, name) in entries.iter().zip(&names) {
            let head = head(name);
            if head.is_empty() || !listed.insert(head) {
                continue;
            }
            grade.listed_count += 1;
            if grade.listed_count == 1 {
                head_as_written(entry).clone_into(&mut grade.extracted_answer);
            }
            if grade.matched_rank == 0 && lists(name, accepted) {
                grade.matched_rank = grade.listed_count;
            }
        }
        if grade.listed_count > 0 {
            grade.outcome = Ok(self.credit(grade.matched_rank).max(self.partial_score));
        }
        grade
    }
}

impl RankedList {
    fn credit(&self, rank: usize) -> f64 {
        if rank == 0 || (self.max_rank > 0 && rank > self.max_rank) { 0.0 } else { self.curve.credit(rank) }
    }

    /// A name or entry in the form that is compared: single spaces, no decoration, lower case unless case counts.
    fn normal(&self, name: &str) -> String {
        let mut normal = String::with_capacity(name.len());
        for word in name.trim_matches(is_decoration).split_whitespace() {
            if !normal.is_empty() {
                normal.push(' ');
            }
            let letters = word.chars().filter(|letter| !is_emphasis(*letter));
            match self.case_sensitive {
                true => normal.extend(letters),
                false => normal.extend(letters.flat_map(char::to_lowercase)),
            }
        }
        normal
    }
}

fn is_decoration(letter: char) -> bool {
    letter.is_whitespace()
        || is_emphasis(letter)
        || matches!(letter, '_' | '"' | '\'' | '“' | '”' | '‘' | '’' | '.' | ',' | ';' | ':')
}

/// Markdown's signs of emphasis, which may stand inside an entry as well.
fn is_emphasis(letter: char) -> bool {
    matches!(letter, '*' | '`')
}

/// The name at the beginning of an entry.
fn head(entry: &str) -> &str {
    let starts_mark = |byte: &u8| matches!(byte, b' ' | b':' | b'.' | 0xe2);
    let places = entry.bytes().enumerate().filter(|(_, byte)| starts_mark(byte)).map(|(place, _)| place);
    let ends = |place: &usize| EXPLANATIONS.iter().any(|mark| entry.as_bytes()[*place..].starts_with(mark.as_bytes()));
    entry[..places.into_iter().find(ends).unwrap_or(entry.len())].trim_matches(is_decoration)
}

fn head_as_written(entry: &str) -> String {
    let plain: String = entry.trim_matches(is_decoration).chars().filter(|letter| !is_emphasis(*letter)).collect();
    head(&plain).to_owned()
}

/// Whether an entry begins with an accepted name that ends there.
fn lists(entry: &str, accepted: &[String]) -> bool {
    accepted.iter().filter_map(|name| entry.strip_prefix(name.as_str())).any(|rest| {
        let ends = |marks: &[&str]| marks.iter().any(|mark| rest.starts_with(mark));
        rest.is_empty() || ends(&EXPLANATIONS) || ends(&AFTER_NAME)
    })
}

/// The names in `reference`: a JSON array of texts, or the text itself. Null, an object and an array of other values are
/// slips of the data, which as names no answer would ever match.
fn names(reference: &str) -> Result<Vec<String>, String> {
    let texts = match serde_json::from_str::<Value>(reference) {
        Ok(Value::Array(values)) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        Ok(Value::Null | Value::Object(_)) => None,
        _ => Some(vec![reference.to_owned()]),
    };
    texts.ok_or_else(|| {
        format!("the reference must be a name or a JSON array of names as texts, got `{}`", excerpt(reference))
    })
}

/// The further spellings in `aliases`: a JSON array, or an object from an accepted name to its spellings. Empty for
/// none.
fn spellings(aliases: &str, accepted: &[String]) -> Result<Vec<String>, String> {
    let refused = || {
        format!(
            "aliases must be a JSON array of texts or an object from a name to its texts, got `{}`",
            excerpt(aliases)
        )
    };
    if aliases.trim().is_empty() {
        return Ok(Vec::new());
    }
    let of = |value: &Value| match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        Value::Null => Some(Vec::new()),
        _ => None,
    };
    match serde_json::from_str(aliases).map_err(|_| refused())? {
        Value::Object(map) => {
            let named = map.iter().filter(|(name, _)| accepted.iter().any(|known| known.eq_ignore_ascii_case(name)));
            let each = named.map(|(_, value)| of(value)).collect::<Option<Vec<_>>>();
            Ok(each.ok_or_else(refused)?.concat())
        }
        value => of(&value).filter(|_| !value.is_string()).ok_or_else(refused),
    }
}
