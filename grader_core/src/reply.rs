//! `GradeResponse` of the contract, written straight from the grades: a message of its own for each grade would cost as
//! much as grading it.

use prost::encoding::{WireType, bool, double, encode_key, encode_varint, encoded_len_varint};

use crate::grade::{Grade, GradeError};

/// Writes the response to a batch, without `grading_seconds`. Every grade carries the fingerprint.
pub(crate) fn encode(grades: &[Grade], fingerprint: &str) -> Vec<u8> {
    let mut response = Vec::with_capacity(grades.len() * (fingerprint.len() + 32));
    let mut message = Vec::with_capacity(128);
    for grade in grades {
        message.clear();
        put_grade(&mut message, grade, fingerprint);
        put_bytes(&mut response, 1, &message);
    }
    response
}

fn put_grade(message: &mut Vec<u8>, grade: &Grade, fingerprint: &str) {
    match &grade.outcome {
        Ok(score) => double::encode(1, score, message),
        Err(error) => put_bytes(message, 2, &error_message(error)),
    }
    for (name, outcome) in &grade.parts {
        let mut entry = Vec::with_capacity(name.len() + 16);
        put_bytes(&mut entry, 1, name.as_bytes());
        let tag = match outcome {
            Ok(score) => {
                double::encode(2, score, &mut entry);
                3
            }
            Err(error) => {
                put_bytes(&mut entry, 2, &error_message(error));
                4
            }
        };
        put_bytes(message, tag, &entry);
    }
    put_text(message, 5, &grade.extracted_answer);
    put_count(message, 6, grade.matched_rank);
    put_count(message, 7, grade.listed_count);
    put_text(message, 8, fingerprint);
}

/// `GradeError`.
fn error_message(error: &GradeError) -> Vec<u8> {
    let mut message = Vec::with_capacity(error.detail.len() + error.part.len() + 16);
    put_count(&mut message, 1, usize::try_from(error.class.number()).unwrap_or_default());
    if error.retryable {
        bool::encode(2, &true, &mut message);
    }
    put_text(&mut message, 3, &error.detail);
    put_text(&mut message, 4, &error.part);
    message
}

/// A field that is written even when empty: an element of a list, or the member of a oneof.
pub(crate) fn put_bytes(message: &mut Vec<u8>, tag: u32, value: &[u8]) {
    message.reserve(value.len() + 2 * encoded_len_varint(value.len() as u64));
    encode_key(tag, WireType::LengthDelimited, message);
    encode_varint(value.len() as u64, message);
    message.extend_from_slice(value);
}

fn put_text(message: &mut Vec<u8>, tag: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(message, tag, text.as_bytes());
    }
}

fn put_count(message: &mut Vec<u8>, tag: u32, count: usize) {
    if count > 0 {
        encode_key(tag, WireType::Varint, message);
        // The contract's counts are int32.
        encode_varint(u64::from(i32::try_from(count).unwrap_or(i32::MAX).unsigned_abs()), message);
    }
}
