//! Text in, grade out. The core of pinetune's grading service: pure functions from a grader, items and sampled texts to
//! grades. It reads no file, no clock and no network, and without the feature `python` it has never heard of Python.
//!
//! ```
//! use grader_core::{Batch, Grader, Item, Row};
//!
//! let grader = Grader::from_json(r#"{"type": "number", "reference": "{{item.answer}}", "partial_score": 0.1}"#)?;
//! let wanted = grader.item_keys();
//! let items = vec![Item::new(r#"{"answer": "1200"}"#, &wanted)];
//! let texts = ["It costs $1,200.", "It costs $12.", "No idea."];
//! let rows = texts.map(|output_text| Row { item: 0, output_text, sample_json: "" }).to_vec();
//! let scores: Vec<_> = grader.grade(&Batch { items, rows }).into_iter().map(|grade| grade.outcome).collect();
//! assert_eq!(scores, [Ok(1.0), Ok(0.1), Ok(0.0)]);
//! # Ok::<(), grader_core::GraderError>(())
//! ```
//!
//! To read it, follow a request:
//!
//! 1. `exchange`: bytes in, bytes out; the whole way in fifty lines. `request` borrows a batch from its bytes, `reply`
//!    writes the grades, `wire` has the other messages of the protos.
//! 2. `spec`: the one enum `Rule` of checked graders. Both spellings, typed messages and the JSON that `spelling` reads
//!    through `json_object`, end there; what it accepts is ready to run, and `canonical` writes it back.
//! 3. `batch`: runs a grader over the rows, in parallel, where it can item by item (`runs`). `plain_kind`: what a plain
//!    kind is. `scope` holds the values of an item and a sample, `template` fills `{{item.answer}}` from them, `location`
//!    cuts the text behind a marker.
//! 4. The kinds: `string_check`; `text_similarity` with `fuzzy` and `rouge` (by `lcs`, whose rows `lcs_strip`
//!    holds in the vectors of `lanes`), `translation` (by `ngrams`) and `meteor` (by `porter`), over `tokens`
//!    in a `vocabulary`; `number` with `numeral` (how numbers are written), `amount` and `quantity` (exact amounts);
//!    `multiple_choice` with `statement` (what a text states), `occurrence` and `verdict` (by what stands around a
//!    choice) and `words`; `ranked_list` with `listing` (where the list is) and `rank_curve`; `maths` with
//!    `maths_finding` (where the answer is: in `maths_boxes`, in `maths_segments` or stated), `maths_answer` (what it
//!    is), `latex` with `latex_commands`, `latex_numbers`, `latex_units` and `latex_names` (tokens), `maths_syntax` with
//!    `maths_primary` and `maths_series` (the parser of a `maths_tree`), `maths_equal` with `maths_bounds` and
//!    `maths_intervals` (intervals), `maths_integers`, `maths_units` and `maths_matrix` (arithmetic of matrices),
//!    `maths_exact` over `big_ratio` and `residues` (numbers beyond 128 bits), `maths_value` with `maths_functions` and
//!    `complex`, and `maths_text` (the normal form); `json_fields` with `json_schema`, `tool_calls`, both with
//!    `json_value` (JSON by value); `regex_match` and `shape` with `pattern`; `multi` with `formula`. Characters of
//!    `full_width` count as those of ASCII in numbers and mathematics. `asking` has those that somebody
//!    outside answers: `score_model` and `label_model` (by `judge_prompt`), `python_source`, `remote` and
//!    `cosine`.
//! 5. `grade`: the outcome, a score or a typed error. `error`: why a grader itself is refused; `nearness` guesses what a
//!    misspelt key was meant to be.
//! 6. `python`: the binding, the only file that knows Python. `lockdown` with `system_calls`: what a process that runs a
//!    user's Python locks itself up with, the one part that acts on a process and not on text.
//!
//! Promises, each tested: no text makes it panic; its cost grows linearly with the text; a failure is never a score;
//! equal fingerprints grade equally, where nobody outside is asked.

mod amount;
mod asking;
mod batch;
mod big_ratio;
mod canonical;
mod complex;
mod cosine;
mod error;
mod exchange;
mod expression;
mod formula;
mod full_width;
mod fuzzy;
mod grade;
mod json_fields;
mod json_object;
mod json_schema;
mod json_value;
mod judge_prompt;
mod label_model;
mod lanes;
mod latex;
mod latex_commands;
mod latex_names;
mod latex_numbers;
mod latex_units;
mod lcs;
mod lcs_strip;
mod listing;
mod location;
#[cfg(feature = "python")]
#[cfg_attr(not(target_os = "linux"), path = "lockdown_elsewhere.rs")]
mod lockdown;
mod maths;
mod maths_answer;
mod maths_bounds;
mod maths_boxes;
mod maths_equal;
mod maths_exact;
mod maths_finding;
mod maths_functions;
mod maths_integers;
mod maths_intervals;
mod maths_matrix;
mod maths_primary;
mod maths_segments;
mod maths_series;
mod maths_syntax;
mod maths_text;
mod maths_tree;
mod maths_units;
mod maths_value;
mod meteor;
mod multi;
mod multiple_choice;
mod nearness;
mod ngrams;
mod number;
mod numeral;
mod occurrence;
mod pattern;
mod plain_kind;
mod porter;
#[cfg(feature = "python")]
mod python;
mod python_source;
mod quantity;
mod rank_curve;
mod ranked_list;
mod regex_match;
mod remote;
mod reply;
mod request;
mod residues;
mod rouge;
mod runs;
mod scope;
mod score_model;
mod shape;
mod spec;
mod spelling;
mod statement;
mod string_check;
#[cfg(all(feature = "python", target_os = "linux"))]
mod system_calls;
mod template;
mod text_similarity;
mod tokens;
mod tool_calls;
mod translation;
mod verdict;
mod vocabulary;
pub mod wire;
mod words;

pub use asking::{Answers, Asking, Questions};
pub use batch::{Batch, Row};
pub use cosine::Cosine;
pub use error::GraderError;
pub use exchange::{Counts, Graded, Outcome, PartAnswers, SCORE_BOUNDS, grade, grade_answered, validate};
pub use grade::{ErrorClass, Grade, GradeError};
pub use json_fields::JsonFields;
pub use judge_prompt::JudgePrompt;
pub use label_model::LabelModel;
pub use maths::Maths;
pub use multi::Multi;
pub use multiple_choice::MultipleChoice;
pub use number::Number;
pub use python_source::PythonSource;
pub use ranked_list::RankedList;
pub use regex_match::RegexMatch;
pub use remote::Remote;
pub use request::GradeRequest;
pub use scope::{Item, Sample};
pub use score_model::ScoreModel;
pub use shape::Shape;
pub use spec::{GRADER_VERSION, Grader, KINDS, Rule};
pub use string_check::StringCheck;
pub use template::Template;
pub use text_similarity::TextSimilarity;
pub use tool_calls::ToolCalls;
