//! The golden cases of `tests/golden`, which pytest reads too: what every kind makes of a text, and which graders are
//! refused why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken case file shall stop the test.

use std::collections::BTreeSet;

use grader_core::{Answers, Batch, ErrorClass, Grade, GradeError, Grader, GraderError, Item, KINDS, Questions, Row};
use serde_json::Value;

const FILES: [(&str, &str); 13] = [
    ("string_check", include_str!("../../tests/golden/string_check.json")),
    ("text_similarity", include_str!("../../tests/golden/text_similarity.json")),
    ("template", include_str!("../../tests/golden/template.json")),
    ("number", include_str!("../../tests/golden/number.json")),
    ("multiple_choice", include_str!("../../tests/golden/multiple_choice.json")),
    ("ranked_list", include_str!("../../tests/golden/ranked_list.json")),
    ("math", include_str!("../../tests/golden/math.json")),
    ("json_fields", include_str!("../../tests/golden/json_fields.json")),
    ("tool_calls", include_str!("../../tests/golden/tool_calls.json")),
    ("regex", include_str!("../../tests/golden/regex.json")),
    ("shape", include_str!("../../tests/golden/shape.json")),
    ("multi", include_str!("../../tests/golden/multi.json")),
    ("asking", include_str!("../../tests/golden/asking.json")),
];
const REFUSED: &str = include_str!("../../tests/golden/refused.json");

/// Scores are compared to this; they come from at most a few operations on doubles.
const TOLERANCE: f64 = 1e-12;

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// A JSON value as its text; a text stands for itself, so that a case can hold malformed JSON.
fn raw(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn grade(case: &Value) -> Grade {
    let grader = Grader::from_json(&raw(&case["grader"])).unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
    let wanted = grader.item_keys();
    let item = raw(&case["item"]);
    let mut sample = case["sample"].clone();
    let text = if sample.is_null() { &case["output_text"] } else { &sample["output_text"] };
    let output_text = text.as_str().unwrap().to_owned();
    let sample_json = match sample.as_object_mut() {
        Some(values) => {
            values.remove("output_text");
            sample.to_string()
        }
        None => case["sample_json"].as_str().unwrap_or_default().to_owned(),
    };
    let rows = vec![Row { item: 0, output_text: &output_text, sample_json: &sample_json }];
    let batch = Batch { items: vec![Item::new(&item, &wanted)], rows };
    let mut grades = grader.grade_answered(&batch, &answers(case, &grader.questions(&batch)));
    grades.pop().unwrap()
}

/// The case's answers, by part, once the questions are those that it names.
fn answers(case: &Value, questions: &[Questions]) -> Answers {
    let asked: serde_json::Map<String, Value> =
        questions.iter().map(|part| (part.part.clone(), serde_json::from_str(&part.bodies[0]).unwrap())).collect();
    let expected = case["questions"].as_object().cloned().unwrap_or_default();
    assert_eq!(asked, expected, "{}: the questions", case["name"]);
    let mut answers = Answers::default();
    for part in questions {
        assert_eq!((part.rows.as_slice(), part.bodies.len()), ([0].as_slice(), 1));
        answers.add(part.part.clone(), [(0, answer(&case["answers"][&part.part]))]);
    }
    answers
}

fn answer(answer: &Value) -> Grade {
    let named = |name: &str| ErrorClass::ALL.into_iter().find(|class| class.name() == name).unwrap();
    match answer["error"].as_str() {
        None => Grade::scored(answer["score"].as_f64().unwrap()),
        Some(class) => Grade::failed(GradeError {
            retryable: answer["retryable"] == true,
            ..GradeError::new(named(class), answer["detail"].as_str().unwrap())
        }),
    }
}

fn differences(case: &Value, grade: &Grade) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: &str, holds: bool, given: String| {
        if !holds {
            found.push(format!("{what} is {given}"));
        }
    };
    let near = |expected: &Value, given: f64| (expected.as_f64().unwrap() - given).abs() <= TOLERANCE;
    match &grade.outcome {
        Ok(score) => check(
            "score",
            !case["expect"]["score"].is_null() && near(&case["expect"]["score"], *score),
            score.to_string(),
        ),
        Err(error) => {
            check(
                "error",
                case["expect"]["error"] == error.class.name(),
                format!("{} {}", error.class.name(), error.detail),
            );
            check("error_part", case["error_part"].as_str().is_none_or(|part| part == error.part), error.part.clone());
        }
    }
    let answer = &grade.extracted_answer;
    check(
        "extracted_answer",
        case["extracted_answer"].as_str().is_none_or(|expected| expected == answer),
        format!("`{answer}`"),
    );
    for (key, given) in [("matched_rank", grade.matched_rank), ("listed_count", grade.listed_count)] {
        check(key, case[key].as_u64().is_none_or(|expected| expected == given as u64), given.to_string());
    }
    let (scores, errors): (Vec<_>, Vec<_>) = grade.parts.iter().partition(|(_, outcome)| outcome.is_ok());
    if let Some(expected) = case["part_scores"].as_object() {
        let is_score = |(part, outcome): &(&String, &Result<f64, GradeError>)| {
            expected.get(*part).is_some_and(|score| outcome.as_ref().is_ok_and(|given| near(score, *given)))
        };
        check("part_scores", scores.len() == expected.len() && scores.iter().all(is_score), format!("{scores:?}"));
    }
    if let Some(expected) = case["part_errors"].as_object() {
        let is_error = |(part, outcome): &(&String, &Result<f64, GradeError>)| {
            expected.get(*part).is_some_and(|class| outcome.as_ref().is_err_and(|given| class == given.class.name()))
        };
        check("part_errors", errors.len() == expected.len() && errors.iter().all(is_error), format!("{errors:?}"));
    }
    found
}

