//! A batch as it comes over the wire, its columns borrowed from the request's bytes. Decoding copies no text: at 4,096
//! answers a call that is most of what decoding costs.

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint, int32};

use crate::batch::{Batch, Row};
use crate::error::GraderError;
use crate::reply::put_bytes;
use crate::scope::Item;
use crate::wire::GraderSpec;

const NAME: &str = "GradeRequest";
/// Key and length of a text take at most this much; room is made for it beforehand.
const TEXT_OVERHEAD_BYTES: usize = 6;

/// `GradeRequest` of the contract.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GradeRequest<'a> {
    /// The grader.
    pub grader: Option<GraderSpec>,
    /// The distinct items, each a JSON object.
    pub items_json: Vec<&'a str>,
    /// The sampled texts.
    pub output_texts: Vec<&'a str>,
    /// For each sample its item's place; empty where sample i belongs to item i.
    pub item_indexes: Vec<i32>,
    /// Further values of each sample; empty for none.
    pub samples_json: Vec<&'a str>,
    /// Why each sample stopped; empty for unknown.
    pub finish_reasons: Vec<i32>,
}

impl<'a> GradeRequest<'a> {
    /// Reads the wire format. Unknown fields are skipped, as protobuf has it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, GraderError> {
        let mut request = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            request.take_field(&mut rest).map_err(|detail| GraderError::UndecodableRequest { field: NAME, detail })?;
        }
        Ok(request)
    }

    fn take_field(&mut self, rest: &mut &'a [u8]) -> Result<(), String> {
        let (tag, wire_type) = decode_key(rest).map_err(|fault| fault.to_string())?;
        match (tag, wire_type) {
            (1, WireType::LengthDelimited) => {
                let grader = take_bytes(rest)?;
                self.grader.get_or_insert_default().merge(grader).map_err(|fault| fault.to_string())
            }
            (2, WireType::LengthDelimited) => push_text(&mut self.items_json, rest, "items_json"),
            (3, WireType::LengthDelimited) => push_text(&mut self.output_texts, rest, "output_texts"),
            (4, _) => push_numbers(&mut self.item_indexes, wire_type, rest),
            (5, WireType::LengthDelimited) => push_text(&mut self.samples_json, rest, "samples_json"),
            (6, _) => push_numbers(&mut self.finish_reasons, wire_type, rest),
            (1..=6, _) => Err(format!("field {tag} has wire type {wire_type:?}")),
            _ => prost::encoding::skip_field(wire_type, tag, rest, prost::encoding::DecodeContext::default())
                .map_err(|fault| fault.to_string()),
        }
    }

    /// Writes the request, with `grader` (a `GraderSpec` in wire format) in place of its own: for clients that hold
    /// columns of texts.
    pub fn encode_with(&self, grader: &[u8]) -> Vec<u8> {
        let texts = [&self.items_json, &self.output_texts, &self.samples_json];
        let length: usize =
            texts.iter().flat_map(|column| column.iter()).map(|text| text.len() + TEXT_OVERHEAD_BYTES).sum();
        let numbers = self.item_indexes.len() + self.finish_reasons.len();
        let mut bytes = Vec::with_capacity(length + numbers * TEXT_OVERHEAD_BYTES + grader.len() + 64);
        put_bytes(&mut bytes, 1, grader);
        for (tag, column) in [(2, &self.items_json), (3, &self.output_texts)] {
            column.iter().for_each(|text| put_bytes(&mut bytes, tag, text.as_bytes()));
        }
        int32::encode_packed(4, &self.item_indexes, &mut bytes);
        self.samples_json.iter().for_each(|text| put_bytes(&mut bytes, 5, text.as_bytes()));
        int32::encode_packed(6, &self.finish_reasons, &mut bytes);
        bytes
    }

    /// The batch, once its columns are known to fit together. `wanted` are the item keys that will be read.
    pub fn batch(&self, wanted: &'a [String]) -> Result<Batch<'a>, GraderError> {
        let count = self.output_texts.len();
        let refuse = |field: &str, detail: String| Err(GraderError::BatchShape { field: field.to_owned(), detail });
        if count == 0 {
            return refuse("output_texts", "must hold at least one text".to_owned());
        }
        let columns = [
            ("item_indexes", self.item_indexes.len()),
            ("samples_json", self.samples_json.len()),
            ("finish_reasons", self.finish_reasons.len()),
        ];
        for (field, length) in columns {
            if length != 0 && length != count {
                return refuse(field, format!("must be empty or as long as output_texts, {count}; got {length}"));
            }
        }
        if self.item_indexes.is_empty() && self.items_json.len() != count {
            let detail = format!(
                "must be as long as output_texts, {count}, where item_indexes is empty; got {}",
                self.items_json.len()
            );
            return refuse("items_json", detail);
        }
        let mut rows = Vec::with_capacity(count);
        for (place, output_text) in self.output_texts.iter().enumerate() {
            let given = self.item_indexes.get(place).copied();
            let item = given.map_or(Some(place), |index| usize::try_from(index).ok());
            let Some(item) = item.filter(|item| *item < self.items_json.len()) else {
                let last = self.items_json.len();
                let detail =
                    format!("must be 0 to below the length of items_json, {last}; got {}", given.unwrap_or_default());
                return refuse(&format!("item_indexes[{place}]"), detail);
            };
            rows.push(Row {
                item,
                output_text,
                sample_json: self.samples_json.get(place).copied().unwrap_or_default(),
            });
        }
        let items = self.items_json.iter().map(|json| Item::new(json, wanted)).collect();
        Ok(Batch { items, rows })
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = decode_varint(rest).map_err(|fault| fault.to_string())?;
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.remaining());
    let (taken, behind) = rest.split_at(length.ok_or("a field is longer than the message")?);
    *rest = behind;
    Ok(taken)
}

fn push_text<'a>(column: &mut Vec<&'a str>, rest: &mut &'a [u8], name: &str) -> Result<(), String> {
    let text = std::str::from_utf8(take_bytes(rest)?).map_err(|fault| format!("{name}[{}]: {fault}", column.len()))?;
    column.push(text);
    Ok(())
}

/// Numbers come packed, or one by one from writers that do not pack.
fn push_numbers(column: &mut Vec<i32>, wire_type: WireType, rest: &mut &[u8]) -> Result<(), String> {
    #[allow(clippy::cast_possible_truncation)] // Protobuf's int32 is the low half of the varint.
    let mut push = |rest: &mut &[u8]| {
        decode_varint(rest).map(|number| column.push(number as i32)).map_err(|fault| fault.to_string())
    };
    match wire_type {
        WireType::Varint => push(rest),
        WireType::LengthDelimited => {
            let mut packed = take_bytes(rest)?;
            while !packed.is_empty() {
                push(&mut packed)?;
            }
            Ok(())
        }
        other => Err(format!("a column of numbers has wire type {other:?}")),
    }
}
