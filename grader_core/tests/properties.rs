//! What holds for any text: nothing panics, scores stay in their range, spellings agree, and cost grows with the text
//! and no faster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken test shall stop.

use std::sync::LazyLock;

use grader_core::{Batch, Grade, GradeRequest, Grader, Item, Row, grade, validate};
use proptest::prelude::*;

/// A grader of every kind and metric, settings varied; fuzzing takes them too.
static GRADERS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let graders: Vec<serde_json::Value> = serde_json::from_str(include_str!("every_kind.json")).unwrap();
    graders.iter().map(serde_json::Value::to_string).collect()
});

const NUMBER: &str = r#"{"type":"number","reference":"{{item.answer}}","partial_score":0.1}"#;
const MATH: &str = r#"{"type":"math","reference":"{{item.answer}}"}"#;

fn grade_one(grader: &str, item: &str, text: &str, sample_json: &str) -> Grade {
    let grader = Grader::from_json(grader).unwrap();
    let wanted = grader.item_keys();
    let rows = vec![Row { item: 0, output_text: text, sample_json }];
    grader.grade(&Batch { items: vec![Item::new(item, &wanted)], rows }).pop().unwrap()
}

fn check(item: &str, text: &str, sample_json: &str) {
    for grader in GRADERS.iter() {
        let grade = grade_one(grader, item, text, sample_json);
        if let Ok(score) = grade.outcome {
            assert!((0.0..=1.0).contains(&score), "{grader} gives {score} for {text:?}");
        }
        assert!(grade.matched_rank <= grade.listed_count);
    }
}

