//! Finds a number in the text and compares it with the reference: the last one, or the first one behind a marker.

use crate::amount::Amount;
use crate::error::{GraderError, Path};
use crate::expression::{answering_side, leading_value};
use crate::full_width::narrowed;
use crate::grade::{ErrorClass, Grade, GradeError, excerpt};
use crate::location::{Location, Region, lines_from_the_end};
use crate::numeral::{Numeral, numerals};
use crate::plain_kind::PlainKind;
use crate::quantity::Quantity;
use crate::scope::Scope;
use crate::spec::{read_input, read_location, read_partial_score, read_reference};
use crate::template::Template;
use crate::wire;

const ABSOLUTE_TOLERANCE: f64 = 1e-6;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    input: Template,
    reference: Template,
    location: Location,
    absolute_tolerance: Tolerance,
    relative_tolerance: Tolerance,
    partial_score: f64,
    percent_as_fraction: bool,
    expression: bool,
}

/// A tolerance as it was given and as it is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tolerance {
    given: f64,
    exact: Quantity,
}

impl Tolerance {
    fn read(given: f64, path: &Path, key: &str) -> Result<Self, GraderError> {
        match Quantity::from_double(given) {
            Some(exact) if given >= 0.0 => Ok(Self { given, exact }),
            _ => Err(path.refuse(key, format!("must be a finite number of at least 0, got {given}"))),
        }
    }
}

impl Number {
    pub(crate) fn read(number: &wire::NumberGrader, path: &Path) -> Result<Self, GraderError> {
        let absolute = number.absolute_tolerance.unwrap_or(ABSOLUTE_TOLERANCE);
        let relative = number.relative_tolerance.unwrap_or(0.0);
        Ok(Self {
            input: read_input(&number.input, path)?,
            reference: read_reference(&number.reference, path)?,
            location: read_location(number.location.as_ref(), path)?,
            absolute_tolerance: Tolerance::read(absolute, path, "absolute_tolerance")?,
            relative_tolerance: Tolerance::read(relative, path, "relative_tolerance")?,
            partial_score: read_partial_score(number.partial_score, path)?,
            percent_as_fraction: number.percent_as_fraction,
            expression: number.expression,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::NumberGrader {
        wire::NumberGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            location: self.location.to_wire(),
            absolute_tolerance: Some(self.absolute_tolerance.given),
            relative_tolerance: Some(self.relative_tolerance.given),
            partial_score: Some(self.partial_score),
            percent_as_fraction: self.percent_as_fraction,
            expression: self.expression,
        }
    }
}

impl PlainKind for Number {
    type Expected = Amount;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    /// The reference as an amount. It must be one number; signs of currency, brackets and the like may stand around it,
    /// words not.
    fn expect(&self, scope: Scope<'_>) -> Result<Amount, GradeError> {
        let reference = self.reference.render(scope)?;
        let refused = || {
            let detail = format!("the reference must be one number, got `{}`", excerpt(&reference));
            GradeError::new(ErrorClass::InvalidReference, detail)
        };
        let reference = narrowed(&reference);
        let mut found = numerals(&reference);
        let (Some(only), None) = (found.next(), found.next()) else { return Err(refused()) };
        let (before, behind) = (&reference[..only.start], &reference[only.end..]);
        if before.chars().chain(behind.chars()).any(char::is_alphanumeric) {
            return Err(refused());
        }
        Amount::read(only, self.percent_as_fraction).ok_or_else(refused)
    }

    /// 1 for the right number, the partial score for another, 0 for none.
    fn grade(&self, expected: &Amount, text: &str) -> Grade {
        let Some(answer) = self.answer(text) else { return Grade::scored(0.0) };
        let is_right = answer.is_near(expected, self.absolute_tolerance.exact, self.relative_tolerance.exact);
        Grade::of_answer(if is_right { 1.0 } else { self.partial_score }, answer.text())
    }
}

impl Number {
    fn answer(&self, text: &str) -> Option<Amount> {
        let region = self.location.narrow(text);
        let calculated = if self.expression { self.calculated(region) } else { None };
        calculated.or_else(|| self.stated(region))
    }

    /// The value of the expression in the answer's line; where there is an equation, what it comes to.
    fn calculated(&self, region: Region<'_>) -> Option<Amount> {
        let line = match region {
            Region::AfterMarker(rest) => rest.lines().next(),
            Region::Whole(text) => lines_from_the_end(text).find(|line| !line.trim().is_empty()),
            Region::Nowhere => None,
        };
        let line = narrowed(line?);
        let side = answering_side(&line);
        let same_rule =
            if matches!(region, Region::Whole(_)) { Region::Whole(side) } else { Region::AfterMarker(side) };
        leading_value(side).map(Amount::from).or_else(|| self.stated(same_rule))
    }

    /// The number that the text states: the first one behind the marker, else the last one.
    fn stated(&self, region: Region<'_>) -> Option<Amount> {
        let value = |numeral: Numeral<'_>| Amount::read(numeral, self.percent_as_fraction);
        match region {
            Region::AfterMarker(rest) => numerals(&narrowed(rest)).find_map(value),
            // No number runs over the end of a line, so the lines are read from the last one up, and mostly only that
            // one.
            Region::Whole(text) => lines_from_the_end(text).find_map(|line| {
                let line = narrowed(line);
                let last = numerals(&line).last()?;
                value(last).or_else(|| numerals(&line).filter_map(value).last())
            }),
            Region::Nowhere => None,
        }
    }
}
