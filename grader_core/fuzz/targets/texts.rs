//! Any text under any kind of grader: no panic, a score in its range, the same grade twice.
//!
//! An input is a byte that picks the grader, then the text, the reference and the sample's further values, parted by
//! 0xFF, which no UTF-8 text holds.
#![no_main]

use grader_core::{Batch, Grade, Grader, Item, Row};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// A grader of every kind and metric that the core grades alone; `seeds.py` reads how many.
const GRADERS: [&str; 32] = [
    r#"{"type":"number","reference":"{{item.answer}}","partial_score":0.1}"#,
    r#"{"type":"number","reference":"{{item.answer}}","location":{"marker":"Answer"},"percent_as_fraction":true}"#,
    r#"{"type":"number","reference":"{{item.answer}}","location":{"marker":"is"},"expression":true}"#,
    r#"{"type":"multiple_choice","reference":"{{item.answer}}"}"#,
    r#"{"type":"multiple_choice","reference":"Yes","choices":["Yes","No","Not known"],"location":{"marker":"ß"}}"#,
    r#"{"type":"ranked_list","reference":"{{item.answer}}","aliases":"{{item.answer}}"}"#,
    r#"{"type":"ranked_list","reference":"x","location":{"marker":"list"},"curve":{"kind":"dcg"},"max_rank":3}"#,
    r#"{"type":"math","reference":"{{item.answer}}","partial_score":0.1}"#,
    r#"{"type":"math","reference":"{{item.answer}}","location":{"marker":"is"}}"#,
    r#"{"type":"math","reference":"\\frac{x^2-1}{x-1}"}"#,
    r#"{"type":"json_fields","reference":"{{item.answer}}","weights":{"a":2}}"#,
    r#"{"type":"json_fields","reference":"{\"a\":[1,{\"b\":2}]}","schema_json":{"type":"object","properties":{"a":{"items":{"multipleOf":0.1}}}}}"#,
    r#"{"type":"tool_calls","input":"{{sample.output_text}}","reference":"{{item.answer}}","any_order":true}"#,
    r#"{"type":"tool_calls","reference":"{{item.answer}}"}"#,
    r#"{"type":"regex","pattern":"(?i)answer\\W*(\\w+)?","reference":"{{item.answer}}"}"#,
    r#"{"type":"shape","min_characters":3,"max_characters":20,"slope_characters":7,"required_pattern":"[0-9]|a"}"#,
    r#"{"type":"string_check","input":"{{sample.output_text}}","reference":"{{item.answer}}","operation":"eq"}"#,
    r#"{"type":"string_check","input":"{{sample.output_text}}","reference":"{{item.answer}}","operation":"like"}"#,
    r#"{"type":"string_check","input":"{{sample.output_text}}","reference":"{{item.answer}}","operation":"ilike"}"#,
    r#"{"type":"string_check","input":"{{sample.output_json.a[0]}}","reference":"{{sample.choices}}","operation":"ne"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"fuzzy_match"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"bleu"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"gleu"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"meteor"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"rouge_1"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"rouge_2"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"rouge_3"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"rouge_4"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"rouge_5"}"#,
    r#"{"type":"text_similarity","input":"{{sample.output_text}}","reference":"{{item.answer}}","evaluation_metric":"rouge_l"}"#,
    r#"{"type":"multi","graders":{"n":{"type":"number","reference":"{{item.answer}}"},"c":{"type":"multiple_choice","reference":"B"}},"calculate_output":"(n + c) / 2"}"#,
    r#"{"type":"multi","graders":{"m":{"type":"math","reference":"{{item.answer}}"},"s":{"type":"shape","max_characters":9}},"calculate_output":"min(m, s)","gate":"m"}"#,
];

static READ: LazyLock<Vec<Grader>> =
    LazyLock::new(|| GRADERS.iter().map(|grader| Grader::from_json(grader).expect("the table is right")).collect());

fn grades(grader: &Grader, item: &str, text: &str, sample_json: &str) -> Vec<Grade> {
    let wanted = grader.item_keys();
    // Rows beside it must not change a row's grade.
    let rows = [text, "Answer is 4", text].map(|output_text| Row { item: 0, output_text, sample_json });
    grader.grade(&Batch { items: vec![Item::new(item, &wanted)], rows: rows.to_vec() })
}

fuzz_target!(|input: &[u8]| {
    let Some((pick, rest)) = input.split_first() else { return };
    let grader = &READ[usize::from(*pick) % GRADERS.len()];
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
