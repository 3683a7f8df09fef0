//! The checked grader: the one enum that both spellings are read into and that grades. What it accepts is ready to run:
//! templates are parsed, formulas compiled, defaults filled in.

use sha2::{Digest, Sha256};

use crate::asking::Asking;
use crate::canonical;
use crate::cosine::{COSINE, Cosine};
use crate::error::{GraderError, Path};
use crate::grade::ErrorClass;
use crate::json_fields::JsonFields;
use crate::label_model::LabelModel;
use crate::location::Location;
use crate::maths::Maths;
use crate::multi::Multi;
use crate::multiple_choice::MultipleChoice;
use crate::number::Number;
use crate::plain_kind::PlainKind;
use crate::python_source::PythonSource;
use crate::ranked_list::RankedList;
use crate::regex_match::RegexMatch;
use crate::remote::Remote;
use crate::scope::{Item, Sample, Scope};
use crate::score_model::ScoreModel;
use crate::shape::Shape;
use crate::spelling;
use crate::string_check::StringCheck;
use crate::template::{OUTPUT_TEXT, Template};
use crate::text_similarity::TextSimilarity;
use crate::tool_calls::ToolCalls;
use crate::wire::{self, Kind, Spelling};

/// Version of the grading rules. It rises whenever any text may be graded otherwise than before.
pub const GRADER_VERSION: u32 = 4;

/// Every kind of grader in the contract, in the order of the proto.
pub const KINDS: [&str; 15] = [
    "string_check",
    "text_similarity",
    "score_model",
    "label_model",
    "python",
    "multi",
    "number",
    "multiple_choice",
    "ranked_list",
    "math",
    "json_fields",
    "tool_calls",
    "regex",
    "shape",
    "remote",
];

/// A grader that passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct Grader {
    /// Name in reports and metrics.
    pub name: String,
    /// How it scores.
    pub rule: Rule,
}

/// The scoring rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Compares two texts.
    StringCheck(StringCheck),
    /// Measures how alike two texts are.
    TextSimilarity(TextSimilarity),
    /// Compares numbers.
    Number(Number),
    /// Compares a choice.
    MultipleChoice(MultipleChoice),
    /// Gives credit by rank.
    RankedList(RankedList),
    /// Compares mathematical expressions.
    Math(Maths),
    /// Compares the fields of a JSON answer.
    JsonFields(JsonFields),
    /// Compares tool calls.
    ToolCalls(ToolCalls),
    /// Matches a regular expression.
    Regex(RegexMatch),
    /// Shapes length and form.
    Shape(Shape),
    /// Combines other graders.
    Multi(Multi),
    /// Asks somebody outside the core.
    Asking(Asking),
}

impl Grader {
    /// Reads a grader in either spelling.
    pub fn from_spec(spec: Option<&wire::GraderSpec>) -> Result<Self, GraderError> {
        match spec.and_then(|spec| spec.spelling.as_ref()) {
            Some(Spelling::Grader(grader)) => Self::from_wire(grader, &Path::default()),
            Some(Spelling::Json(text)) => Self::from_json(text),
            None => Err(GraderError::MissingField { field: "grader".to_owned() }),
        }
    }

    /// Reads a grader from its JSON spelling.
    pub fn from_json(text: &str) -> Result<Self, GraderError> {
        Self::from_wire(&spelling::from_json(text)?, &Path::default())
    }

