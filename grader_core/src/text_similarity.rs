//! Measures how alike two texts are by one of the usual metrics, 0 to 1. What a metric makes of the reference is made
//! once an item.

use crate::cosine::COSINE;
use crate::error::{GraderError, Path};
use crate::fuzzy::LetterSequence;
use crate::grade::{ErrorClass, Grade, GradeError, excerpt};
use crate::meteor::Meteor;
use crate::ngrams::Ngrams;
use crate::plain_kind::PlainKind;
use crate::rouge::{WordSequence, rouge};
use crate::scope::Scope;
use crate::spec::{read_reference, read_template};
use crate::template::Template;
use crate::tokens::{Tokens, summary_words, translation_tokens};
use crate::translation::{ORDER, bleu, gleu};
use crate::wire;

/// The metrics as both spellings have them.
const METRICS: [(&str, Metric); 10] = [
    ("fuzzy_match", Metric::FuzzyMatch),
    ("bleu", Metric::Bleu),
    ("gleu", Metric::Gleu),
    ("meteor", Metric::Meteor),
    ("rouge_1", Metric::Rouge(1)),
    ("rouge_2", Metric::Rouge(2)),
    ("rouge_3", Metric::Rouge(3)),
    ("rouge_4", Metric::Rouge(4)),
    ("rouge_5", Metric::Rouge(5)),
    ("rouge_l", Metric::RougeL),
];

/// Longest reference, and longest text, that are compared place by place: characters for `fuzzy_match`, words for
/// `rouge_l`. The time is their product over 64 steps: about a second at the most.
const MAX_EXPECTED: usize = 1 << 16;
const MAX_GIVEN: usize = 1 << 20;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct TextSimilarity {
    input: Template,
    reference: Template,
    metric: Metric,
    pass_threshold: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    FuzzyMatch,
    Bleu,
    Gleu,
    Meteor,
    /// By n-grams of so many words.
    Rouge(usize),
    RougeL,
}

/// A reference, ready for its metric.
pub(crate) enum Expected {
    Letters(Box<LetterSequence>),
    Words(WordSequence),
    Ngrams(Ngrams),
    Meteor(Meteor),
}

impl TextSimilarity {
    pub(crate) fn read(similarity: &wire::TextSimilarityGrader, path: &Path) -> Result<Self, GraderError> {
        let (input, reference) = read_texts(similarity, path)?;
        let metric = Metric::read(&similarity.evaluation_metric, path)?;
        Ok(Self { input, reference, metric, pass_threshold: similarity.pass_threshold })
    }

    pub(crate) fn to_wire(&self) -> wire::TextSimilarityGrader {
        wire::TextSimilarityGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            evaluation_metric: self.metric.name().to_owned(),
            pass_threshold: self.pass_threshold,
        }
    }
}

impl Metric {
    fn read(name: &str, path: &Path) -> Result<Self, GraderError> {
        if let Some((_, metric)) = METRICS.iter().find(|(known, _)| *known == name) {
            return Ok(*metric);
        }
        if name.is_empty() {
            return Err(GraderError::MissingField { field: path.field("evaluation_metric") });
        }
        let known = METRICS.map(|(known, _)| known).join(", ");
        Err(path.refuse("evaluation_metric", format!("must be one of {known}, {COSINE}, got `{name}`")))
    }

    fn name(self) -> &'static str {
        METRICS.iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| *name)
    }
}

impl PlainKind for TextSimilarity {
    type Expected = Expected;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    /// The reference as its metric needs it. One without a word is a fault of the item, as no text is like it.
    fn expect(&self, scope: Scope<'_>) -> Result<Expected, GradeError> {
        let reference = self.reference.render(scope)?;
        let refused = |detail: String| Err(GradeError::new(ErrorClass::InvalidReference, detail));
        if self.metric == Metric::FuzzyMatch {
            let length = characters(&reference);
            return match length > MAX_EXPECTED {
                true => refused(too_long("the reference", "characters", MAX_EXPECTED, length)),
                false => Ok(Expected::Letters(Box::new(LetterSequence::new(&reference)))),
            };
        }
        self.with_words(&reference, |words| match self.metric {
            _ if words.is_empty() => refused(format!("the reference has no word, got `{}`", excerpt(&reference))),
            Metric::RougeL if words.len() > MAX_EXPECTED => {
                refused(too_long("the reference", "words", MAX_EXPECTED, words.len()))
            }
            Metric::RougeL => Ok(Expected::Words(WordSequence::new(words))),
            Metric::Meteor => Ok(Expected::Meteor(Meteor::new(words))),
            Metric::Rouge(order) => Ok(Expected::Ngrams(Ngrams::new(words, order))),
            _ => Ok(Expected::Ngrams(Ngrams::new(words, ORDER))),
        })
    }

    /// How alike the text and the reference are.
    fn grade(&self, expected: &Expected, text: &str) -> Grade {
        let refused = |noun: &str, length: usize| {
            let detail = too_long("the text", noun, MAX_GIVEN, length);
            Grade::failed(GradeError::new(ErrorClass::Other, detail))
        };
        match expected {
            Expected::Letters(letters) => match characters(text) {
                length if length > MAX_GIVEN => refused("characters", length),
                length => Grade::scored(letters.ratio(text, length)),
            },
            Expected::Words(sequence) => self.with_words(text, |words| match words.len() {
                length if length > MAX_GIVEN => refused("words", length),
                _ => Grade::scored(sequence.rouge_l(words)),
            }),
            Expected::Meteor(meteor) => Grade::scored(self.with_words(text, |words| meteor.score(words))),
            Expected::Ngrams(ngrams) => {
                let overlap = self.with_words(text, |words| ngrams.overlap(words));
                Grade::scored(match self.metric {
                    Metric::Rouge(order) => rouge(&overlap, order),
                    Metric::Gleu => gleu(&overlap),
                    _ => bleu(&overlap),
                })
            }
        }
    }
}

impl TextSimilarity {
    /// What `function` makes of the words of a text, as the metric sees them.
    fn with_words<T>(&self, text: &str, function: impl FnOnce(&Tokens) -> T) -> T {
        match self.metric {
            Metric::Rouge(_) | Metric::RougeL => function(&summary_words(text)),
            _ => function(&translation_tokens(text)),
        }
    }
}

/// The two texts that are compared, once everything but the metric is checked.
pub(crate) fn read_texts(
    similarity: &wire::TextSimilarityGrader,
    path: &Path,
) -> Result<(Template, Template), GraderError> {
    if similarity.input.is_empty() {
        return Err(GraderError::MissingField { field: path.field("input") });
    }
    if let Some(threshold) = similarity.pass_threshold.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
        return Err(path.refuse("pass_threshold", format!("must be 0 to 1, got {threshold}")));
    }
    Ok((read_template(&similarity.input, path, "input")?, read_reference(&similarity.reference, path)?))
}

fn too_long(what: &str, noun: &str, most: usize, length: usize) -> String {
    format!("{what} has {length} {noun}; at most {most} are compared")
}

fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}
