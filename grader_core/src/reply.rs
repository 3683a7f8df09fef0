//! `GradeResponse` of the contract, written straight from the grades: a message of its own for each grade would cost as
//! much as grading it.

use prost::encoding::{WireType, bool, double, encode_key, encode_varint, encoded_len_varint};

use crate::grade::{Grade, GradeError};

/// Lengths up to this are a single byte.
const ONE_BYTE_LENGTH: usize = 127;

/// Writes the response to a batch, without `grading_seconds`. Every grade carries the fingerprint.
pub(crate) fn encode(grades: &[Grade], fingerprint: &str) -> Vec<u8> {
    let mut response = Vec::with_capacity(grades.len() * (fingerprint.len() + 32));
    let mut message = Vec::with_capacity(128);
    for grade in grades {
        if put_plain_grade(&mut response, grade, fingerprint) {
            continue;
        }
        message.clear();
        put_grade(&mut message, grade, fingerprint);
        put_bytes(&mut response, 1, &message);
    }
    response
}

/// Writes a score and an extracted answer without a message in between, as nearly every grade is; `false` where the
/// grade has more.
fn put_plain_grade(response: &mut Vec<u8>, grade: &Grade, fingerprint: &str) -> bool {
    let answer = grade.extracted_answer.as_bytes();
    let length = 9 + 2 + answer.len() + 2 + fingerprint.len();
    let Ok(score) = grade.outcome else { return false };
    let has_more = !grade.parts.is_empty() || grade.matched_rank > 0 || grade.listed_count > 0;
    if has_more || length > ONE_BYTE_LENGTH || fingerprint.is_empty() {
        return false;
    }
    let length = if answer.is_empty() { length - 2 } else { length };
    response.extend_from_slice(&[key(1, WireType::LengthDelimited), length as u8, key(1, WireType::SixtyFourBit)]);
    response.extend_from_slice(&score.to_le_bytes());
    for (tag, text) in [(5, answer), (8, fingerprint.as_bytes())] {
        if !text.is_empty() {
            response.extend_from_slice(&[key(tag, WireType::LengthDelimited), text.len() as u8]);
            response.extend_from_slice(text);
        }
    }
    true
}

/// The key of a field whose tag is below 16: a single byte.
const fn key(tag: u8, wire_type: WireType) -> u8 {
    tag << 3 | wire_type as u8
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
