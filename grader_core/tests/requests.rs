//! The way in and out: requests read as prost reads them, replies as prost writes them, and which requests are refused
//! why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A broken test shall stop.

use std::collections::BTreeMap;

use grader_core::wire::{GraderSpec, Spelling, ValidateGraderRequest, ValidateGraderResponse};
use grader_core::{
    Batch, ErrorClass, GradeRequest, Graded, Grader, GraderError, Outcome as Exchanged, Row, SCORE_BOUNDS, validate,
};
use prost::{Message, Oneof};

/// Grades with a grader that asks nothing.
fn grade(request: &[u8]) -> Result<Graded, GraderError> {
    match grader_core::grade(request)? {
        Exchanged::Graded(graded) => Ok(*graded),
        Exchanged::Asks(questions) => panic!("{questions:?}"),
    }
}

/// `GradeRequest` of the proto, as prost alone would read it.
#[derive(Clone, PartialEq, Message)]
struct OwnedRequest {
    #[prost(message, optional, tag = "1")]
    grader: Option<GraderSpec>,
    #[prost(string, repeated, tag = "2")]
    items_json: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    output_texts: Vec<String>,
    #[prost(int32, repeated, tag = "4")]
    item_indexes: Vec<i32>,
    #[prost(string, repeated, tag = "5")]
    samples_json: Vec<String>,
    #[prost(int32, repeated, packed = "false", tag = "6")]
    finish_reasons: Vec<i32>,
    /// A field that this version does not know.
    #[prost(string, tag = "99")]
    later: String,
}

/// `GradeResponse` of the proto.
#[derive(Clone, PartialEq, Message)]
struct GradeResponse {
    #[prost(message, repeated, tag = "1")]
    grades: Vec<WireGrade>,
}

/// `Grade` of the proto.
#[derive(Clone, PartialEq, Message)]
struct WireGrade {
    #[prost(oneof = "Outcome", tags = "1, 2")]
    outcome: Option<Outcome>,
    #[prost(btree_map = "string, double", tag = "3")]
    part_scores: BTreeMap<String, f64>,
    #[prost(btree_map = "string, message", tag = "4")]
    part_errors: BTreeMap<String, WireError>,
    #[prost(string, tag = "5")]
    extracted_answer: String,
    #[prost(int32, tag = "6")]
    matched_rank: i32,
    #[prost(int32, tag = "7")]
    listed_count: i32,
    #[prost(string, tag = "8")]
    grader_fingerprint: String,
}

#[derive(Clone, PartialEq, Oneof)]
enum Outcome {
    #[prost(double, tag = "1")]
    Score(f64),
    #[prost(message, tag = "2")]
    Error(WireError),
}

/// `GradeError` of the proto.
#[derive(Clone, PartialEq, Eq, Message)]
struct WireError {
    #[prost(int32, tag = "1")]
    error_class: i32,
    #[prost(bool, tag = "2")]
    retryable: bool,
    #[prost(string, tag = "3")]
    detail: String,
    #[prost(string, tag = "4")]
    part: String,
}