#[test]
fn every_golden_case_is_graded_as_written() {
    let mut failures = Vec::new();
    for (file, text) in FILES {
        for case in cases(text) {
            let found = differences(&case, &grade(&case));
            if !found.is_empty() {
                failures.push(format!("{file}: {}: {}", case["name"], found.join(", ")));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn refusal(case: &Value) -> Option<GraderError> {
    let grader = match Grader::from_json(&raw(&case["grader"])) {
        Ok(grader) => grader,
        Err(error) => return Some(error),
    };
    let keys: Vec<String> = case["item_keys"].as_array()?.iter().map(|key| key.as_str().unwrap().to_owned()).collect();
    grader.check_item_keys(&keys).err()
}

#[test]
fn every_faulty_grader_is_refused_with_reason_and_field() {
    let mut failures = Vec::new();
    for case in cases(REFUSED) {
        let expected = &case["refuse"];
        match refusal(&case) {
            Some(error) if expected["reason"] == error.reason() && expected["field"] == error.field() => {
                assert_eq!(error.to_string().lines().count(), 1, "{}: not one sentence: {error}", case["name"]);
                assert!(
                    error.to_string().starts_with(error.field()),
                    "{}: message without its field: {error}",
                    case["name"]
                );
                let words = case["says"].as_str().unwrap_or_default();
                assert!(error.to_string().contains(words), "{}: it does not say so: {error}", case["name"]);
            }
            Some(error) => failures.push(format!("{}: {} at {}: {error}", case["name"], error.reason(), error.field())),
            None => failures.push(format!("{}: accepted", case["name"])),
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_kind_every_error_class_and_every_reason_occurs() {
    let graded: Vec<Value> = FILES.iter().flat_map(|(_, text)| cases(text)).collect();
    let texts = |cases: &[Value], pick: fn(&Value) -> &Value| -> BTreeSet<String> {
        cases.iter().filter_map(|case| pick(case).as_str().map(str::to_owned)).collect()
    };
    let set = |words: &[&str]| -> BTreeSet<String> { words.iter().map(|word| (*word).to_owned()).collect() };
    assert_eq!(texts(&graded, |case| &case["grader"]["type"]), set(&KINDS));
    assert_eq!(texts(&graded, |case| &case["expect"]["error"]), set(&ErrorClass::ALL.map(ErrorClass::name)));

    let refused = cases(REFUSED);
    // These two are faults of a request, not of a grader; tests/requests.rs has them.
    let mut reasons = set(&GraderError::REASONS);
    assert!(reasons.remove("REQUEST_UNDECODABLE") && reasons.remove("BATCH_SHAPE_INVALID"));
    assert_eq!(texts(&refused, |case| &case["refuse"]["reason"]), reasons);
}
