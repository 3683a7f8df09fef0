//! Any text under any kind of grader: no panic, a score in its range, the same grade twice.
//!
//! An input is a byte that picks the grader, then the text, the reference and the sample's further values, parted by
//! 0xFF, which no UTF-8 text holds.
#![no_main]

use grader_core::{Batch, Grade, Grader, Item, Row};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// A grader of every kind and metric that the core grades alone, settings varied.
const GRADERS: &str = include_str!("../../tests/every_kind.json");

static READ: LazyLock<Vec<Grader>> = LazyLock::new(|| {
    let graders: Vec<serde_json::Value> = serde_json::from_str(GRADERS).expect("the table is JSON");
    graders.iter().map(|grader| Grader::from_json(&grader.to_string()).expect("the table is right")).collect()
});

fn grades(grader: &Grader, item: &str, text: &str, sample_json: &str) -> Vec<Grade> {
    let wanted = grader.item_keys();
    // Rows beside it must not change a row's grade.
    let rows = [text, "Answer is 4", text].map(|output_text| Row { item: 0, output_text, sample_json });
    grader.grade(&Batch { items: vec![Item::new(item, &wanted)], rows: rows.to_vec() })
}

fuzz_target!(|input: &[u8]| {
    let Some((pick, rest)) = input.split_first() else { return };
    let grader = &READ[usize::from(*pick) % READ.len()];
    let texts: Option<Vec<&str>> =
        rest.splitn(3, |byte| *byte == 0xFF).map(|text| std::str::from_utf8(text).ok()).collect();
    let Some(texts) = texts else { return };
    let text = |place: usize| texts.get(place).copied().unwrap_or_default();
    let item = serde_json::json!({"answer": text(1)}).to_string();
    let first = grades(grader, &item, text(0), text(2));
    for grade in &first {
        if let Ok(score) = grade.outcome {
            assert!((0.0..=1.0).contains(&score), "{score}");
        }
        assert!(grade.matched_rank <= grade.listed_count);
    }
    assert_eq!(first[0], first[2]);
    assert_eq!(first, grades(grader, &item, text(0), text(2)));
});
