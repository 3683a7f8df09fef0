//! Text similarity against plain loops, and its limits. `tests/unit/grading/test_similarity_peers.py` compares it with the
//! packages that people know the metrics from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken test shall stop.

use grader_core::{Batch, ErrorClass, Grade, Grader, Item, Row};
use proptest::prelude::*;

const METRICS: [&str; 10] =
    ["fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"];

fn grade(metric: &str, reference: &str, text: &str) -> Grade {
    let grader = serde_json::json!({
        "type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
        "evaluation_metric": metric,
    });
    let grader = Grader::from_json(&grader.to_string()).unwrap();
    let item = serde_json::json!({"answer": reference}).to_string();
    let rows = vec![Row { item: 0, output_text: text, sample_json: "" }];
    let wanted = grader.item_keys();
    grader.grade(&Batch { items: vec![Item::new(&item, &wanted)], rows }).pop().unwrap()
}

fn score(metric: &str, reference: &str, text: &str) -> f64 {
    grade(metric, reference, text).outcome.unwrap()
}

/// Twice the length of the longest common subsequence over both lengths, by the table that textbooks fill.
fn plain_ratio<T: PartialEq>(expected: &[T], given: &[T]) -> f64 {
    let mut row = vec![0_u32; expected.len() + 1];
    for symbol in given {
        let mut diagonal = 0;
        for place in 1..row.len() {
            let above = row[place];
            row[place] = if *symbol == expected[place - 1] { diagonal + 1 } else { above.max(row[place - 1]) };
            diagonal = above;
        }
    }
    f64::from(2 * row[expected.len()]) / (expected.len() + given.len()).max(1) as f64
}

/// Texts of few letters whose lengths lie on both sides of blocks of 64 and strips of 512.
fn letters() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,80}", "[a-dé]{0,300}", "[ab日\u{10000}]{400,1200}", "[a-z ]{0,1100}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fuzzy_match_is_that_of_plain_loops(reference in letters(), text in letters()) {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        let both_empty = reference.is_empty() && text.is_empty();
        let plain = if both_empty { 1.0 } else { plain_ratio(&characters(&reference), &characters(&text)) };
        prop_assert_eq!(score("fuzzy_match", &reference, &text), plain);
    }

    #[test]
    fn rouge_l_is_that_of_plain_loops(reference in "([a-f]{1,2}[ .]){1,700}", text in "([a-f]{1,2} ){0,700}") {
        let words = |text: &str| text.split([' ', '.']).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(score("rouge_l", &reference, &text), plain_ratio(&words(&reference), &words(&text)));
    }

    #[test]
    fn a_text_is_wholly_like_itself(text in r"[a-c]{1,4}[ a-z.,0-9&\-é日]{20,200} b c d e f") {
        for metric in METRICS {
            let score = score(metric, &text, &text);
            // METEOR takes half of a chunk's share off even then.
            prop_assert!(if metric == "meteor" { score > 0.99 && score < 1.0 } else { score == 1.0 }, "{metric} {score}");
        }
    }

    #[test]
    fn every_metric_is_0_to_1_or_an_error_of_the_reference(reference in any::<String>(), text in any::<String>()) {
        for metric in METRICS {
            match grade(metric, &reference, &text).outcome {
                Ok(score) => prop_assert!((0.0..=1.0).contains(&score), "{metric} gives {score}"),
                Err(error) => prop_assert_eq!(error.class, ErrorClass::InvalidReference),
            }
        }
    }

    #[test]
    fn the_order_of_the_texts_counts_only_where_it_should(reference in "[a-d ]{1,40}x", text in "[a-d ]{1,40}x") {
        for metric in METRICS.into_iter().filter(|metric| !matches!(*metric, "bleu" | "meteor")) {
            prop_assert_eq!(score(metric, &reference, &text), score(metric, &text, &reference), "{}", metric);
        }
    }
}

#[test]
fn long_texts_of_the_worst_kind_are_compared() {
    // Whoever looks at all pairs of words takes many minutes here.
    for piece in
        ["a", "a ", "ab ", "running ", "yyyyed", "a.", ".", "-\n", "&amp;", "<skipped>", "1,", "日", "İ", "x y z. "]
    {
        let text = piece.repeat(30_000 / piece.chars().count());
        for metric in METRICS {
            let _ = grade(metric, &text, &text);
            let _ = grade(metric, "a running text of 日", &text.repeat(10));
        }
    }
}

#[test]
fn what_is_too_long_is_an_error_and_never_cut() {
    let (most_expected, most_given) = (1 << 16, 1 << 20);
    for (metric, piece) in [("fuzzy_match", "é"), ("rouge_l", "b ")] {
        let class = |reference: &str, text: &str| grade(metric, reference, text).outcome.map_err(|error| error.class);
        assert!(class(&piece.repeat(most_expected), "b").is_ok());
        assert_eq!(class(&piece.repeat(most_expected + 1), "b"), Err(ErrorClass::InvalidReference));
        assert!(class("b", &piece.repeat(most_given)).is_ok());
        assert_eq!(class("b", &piece.repeat(most_given + 1)), Err(ErrorClass::Other));
    }
}
