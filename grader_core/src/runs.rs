//! Batches whose rows come item by item, as the answers to one prompt do: what an item asks for is made just before its
//! rows and dropped after them, so that it is still in the cache. A batch in another order is left to `batch`.

use std::ops::Range;

use rayon::prelude::*;

use crate::batch::Batch;
use crate::grade::Grade;
use crate::plain_kind::PlainKind;
use crate::scope::{Sample, Scope};

/// The most rows of one item that are graded one after the other; more are worth sharing between cores.
const MAX_ROWS: usize = 64;
/// Runs that a core takes at a time.
const RUNS_OF_A_TASK: usize = 16;

/// The grades of all rows. `None` where the rows of some item are apart or very many.
pub(crate) fn grade_by_runs<K: PlainKind>(kind: &K, batch: &Batch<'_>, is_large: bool) -> Option<Vec<Grade>> {
    let runs = runs(batch)?;
    if !is_large {
        let mut grades = Vec::with_capacity(batch.rows.len());
        runs.into_iter().for_each(|run| grade_run(kind, batch, run, &mut grades));
        return Some(grades);
    }
    let task = |runs: &[Range<usize>]| {
        let mut grades = Vec::with_capacity(runs.iter().map(ExactSizeIterator::len).sum());
        runs.iter().for_each(|run| grade_run(kind, batch, run.clone(), &mut grades));
        grades
    };
    let tasks: Vec<Vec<Grade>> = runs.par_chunks(RUNS_OF_A_TASK).map(task).collect();
    let mut grades = Vec::with_capacity(batch.rows.len());
    tasks.into_iter().for_each(|task| grades.extend(task));
    Some(grades)
}

/// The places of each item's rows.
fn runs(batch: &Batch<'_>) -> Option<Vec<Range<usize>>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut last = None;
    for (place, row) in batch.rows.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if last == Some(row.item) && run.len() < MAX_ROWS => run.end = place + 1,
            _ if last < Some(row.item) && row.item < batch.items.len() => runs.push(place..place + 1),
            _ => return None,
        }
        last = Some(row.item);
    }
    Some(runs)
}

fn grade_run<K: PlainKind>(kind: &K, batch: &Batch<'_>, run: Range<usize>, grades: &mut Vec<Grade>) {
    let rows = &batch.rows[run];
    let Some(item) = rows.first().and_then(|row| batch.items.get(row.item)) else { return };
    let expected = kind.expect(Scope { item, sample: &Sample::new("", "") });
    grades.extend(rows.iter().map(|row| {
        let expected = match &expected {
            Ok(expected) => expected,
            Err(error) => return Grade::failed(error.clone()),
        };
        let sample = Sample::new(row.output_text, row.sample_json);
        let rendered = kind.input().render(Scope { item, sample: &sample });
        rendered.map_or_else(Grade::failed, |text| kind.grade(expected, &text))
    }));
}