    pub(crate) fn from_wire(grader: &wire::Grader, path: &Path) -> Result<Self, GraderError> {
        let Some(kind) = &grader.kind else {
            return Err(GraderError::MissingField { field: path.field("kind") });
        };
        let rule = match kind {
            Kind::StringCheck(check) => Rule::StringCheck(usable(StringCheck::read(check, path)?, path)?),
            Kind::TextSimilarity(similarity) if similarity.evaluation_metric == COSINE => {
                Rule::Asking(Asking::Cosine(Cosine::read(similarity, path)?))
            }
            Kind::TextSimilarity(similarity) => {
                Rule::TextSimilarity(usable(TextSimilarity::read(similarity, path)?, path)?)
            }
            Kind::Number(number) => Rule::Number(usable(Number::read(number, path)?, path)?),
            Kind::MultipleChoice(choice) => Rule::MultipleChoice(usable(MultipleChoice::read(choice, path)?, path)?),
            Kind::RankedList(ranked) => Rule::RankedList(usable(RankedList::read(ranked, path)?, path)?),
            Kind::Math(maths) => Rule::Math(usable(Maths::read(maths, path)?, path)?),
            Kind::JsonFields(fields) => Rule::JsonFields(usable(JsonFields::read(fields, path)?, path)?),
            Kind::ToolCalls(calls) => Rule::ToolCalls(usable(ToolCalls::read(calls, path)?, path)?),
            Kind::Regex(regex) => Rule::Regex(usable(RegexMatch::read(regex, path)?, path)?),
            Kind::Shape(shape) => Rule::Shape(Shape::read(shape, path)?),
            Kind::Multi(multi) => Rule::Multi(Multi::read(multi, path)?),
            Kind::ScoreModel(judge) => Rule::Asking(Asking::ScoreModel(ScoreModel::read(judge, path)?)),
            Kind::LabelModel(judge) => Rule::Asking(Asking::LabelModel(LabelModel::read(judge, path)?)),
            Kind::Python(python) => Rule::Asking(Asking::Python(PythonSource::read(python, path)?)),
            Kind::Remote(remote) => Rule::Asking(Asking::Remote(Remote::read(remote, path)?)),
        };
        let mut read = Self { name: grader.name.clone(), rule };
        if read.name.is_empty() {
            read.name = read.kind().to_owned();
        }
        Ok(read)
    }

    /// The typed spelling, every default written out.
    pub fn to_wire(&self) -> wire::Grader {
        let kind = match &self.rule {
            Rule::StringCheck(check) => Kind::StringCheck(check.to_wire()),
            Rule::TextSimilarity(similarity) => Kind::TextSimilarity(similarity.to_wire()),
            Rule::Number(number) => Kind::Number(number.to_wire()),
            Rule::MultipleChoice(choice) => Kind::MultipleChoice(choice.to_wire()),
            Rule::RankedList(ranked) => Kind::RankedList(ranked.to_wire()),
            Rule::Math(maths) => Kind::Math(maths.to_wire()),
            Rule::JsonFields(fields) => Kind::JsonFields(fields.to_wire()),
            Rule::ToolCalls(calls) => Kind::ToolCalls(calls.to_wire()),
            Rule::Regex(regex) => Kind::Regex(regex.to_wire()),
            Rule::Shape(shape) => Kind::Shape(shape.to_wire()),
            Rule::Asking(asking) => asking.to_wire(),
            Rule::Multi(multi) => Kind::Multi(multi.to_wire()),
        };
        wire::Grader { name: self.name.clone(), kind: Some(kind) }
    }

    /// The JSON spelling, every default written out, keys sorted.
    pub fn to_json(&self) -> String {
        canonical::to_json(&self.to_wire(), true).to_string()
    }

    /// 32 hexadecimal digits. Equal fingerprints grade equally: they stand for the rule without its names, and for the
    /// version of the core.
    pub fn fingerprint(&self) -> String {
        let rule = canonical::to_json(&self.to_wire(), false);
        let digest = Sha256::digest(format!("{GRADER_VERSION} {rule}"));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The kind as `type` spells it.
    pub fn kind(&self) -> &'static str {
        match &self.rule {
            Rule::StringCheck(_) => "string_check",
            Rule::TextSimilarity(_) => "text_similarity",
            Rule::Number(_) => "number",
            Rule::MultipleChoice(_) => "multiple_choice",
            Rule::RankedList(_) => "ranked_list",
            Rule::Math(_) => "math",
            Rule::JsonFields(_) => "json_fields",
            Rule::ToolCalls(_) => "tool_calls",
            Rule::Regex(_) => "regex",
            Rule::Shape(_) => "shape",
            Rule::Asking(asking) => asking.kind(),
            Rule::Multi(_) => "multi",
        }
    }

