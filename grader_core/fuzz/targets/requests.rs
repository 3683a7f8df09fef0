//! Any bytes as a request: answered or refused, whatever they are.
#![no_main]

use grader_core::{Outcome, PartAnswers, grade, grade_answered, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = validate(bytes);
    if let Ok(Outcome::Asks(parts)) = grade(bytes) {
        // The request's own bytes as answers: most are none.
        let answers = parts.into_iter().map(|part| PartAnswers {
            grades: vec![bytes; part.rows.len()],
            part: part.part,
            rows: part.rows,
        });
        let _ = grade_answered(bytes, answers.collect());
    }
});
