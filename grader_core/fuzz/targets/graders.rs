//! Any text as the JSON of a grader: refused with a reason, or read the same in both spellings and able to grade.
#![no_main]

use grader_core::{Batch, Grader, GraderError, Item, Row};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let grader = match Grader::from_json(text) {
        Ok(grader) => grader,
        Err(error) => {
            assert!(GraderError::REASONS.contains(&error.reason()));
            assert!(error.to_string().starts_with(error.field()));
            return;
        }
    };
    let again = Grader::from_json(&grader.to_json()).expect("what was written is read");
    assert_eq!(again.fingerprint(), grader.fingerprint());
    assert_eq!(again, grader);
    let wanted = grader.item_keys();
    let item = r#"{"answer": "4", "question": "2 + 2?"}"#;
    let rows = ["The answer is 4.", "", r#"{"a": 1}"#].map(|output_text| Row { item: 0, output_text, sample_json: "" });
    let batch = Batch { items: vec![Item::new(item, &wanted)], rows: rows.to_vec() };
    let questions = grader.questions(&batch);
    assert!(questions.iter().all(|part| part.rows.len() == part.bodies.len()));
    for grade in grader.grade(&batch) {
        assert!(grade.outcome.is_err() || grade.outcome.is_ok_and(f64::is_finite));
    }
});
