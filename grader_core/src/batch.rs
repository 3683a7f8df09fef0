//! Grades many samples with one grader, on all cores where that pays. What depends on the item alone is made once per
//! item and shared by the samples of its prompt. Results come in the order of the rows; a sample that fails has a
//! failed grade, and no more.

use rayon::prelude::*;

use crate::asking::{Answers, answered};
use crate::grade::{ErrorClass, Grade, GradeError};
use crate::multi::Multi;
use crate::plain_kind::PlainKind;
use crate::runs::grade_by_runs;
use crate::scope::{Item, Sample, Scope};
use crate::spec::{Grader, Rule};

/// Batches with less text than this are graded on the calling thread: waking others costs more.
const PARALLEL_BYTES: usize = 64 * 1024;

/// Samples of some items.
pub struct Batch<'a> {
    /// The items.
    pub items: Vec<Item<'a>>,
    /// The samples.
    pub rows: Vec<Row<'a>>,
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Place of its item in the batch.
    pub item: usize,
    /// The sampled text.
    pub output_text: &'a str,
    /// Further values of the sample as a JSON object; empty for none.
    pub sample_json: &'a str,
}

impl Batch<'_> {
    /// The grade of a row whose item does not exist.
    pub(crate) fn without_item(&self, row: &Row<'_>) -> Grade {
        let detail = format!("the sample belongs to item {}, of {}", row.item, self.items.len());
        Grade::failed(GradeError::new(ErrorClass::Other, detail))
    }
}

impl Grader {
    /// The grades of all rows, in their order, by a grader that asks nothing. A row whose item does not exist has a
    /// failed one, as has a row with an unanswered question.
    pub fn grade(&self, batch: &Batch<'_>) -> Vec<Grade> {
        self.grade_answered(batch, &Answers::default())
    }

    /// As `grade`, with the answers to the batch's questions.
    pub fn grade_answered(&self, batch: &Batch<'_>, answers: &Answers) -> Vec<Grade> {
        self.grade_part("", batch, answers)
    }

    fn grade_part(&self, name: &str, batch: &Batch<'_>, answers: &Answers) -> Vec<Grade> {
        match &self.rule {
            Rule::StringCheck(check) => grade_rows(check, batch),
            Rule::TextSimilarity(similarity) => grade_rows(similarity, batch),
            Rule::Number(number) => grade_rows(number, batch),
            Rule::MultipleChoice(choice) => grade_rows(choice, batch),
            Rule::RankedList(ranked) => grade_rows(ranked, batch),
            Rule::Math(maths) => grade_rows(maths, batch),
            Rule::JsonFields(fields) => grade_rows(fields, batch),
            Rule::ToolCalls(calls) => grade_rows(calls, batch),
            Rule::Regex(regex) => grade_rows(regex, batch),
            Rule::Shape(shape) => grade_rows(shape, batch),
            Rule::Asking(asking) => answered(asking, name, batch, answers),
            Rule::Multi(multi) => grade_parts(multi, batch, answers),
        }
    }
}

fn grade_rows<K: PlainKind>(kind: &K, batch: &Batch<'_>) -> Vec<Grade> {
    let bytes = batch.rows.iter().map(|row| row.output_text.len()).sum::<usize>();
    // A pool of one thread would only take the work to another core, away from its cache.
    let is_large = bytes >= PARALLEL_BYTES && rayon::current_num_threads() > 1;
    let reads_sample = kind.references().iter().any(|(_, template)| template.reads_sample());
    if !reads_sample && let Some(grades) = grade_by_runs(kind, batch, is_large) {
        return grades;
    }
    let expected = if reads_sample { Vec::new() } else { expect_by_item(kind, batch, is_large) };
    let grade = |row: &Row<'_>| {
        let Some(item) = batch.items.get(row.item) else { return batch.without_item(row) };
        let sample = Sample::new(row.output_text, row.sample_json);
        let scope = Scope { item, sample: &sample };
        let graded = match expected.get(row.item) {
            Some(Ok(expected)) => kind.input().render(scope).map(|text| kind.grade(expected, &text)),
            Some(Err(error)) => Err(error.clone()),
            None => kind
                .expect(scope)
                .and_then(|expected| kind.input().render(scope).map(|text| kind.grade(&expected, &text))),
        };
        graded.unwrap_or_else(Grade::failed)
    };
    map(&batch.rows, is_large, grade)
}

fn expect_by_item<K: PlainKind>(kind: &K, batch: &Batch<'_>, is_large: bool) -> Vec<Result<K::Expected, GradeError>> {
    map(&batch.items, is_large, |item| kind.expect(Scope { item, sample: &Sample::new("", "") }))
}

fn map<T: Sync, R: Send>(values: &[T], is_large: bool, function: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    match is_large {
        true => values.par_iter().with_min_len(16).map(function).collect(),
        false => values.iter().map(function).collect(),
    }
}

fn grade_parts(multi: &Multi, batch: &Batch<'_>, answers: &Answers) -> Vec<Grade> {
    let column = |(name, part): (&String, &Grader)| part.grade_part(name, batch, answers).into_iter();
    let mut columns: Vec<_> = multi.parts().map(column).collect();
    let row = |_: &Row<'_>| multi.combine(columns.iter_mut().filter_map(Iterator::next).collect());
    batch.rows.iter().map(row).collect()
}
