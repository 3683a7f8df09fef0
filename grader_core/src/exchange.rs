//! Bytes in, bytes out: what the service and the Python binding call. A reply comes with counts, so that nobody has to
//! walk over the grades of a batch to know how it went.

use prost::Message;

use crate::asking::{Answers, Questions};
use crate::batch::Batch;
use crate::error::GraderError;
use crate::grade::{ErrorClass, Grade};
use crate::reply;
use crate::request::GradeRequest;
use crate::spec::Grader;
use crate::wire::{self, ValidateGraderRequest, ValidateGraderResponse};

/// Upper bounds of the score histogram; one more bucket takes the scores above the last bound.
pub const SCORE_BOUNDS: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// A graded batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    /// `GradeResponse` in wire format, without `grading_seconds`: the core knows no clock.
    pub reply: Vec<u8>,
    /// Kind of the grader.
    pub kind: &'static str,
    /// Its name; of a grader without one its kind.
    pub name: String,
    /// How the batch went.
    pub counts: Counts,
}

/// How many grades came out how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Grades with a score, by bucket of `SCORE_BOUNDS`.
    pub scores: [u64; SCORE_BOUNDS.len() + 1],
    /// Sum of all scores.
    pub score_sum: f64,
    /// Grades without a score, by class in the order of `ErrorClass::ALL`.
    pub errors: [u64; ErrorClass::ALL.len()],
}

impl Counts {
    fn add(&mut self, grade: &Grade) {
        match &grade.outcome {
            Ok(score) => {
                self.scores[SCORE_BOUNDS.partition_point(|bound| bound < score)] += 1;
                self.score_sum += score;
            }
            Err(error) => {
                if let Some(place) = ErrorClass::ALL.iter().position(|class| *class == error.class) {
                    self.errors[place] += 1;
                }
            }
        }
    }
}

/// What comes of a `GradeRequest`.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The batch is graded.
    Graded(Box<Graded>),
    /// Somebody else has to answer first, by part.
    Asks(Vec<Questions>),
}

/// The answers to one part's questions.
#[derive(Debug, Clone, PartialEq)]
pub struct PartAnswers<'a> {
    /// Name of the part.
    pub part: String,
    /// The rows that were asked about.
    pub rows: Vec<usize>,
    /// For each of those rows `Grade` in wire format.
    pub grades: Vec<&'a [u8]>,
}

/// Grades a `GradeRequest`, or says what has to be asked first.
pub fn grade(request: &[u8]) -> Result<Outcome, GraderError> {
    with_batch(request, |grader, batch| {
        let questions = grader.questions(batch);
        if !questions.is_empty() {
            return Outcome::Asks(questions);
        }
        Outcome::Graded(Box::new(graded(grader, &grader.grade(batch))))
    })
}

/// Grades a `GradeRequest` whose questions are answered.
pub fn grade_answered(request: &[u8], answered: Vec<PartAnswers<'_>>) -> Result<Graded, GraderError> {
    let mut answers = Answers::default();
    for part in answered {
        let grades = part.grades.iter().map(|grade| read_answer(grade)).collect::<Result<Vec<_>, _>>()?;
        answers.add(part.part, part.rows.into_iter().zip(grades));
    }
    with_batch(request, |grader, batch| graded(grader, &grader.grade_answered(batch, &answers)))
}

/// What `function` makes of a request's grader and batch.
fn with_batch<T>(request: &[u8], function: impl FnOnce(&Grader, &Batch<'_>) -> T) -> Result<T, GraderError> {
    let request = GradeRequest::decode(request)?;
    let grader = Grader::from_spec(request.grader.as_ref())?;
    let wanted = grader.item_keys();
    Ok(function(&grader, &request.batch(&wanted)?))
}

fn graded(grader: &Grader, grades: &[Grade]) -> Graded {
    let mut counts = Counts::default();
    grades.iter().for_each(|grade| counts.add(grade));
    Graded {
        reply: reply::encode(grades, &grader.fingerprint()),
        kind: grader.kind(),
        name: grader.name.clone(),
        counts,
    }
}

fn read_answer(grade: &[u8]) -> Result<Grade, GraderError> {
    let refused =
        |fault: prost::DecodeError| GraderError::UndecodableRequest { field: "Grade", detail: fault.to_string() };
    Ok(Grade::from(wire::Grade::decode(grade).map_err(refused)?))
}

/// Answers a `ValidateGraderRequest` with a `ValidateGraderResponse`.
pub fn validate(request: &[u8]) -> Result<Vec<u8>, GraderError> {
    let refused = |fault: prost::DecodeError| GraderError::UndecodableRequest {
        field: "ValidateGraderRequest",
        detail: fault.to_string(),
    };
    let request = ValidateGraderRequest::decode(request).map_err(refused)?;
    let grader = Grader::from_spec(request.grader.as_ref())?;
    if !request.item_keys.is_empty() {
        grader.check_item_keys(&request.item_keys)?;
    }
    let reply = ValidateGraderResponse {
        grader: Some(grader.to_wire()),
        json: grader.to_json(),
        fingerprint: grader.fingerprint(),
    };
    Ok(reply.encode_to_vec())
}