fn number_spec() -> GraderSpec {
    let json = r#"{"type":"number","reference":"{{item.answer}}","partial_score":0.1}"#.to_owned();
    GraderSpec { spelling: Some(Spelling::Json(json)) }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn request() -> OwnedRequest {
    OwnedRequest {
        grader: Some(number_spec()),
        items_json: texts(&[r#"{"answer":"4"}"#, r#"{"answer":"five"}"#]),
        output_texts: texts(&["It is 4", "It is 5", "It is 5", "?"]),
        item_indexes: vec![0, 0, 1, 0],
        ..OwnedRequest::default()
    }
}

fn refusal(request: &OwnedRequest) -> GraderError {
    grade(&request.encode_to_vec()).unwrap_err()
}

#[test]
fn a_request_is_read_as_prost_reads_it() {
    let sent = OwnedRequest {
        samples_json: texts(&["{}", "", "{\"a\":1}", ""]),
        finish_reasons: vec![1, 2, 1, 3],
        later: "unknown here".to_owned(),
        ..request()
    };
    let bytes = sent.encode_to_vec();
    let read = GradeRequest::decode(&bytes).unwrap();
    assert_eq!(read.grader, sent.grader);
    assert_eq!(read.items_json, sent.items_json);
    assert_eq!(read.output_texts, sent.output_texts);
    assert_eq!(read.item_indexes, sent.item_indexes);
    assert_eq!(read.samples_json, sent.samples_json);
    assert_eq!(read.finish_reasons, sent.finish_reasons);
}

#[test]
fn a_request_is_written_as_prost_reads_it() {
    let sent =
        OwnedRequest { samples_json: texts(&["{}", "", "x", ""]), finish_reasons: vec![1, 2, 1, 3], ..request() };
    let bytes = sent.encode_to_vec();
    let columns = GradeRequest::decode(&bytes).unwrap();
    let written = columns.encode_with(&number_spec().encode_to_vec());
    assert_eq!(OwnedRequest::decode(written.as_slice()).unwrap(), sent);
}

#[test]
fn grades_come_in_the_order_of_the_request_and_a_bad_sample_fails_alone() {
    let graded = grade(&request().encode_to_vec()).unwrap();
    let reply = GradeResponse::decode(graded.reply.as_slice()).unwrap();
    let scores: Vec<Option<f64>> = reply
        .grades
        .iter()
        .map(|grade| match grade.outcome.as_ref().unwrap() {
            Outcome::Score(score) => Some(*score),
            Outcome::Error(_) => None,
        })
        .collect();
    assert_eq!(scores, [Some(1.0), Some(0.1), None, Some(0.0)]);
    let Some(Outcome::Error(error)) = &reply.grades[2].outcome else { panic!("no error") };
    assert_eq!((error.error_class, error.retryable), (2, false));
    let fingerprint = Grader::from_spec(Some(&number_spec())).unwrap().fingerprint();
    assert!(reply.grades.iter().all(|grade| grade.grader_fingerprint == fingerprint));
}

#[test]
fn counts_say_how_the_batch_went() {
    let counts = grade(&request().encode_to_vec()).unwrap().counts;
    let mut scores = [0; SCORE_BOUNDS.len() + 1];
    (scores[0], scores[1], scores[10]) = (1, 1, 1);
    assert_eq!(counts.scores, scores);
    assert_eq!(counts.errors, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!((counts.score_sum - 1.1).abs() < 1e-12);
}

#[test]
fn a_large_batch_on_many_threads_grades_as_samples_one_by_one() {
    let output_texts: Vec<String> = (0..3000).map(|n| format!("{} so it is {}", "words ".repeat(20), n % 7)).collect();
    let item_indexes = (0..3000).map(|n| n % 2).collect();
    let whole = OwnedRequest { output_texts: output_texts.clone(), item_indexes, ..request() };
    let together = GradeResponse::decode(grade(&whole.encode_to_vec()).unwrap().reply.as_slice()).unwrap();
    for (place, text) in output_texts.into_iter().enumerate().step_by(97) {
        let single = OwnedRequest { output_texts: vec![text], item_indexes: vec![(place % 2) as i32], ..request() };
        let alone = GradeResponse::decode(grade(&single.encode_to_vec()).unwrap().reply.as_slice()).unwrap();
        assert_eq!(alone.grades[0], together.grades[place]);
    }
}

#[test]
fn a_batch_whose_columns_do_not_fit_is_refused() {
    let cases = [
        (OwnedRequest { output_texts: vec![], ..request() }, "output_texts"),
        (OwnedRequest { item_indexes: vec![0], ..request() }, "item_indexes"),
        (OwnedRequest { item_indexes: vec![0, 0, 2, 0], ..request() }, "item_indexes[2]"),
        (OwnedRequest { item_indexes: vec![0, -1, 0, 0], ..request() }, "item_indexes[1]"),
        (OwnedRequest { item_indexes: vec![], ..request() }, "items_json"),
        (OwnedRequest { samples_json: texts(&["{}"]), ..request() }, "samples_json"),
        (OwnedRequest { finish_reasons: vec![1], ..request() }, "finish_reasons"),
    ];
    for (request, field) in cases {
        let error = refusal(&request);
        assert_eq!((error.reason(), error.field()), ("BATCH_SHAPE_INVALID", field), "{error}");
    }
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    let whole = request().encode_to_vec();
    for bytes in
        [&whole[..whole.len() - 1], b"\x1a\x02\xff\xff", b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x18\x01"]
    {
        assert_eq!(grade(bytes).unwrap_err().reason(), "REQUEST_UNDECODABLE");
    }
    assert_eq!(validate(b"\x0a\x05").unwrap_err().reason(), "REQUEST_UNDECODABLE");
}

#[test]
fn a_request_without_a_grader_is_refused() {
    let error = refusal(&OwnedRequest { grader: None, ..request() });
    assert_eq!((error.reason(), error.field()), ("GRADER_FIELD_MISSING", "grader"));
}

#[test]
fn validating_writes_out_defaults_in_both_spellings_and_they_mean_the_same() {
    let request = ValidateGraderRequest { grader: Some(number_spec()), item_keys: texts(&["answer"]) };
    let reply = ValidateGraderResponse::decode(validate(&request.encode_to_vec()).unwrap().as_slice()).unwrap();
    assert_eq!(
        reply.json,
        r#"{"absolute_tolerance":1e-6,"expression":false,"input":"{{sample.output_text}}","location":{"marker":"","marker_required":false},"name":"number","partial_score":0.1,"percent_as_fraction":false,"reference":"{{item.answer}}","relative_tolerance":0.0,"type":"number"}"#
    );
    for spelling in [Spelling::Json(reply.json.clone()), Spelling::Grader(reply.grader.clone().unwrap())] {
        let grader = Some(GraderSpec { spelling: Some(spelling) });
        let again = validate(&ValidateGraderRequest { grader, item_keys: vec![] }.encode_to_vec()).unwrap();
        assert_eq!(ValidateGraderResponse::decode(again.as_slice()).unwrap(), reply);
    }
}

#[test]
fn a_fingerprint_depends_on_the_rule_and_not_on_its_spelling_or_name() {
    let fingerprint = |json: &str| Grader::from_json(json).unwrap().fingerprint();
    let plain = fingerprint(r#"{"type":"number","reference":"{{item.answer}}"}"#);
    assert_eq!(plain.len(), 32);
    assert_eq!(plain, fingerprint(r#"{"name":"n","reference":"{{item.answer}}","partial_score":0.0,"type":"number"}"#));
    assert_ne!(plain, fingerprint(r#"{"type":"number","reference":"{{item.answer}}","partial_score":0.1}"#));
    assert_ne!(plain, fingerprint(r#"{"type":"number","reference":"{{item.gold}}"}"#));
}

#[test]
fn a_row_without_an_item_has_an_error_and_no_score() {
    let grader = Grader::from_json(r#"{"type": "number", "reference": "{{item.answer}}"}"#).unwrap();
    let batch = Batch { items: vec![], rows: vec![Row { item: 0, output_text: "1", sample_json: "" }] };
    let grades = grader.grade(&batch);
    assert_eq!(grades[0].outcome.as_ref().unwrap_err().class, ErrorClass::Other);
}
