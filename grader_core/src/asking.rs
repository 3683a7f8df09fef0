//! The kinds that the core cannot grade by itself: user's Python, judge models, embeddings, graders that run elsewhere.
//! The core reads and checks their settings like those of any kind and writes one question a sample; whoever calls it
//! has the questions answered and grades the batch again with the answers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::batch::Batch;
use crate::cosine::Cosine;
use crate::grade::{ErrorClass, Grade, GradeError};
use crate::label_model::LabelModel;
use crate::python_source::PythonSource;
use crate::remote::Remote;
use crate::scope::{Sample, Scope};
use crate::score_model::ScoreModel;
use crate::spec::{Grader, Rule};
use crate::template::Template;
use crate::wire::Kind;

/// A kind that asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Asking {
    /// A judge model gives a number.
    ScoreModel(ScoreModel),
    /// A judge model gives a label.
    LabelModel(LabelModel),
    /// The user's Python.
    Python(PythonSource),
    /// A grader that a team runs itself.
    Remote(Remote),
    /// How alike two texts are by an embedding model.
    Cosine(Cosine),
}

impl Asking {
    pub(crate) fn to_wire(&self) -> Kind {
        match self {
            Self::ScoreModel(judge) => Kind::ScoreModel(judge.to_wire()),
            Self::LabelModel(judge) => Kind::LabelModel(judge.to_wire()),
            Self::Python(python) => Kind::Python(python.to_wire()),
            Self::Remote(remote) => Kind::Remote(remote.to_wire()),
            Self::Cosine(cosine) => Kind::TextSimilarity(cosine.to_wire()),
        }
    }

    /// The kind as `type` spells it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::ScoreModel(_) => "score_model",
            Self::LabelModel(_) => "label_model",
            Self::Python(_) => "python",
            Self::Remote(_) => "remote",
            Self::Cosine(_) => "text_similarity",
        }
    }

    pub(crate) fn templates(&self) -> Vec<(String, &Template)> {
        match self {
            Self::ScoreModel(judge) => judge.prompt().templates(),
            Self::LabelModel(judge) => judge.prompt().templates(),
            Self::Python(_) | Self::Remote(_) => Vec::new(),
            Self::Cosine(cosine) => cosine.templates(),
        }
    }

    /// What to ask about one sample, as JSON text.
    fn question(&self, scope: Scope<'_>) -> Result<String, GradeError> {
        match self {
            Self::ScoreModel(judge) => judge.prompt().question(scope),
            Self::LabelModel(judge) => judge.prompt().question(scope),
            Self::Python(_) | Self::Remote(_) => row_question(scope),
            Self::Cosine(cosine) => cosine.question(scope),
        }
    }
}

/// The whole row and the whole sample: what a function `grade(sample, item)` takes.
fn row_question(scope: Scope<'_>) -> Result<String, GradeError> {
    let item = scope.item.json()?;
    let mut sample = scope.sample.fields()?.clone();
    sample.insert("output_text".to_owned(), Value::from(scope.sample.output_text()));
    if let Ok(Some(output_json)) = scope.sample.field("output_json") {
        sample.insert("output_json".to_owned(), output_json.clone());
    }
    let sample = Value::Object(sample.into_iter().collect());
    Ok(format!(r#"{{"item":{item},"sample":{sample}}}"#))
}

/// What one part of a grader asks about the samples of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Questions {
    /// Name of the part; empty for a grader that is no multi.
    pub part: String,
    /// Kind of the part.
    pub kind: &'static str,
    /// The part's spec as JSON, every default written out.
    pub grader: String,
    /// The rows that are asked about. A row of which nothing can be asked has its error already.
    pub rows: Vec<usize>,
    /// The question of each of those rows, as JSON text.
    pub bodies: Vec<String>,
}

/// The answers to a batch's questions: grades by part, then by row.
#[derive(Debug, Clone, Default)]
pub struct Answers(BTreeMap<String, BTreeMap<usize, Grade>>);

impl Answers {
    /// Takes in the answers to one part's questions.
    pub fn add(&mut self, part: String, grades: impl IntoIterator<Item = (usize, Grade)>) {
        self.0.insert(part, grades.into_iter().collect());
    }
}

impl Grader {
    /// What has to be asked before the batch can be graded, by part; none for a grader that the core grades alone.
    pub fn questions(&self, batch: &Batch<'_>) -> Vec<Questions> {
        let asked = match &self.rule {
            Rule::Asking(asking) => vec![questions("", self, asking, batch)],
            Rule::Multi(multi) => {
                let asking = multi.parts().filter_map(|(name, part)| match &part.rule {
                    Rule::Asking(asking) => Some(questions(name, part, asking, batch)),
                    _ => None,
                });
                asking.collect()
            }
            _ => Vec::new(),
        };
        asked.into_iter().filter(|questions| !questions.rows.is_empty()).collect()
    }
}

fn questions(part: &str, grader: &Grader, asking: &Asking, batch: &Batch<'_>) -> Questions {
    let asked = batch.rows.iter().enumerate().filter_map(|(place, row)| {
        let sample = Sample::new(row.output_text, row.sample_json);
        let item = batch.items.get(row.item)?;
        asking.question(Scope { item, sample: &sample }).ok().map(|question| (place, question))
    });
    let (rows, bodies) = asked.unzip();
    Questions { part: part.to_owned(), kind: asking.kind(), grader: grader.to_json(), rows, bodies }
}

/// The grades of a part that asks: its answers, and for rows that could not be asked about the reason.
pub(crate) fn answered(asking: &Asking, part: &str, batch: &Batch<'_>, answers: &Answers) -> Vec<Grade> {
    let by_row = answers.0.get(part);
    let grade = |(place, row): (usize, &crate::batch::Row<'_>)| {
        if let Some(grade) = by_row.and_then(|grades| grades.get(&place)) {
            return checked(grade);
        }
        let Some(item) = batch.items.get(row.item) else { return batch.without_item(row) };
        let sample = Sample::new(row.output_text, row.sample_json);
        let question = asking.question(Scope { item, sample: &sample });
        let unanswered = || GradeError::new(ErrorClass::Other, "the question of this sample has no answer");
        Grade::failed(question.err().unwrap_or_else(unanswered))
    };
    batch.rows.iter().enumerate().map(grade).collect()
}

/// An answer as it stands, unless it claims a score that is no number.
fn checked(grade: &Grade) -> Grade {
    match grade.outcome {
        Ok(score) if !score.is_finite() => {
            Grade::failed(GradeError::new(ErrorClass::Other, format!("the answer's score is {score}, not a number")))
        }
        _ => grade.clone(),
    }
}