/// Texts made of the pieces that the readers of numbers, choices and lists look for.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9]{1,4}",
        r"[-+−.,/%$€e^_*(){}\[\]\\:;>#= \n½']",
        prop::sample::select(vec![
            "\\frac{1}{2}",
            "\\boxed{",
            "\\sqrt[3]{",
            "\\left(",
            "\\{",
            "\\}",
            "\\begin{pmatrix}",
            "&",
            "\\\\",
            "\\end{pmatrix}",
            "\\begin{vmatrix}",
            "\\end{vmatrix}",
            "^T",
            "\\sum_{k=1}^{n}",
            "\\pm",
            "\\cup",
            "\\infty",
            "\\pi",
            "\\sin",
            "\\log_2",
            "\\text{ and }",
            "|",
            "!",
            "\\le",
            "x",
            "answer",
            "is",
            "option",
            "the",
            "A",
            "B",
            "a",
            "I",
            "Yes",
            "not",
            "known",
            "correct",
            "Answer",
            "list",
            "ß",
            "1. ",
            "- ",
            "• ",
            "x 10^",
            "percent",
            "USD",
            "{,}",
            "\u{2009}",
            "```",
            "[\"a\"]",
            "İ",
            "答",
            "é",
            "\u{301}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_graded_without_panic(text in any::<String>(), answer in any::<String>()) {
        check(&serde_json::json!({"answer": answer}).to_string(), &text, "");
    }

    #[test]
    fn any_pieces_are_graded_without_panic(text in pieces(), answer in pieces()) {
        check(&serde_json::json!({"answer": answer}).to_string(), &text, "");
    }

    #[test]
    fn any_item_and_sample_are_graded_without_panic(item in any::<String>(), sample in pieces()) {
        check(&item, &sample, &sample);
    }

    #[test]
    fn any_bytes_are_answered_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = grade(&bytes);
        let _ = validate(&bytes);
        let _ = GradeRequest::decode(&bytes);
    }

    #[test]
    fn any_formula_is_compiled_without_panic(formula in "[-+*/^(),.0-9eabmin _]{0,40}") {
        let grader = serde_json::json!({
            "type": "multi",
            "graders": {"a": {"type": "number", "reference": "1"}, "b": {"type": "number", "reference": "2"}},
            "calculate_output": formula,
        });
        if Grader::from_json(&grader.to_string()).is_ok() {
            let grade = grade_one(&grader.to_string(), "{}", "1", "");
            prop_assert!(grade.outcome.is_err() || grade.outcome.is_ok_and(f64::is_finite));
        }
    }

    #[test]
    fn any_template_is_parsed_without_panic(template in r"[{}a-z.\[\]0-9 é]{0,30}") {
        let grader = serde_json::json!({"type": "string_check", "input": "x", "reference": template, "operation": "eq"});
        let _ = Grader::from_json(&grader.to_string());
    }

    #[test]
    fn a_written_integer_is_found_again(value in any::<i64>(), before in "[a-z ]{0,10}") {
        let grade = grade_one(NUMBER, &serde_json::json!({"answer": value}).to_string(), &format!("{before} = {value}."), "");
        prop_assert_eq!(grade.outcome, Ok(1.0));
        prop_assert_eq!(grade.extracted_answer, value.to_string());
    }

    #[test]
    fn a_written_decimal_with_thousands_marks_is_found_again(whole in 1000_u32..1_000_000, cents in 0_u32..100) {
        let text = format!("${},{:03}.{cents:02}", whole / 1000, whole % 1000);
        let grade = grade_one(NUMBER, &format!("{{\"answer\": {whole}.{cents:02}}}"), &text, "");
        prop_assert_eq!(grade.outcome, Ok(1.0));
    }

    #[test]
    fn the_rank_is_the_place_in_the_list(names in prop::collection::hash_set("[A-Z]{3,6}[0-9]", 1..12), pick in any::<prop::sample::Index>()) {
        let names: Vec<String> = names.into_iter().collect();
        let place = pick.index(names.len());
        let lines: Vec<String> = (1..).zip(&names).map(|(rank, name)| format!("{rank}. **{name}** - because")).collect();
        let grader = serde_json::json!({"type": "ranked_list", "reference": names[place]}).to_string();
        for text in [lines.join("\n"), names.join(", "), serde_json::json!(names).to_string()] {
            let grade = grade_one(&grader, "{}", &text, "");
            prop_assert_eq!((grade.matched_rank, grade.listed_count), (place + 1, names.len()), "{}", text);
        }
    }

    #[test]
    fn a_written_fraction_is_compared_by_value(top in -999_i32..1000, bottom in 1_i32..1000, factor in 1_i32..50) {
        let item = format!(r#"{{"answer": "{}/{}"}}"#, top * factor, bottom * factor);
        let grade = grade_one(MATH, &item, &format!(r"so $\boxed{{\frac{{{top}}}{{{bottom}}}}}$."), "");
        prop_assert_eq!(grade.outcome, Ok(1.0));
        let grade = grade_one(MATH, &item, &format!(r"so $\boxed{{\frac{{{}}}{{{bottom}}}}}$.", top + 1), "");
        prop_assert_eq!(grade.outcome, Ok(0.0));
    }

    #[test]
    fn an_expanded_product_is_the_product(a in -99_i64..100, b in -99_i64..100, off in 1_i64..5) {
        let item = format!(r#"{{"answer": "(x+{a})(x+{b})"}}"#);
        let expanded = |constant: i64| format!(r"\boxed{{x^2 + {}x + {constant}}}", a + b);
        prop_assert_eq!(grade_one(MATH, &item, &expanded(a * b), "").outcome, Ok(1.0));
        prop_assert_eq!(grade_one(MATH, &item, &expanded(a * b + off), "").outcome, Ok(0.0));
    }

    #[test]
    fn a_product_of_matrices_is_their_matrix(left in prop::array::uniform4(-99_i64..100), right in prop::array::uniform4(-99_i64..100), off in 1_i64..5) {
        let matrix = |[a, b, c, d]: [i64; 4]| format!(r"\begin{{pmatrix}}{a} & {b} \\ {c} & {d}\end{{pmatrix}}");
        let ([a, b, c, d], [e, f, g, h]) = (left, right);
        let product = [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h];
        let boxed = format!(r"\boxed{{{}{}}}", matrix(left), matrix(right));
        for (change, score) in [(0, 1.0), (off, 0.0)] {
            let item = serde_json::json!({"answer": matrix([product[0], product[1] + change, product[2], product[3]])});
            prop_assert_eq!(grade_one(MATH, &item.to_string(), &boxed, "").outcome, Ok(score));
        }
    }

    #[test]
    fn the_order_of_a_set_does_not_count(numbers in prop::collection::hash_set(-999_i32..1000, 1..9)) {
        let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
        let turned: Vec<String> = numbers.iter().rev().cloned().collect();
        let item = format!(r#"{{"answer": "\\{{{}\\}}"}}"#, numbers.join(", "));
        let grades = [numbers, turned].map(|order| grade_one(MATH, &item, &format!(r"\boxed{{\{{{}\}}}}", order.join(", ")), ""));
        prop_assert_eq!(&grades[0].outcome, &Ok(1.0));
        prop_assert_eq!(&grades[0], &grades[1]);
    }

    #[test]
    fn normalising_a_grader_keeps_its_fingerprint(partial in 0.0..=1.0, marker in any::<String>(), tolerance in 0.0..1e6) {
        let grader = serde_json::json!({
            "type": "number", "reference": "{{item.answer}}", "partial_score": partial,
            "absolute_tolerance": tolerance, "location": {"marker": marker},
        });
        let grader = Grader::from_json(&grader.to_string()).unwrap();
        let again = Grader::from_json(&grader.to_json()).unwrap();
        prop_assert_eq!(&again, &grader);
        prop_assert_eq!(again.fingerprint(), grader.fingerprint());
    }
}

#[test]
fn large_matrices_are_graded() {
    // Expanding or multiplying them to the end would take more memory than there is.
    let square = |entry: &str, size: usize| vec![vec![entry; size].join("&"); size].join("\\\\");
    let matrix = |rows: String| format!(r"\begin{{pmatrix}}{rows}\end{{pmatrix}}");
    let column = matrix([r"x\\"; 60].concat());
    let answers = [
        format!(r"\det{}", matrix(square("2", 40))),
        format!("{}^{{64}}", matrix(square("1", 25))),
        format!("{0}{0}", matrix(square("3", 30))),
        format!("({column}{})^{{999}}", matrix(["x&"; 60].concat())),
        matrix(square("x", 2)).repeat(80),
        format!("{}^{{1000}}", matrix(square("x", 2))),
    ];
    for answer in answers {
        let item = serde_json::json!({"answer": answer}).to_string();
        assert_eq!(grade_one(MATH, &item, &format!("\\boxed{{{answer}}}"), "").outcome, Ok(1.0));
        assert_eq!(grade_one(MATH, &item, &format!("\\boxed{{{answer}+1}}"), "").outcome, Ok(0.0));
    }
}

#[test]
fn long_texts_of_the_worst_kind_are_graded() {
    // Whoever looks back or ahead from every place takes many minutes here; reading once takes a second or two.
    let worst = [
        "1 ",
        "1,000,",
        "1/",
        "1.",
        "-",
        "9",
        "\\frac{1}{",
        "1 1/",
        "$ ",
        " ",
        "\n",
        "A ",
        "B)",
        "a",
        "is ",
        "is B ",
        "answer ",
        "Not ",
        "\\text{",
        "(",
        "[",
        "]",
        "[1],",
        "\"",
        "{",
        ", ",
        "- x\n",
        "1. x\n",
        "  - x\n1. ",
        "x\n",
        "Answer",
        "ß",
        "*",
        "`",
        ": ",
        "> ",
        "½",
        "\\boxed{",
        "\\boxed{1} and ",
        "$1$ and ",
        "$",
        "\\[",
        "\\(1\\)",
        "answer is 1\n",
        "\\frac",
        "x^",
        "2^",
        "9!",
        "1,",
        "|x",
        "\\sqrt[",
        "((1,2),",
        "2,5 ",
        "2,5,",
        "2,5 $ a ",
        "\\boxed{1} + ",
        "\\sum_",
        "\\sum_{k=1}^{n}k",
        "|x|<1,",
        "1orx",
        "\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}",
        "\\begin{pmatrix}x&y\\\\x&y\\end{pmatrix}^9,",
    ];
    for piece in worst {
        check(r#"{"answer": "7"}"#, &piece.repeat(300_000 / piece.len()), "");
        // As long as an answer may be, on both sides.
        let answer = piece.repeat(4000 / piece.len());
        let item = serde_json::json!({"answer": answer}).to_string();
        for text in [answer.clone(), format!("\\boxed{{{answer}}}"), format!("\\boxed{{{answer}1}}")] {
            grade_one(MATH, &item, &text, "");
        }
    }
}