    /// Every template with its path, those of parts included.
    pub(crate) fn templates(&self) -> Vec<(String, &Template)> {
        let fields = match &self.rule {
            Rule::StringCheck(check) => check.templates(),
            Rule::TextSimilarity(similarity) => similarity.templates(),
            Rule::Number(number) => number.templates(),
            Rule::MultipleChoice(choice) => choice.templates(),
            Rule::RankedList(ranked) => ranked.templates(),
            Rule::Math(maths) => maths.templates(),
            Rule::JsonFields(fields) => fields.templates(),
            Rule::ToolCalls(calls) => calls.templates(),
            Rule::Regex(regex) => regex.templates(),
            Rule::Shape(shape) => shape.templates(),
            Rule::Asking(asking) => return asking.templates(),
            Rule::Multi(multi) => return multi.templates(),
        };
        fields.into_iter().map(|(field, template)| (field.to_owned(), template)).collect()
    }

    /// The top-level keys of items that any template reads, each once.
    pub fn item_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            self.templates().iter().flat_map(|(_, template)| template.item_keys()).map(str::to_owned).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Refuses templates that read a key which the rows, having `known` keys, lack.
    pub fn check_item_keys(&self, known: &[String]) -> Result<(), GraderError> {
        for (field, template) in self.templates() {
            if let Some(key) = template.item_keys().find(|key| !known.iter().any(|name| name == key)) {
                return Err(GraderError::UnknownItemKey { field, key: key.to_owned(), known: known.join(", ") });
            }
        }
        Ok(())
    }
}

/// The kind as it was read; refused where its reference is the same for every row and can be compared with nothing.
fn usable<K: PlainKind>(kind: K, path: &Path) -> Result<K, GraderError> {
    if kind.references().iter().all(|(_, template)| template.is_fixed()) {
        let (item, sample) = (Item::new("{}", &[]), Sample::new("", ""));
        if let Err(error) = kind.expect(Scope { item: &item, sample: &sample })
            && error.class == ErrorClass::InvalidReference
        {
            return Err(path.refuse("reference", error.detail));
        }
    }
    Ok(kind)
}

/// The template of the examined text: the sampled text where nothing is given.
pub(crate) fn read_input(source: &str, path: &Path) -> Result<Template, GraderError> {
    read_template(if source.is_empty() { OUTPUT_TEXT } else { source }, path, "input")
}

/// A template that must not be empty.
pub(crate) fn read_reference(source: &str, path: &Path) -> Result<Template, GraderError> {
    if source.is_empty() {
        return Err(GraderError::MissingField { field: path.field("reference") });
    }
    read_template(source, path, "reference")
}

pub(crate) fn read_template(source: &str, path: &Path, key: &str) -> Result<Template, GraderError> {
    Template::parse(source).map_err(|detail| GraderError::Template { field: path.field(key), detail })
}

pub(crate) fn read_location(location: Option<&wire::AnswerLocation>, path: &Path) -> Result<Location, GraderError> {
    let location = Location::read(location);
    if location.lacks_required_marker() {
        return Err(path.refuse("location.marker", "must not be empty where marker_required is true"));
    }
    Ok(location)
}

/// A score for an answer that was found and is wrong: 0 to 1, 0 by default.
pub(crate) fn read_partial_score(score: Option<f64>, path: &Path) -> Result<f64, GraderError> {
    let score = score.unwrap_or(0.0);
    if (0.0..=1.0).contains(&score) {
        return Ok(score);
    }
    Err(path.refuse("partial_score", format!("must be 0 to 1, got {score}")))
}
