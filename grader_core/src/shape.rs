//! Shapes length and form: 1 inside the bounds, falling evenly to 0 outside them, and 0 without the required pattern.

use crate::error::{GraderError, Path};
use crate::grade::{Grade, GradeError, count};
use crate::pattern::Pattern;
use crate::plain_kind::PlainKind;
use crate::scope::Scope;
use crate::spec::read_input;
use crate::template::Template;
use crate::wire;

/// The settings. Lengths are in Unicode characters (scalar values).
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    input: Template,
    min_characters: u32,
    /// `None` for no bound.
    max_characters: Option<u32>,
    slope_characters: u32,
    required_pattern: Option<Pattern>,
}

impl Shape {
    pub(crate) fn read(shape: &wire::ShapeGrader, path: &Path) -> Result<Self, GraderError> {
        let length = |given: i32, key: &str| {
            u32::try_from(given).map_err(|_| path.refuse(key, format!("must be at least 0, got {given}")))
        };
        let min_characters = length(shape.min_characters, "min_characters")?;
        let max_characters = Some(length(shape.max_characters, "max_characters")?).filter(|most| *most > 0);
        let slope_characters = length(shape.slope_characters, "slope_characters")?;
        if let Some(most) = max_characters.filter(|most| *most < min_characters) {
            let detail = format!("must be at least min_characters, {min_characters}, or 0 for no bound; got {most}");
            return Err(path.refuse("max_characters", detail));
        }
        let required_pattern = match shape.required_pattern.as_str() {
            "" => None,
            source => Some(Pattern::read(source, path, "required_pattern")?),
        };
        if min_characters == 0 && max_characters.is_none() && required_pattern.is_none() {
            let detail = "gives every text 1; set min_characters, max_characters or required_pattern";
            return Err(path.refuse("max_characters", detail));
        }
        let input = read_input(&shape.input, path)?;
        Ok(Self { input, min_characters, max_characters, slope_characters, required_pattern })
    }

    pub(crate) fn to_wire(&self) -> wire::ShapeGrader {
        let number = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        wire::ShapeGrader {
            input: self.input.source().to_owned(),
            min_characters: number(self.min_characters),
            max_characters: number(self.max_characters.unwrap_or_default()),
            slope_characters: number(self.slope_characters),
            required_pattern: self.required_pattern.as_ref().map_or("", Pattern::source).to_owned(),
        }
    }

    /// How many characters lie between a length and the bounds.
    fn excess(&self, length: usize) -> usize {
        let (least, most) = (self.min_characters as usize, self.max_characters.map(|most| most as usize));
        let over = most.map_or(0, |most| length.saturating_sub(most));
        over.max(least.saturating_sub(length))
    }
}

impl PlainKind for Shape {
    type Expected = ();

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        Vec::new()
    }

    fn expect(&self, _: Scope<'_>) -> Result<(), GradeError> {
        Ok(())
    }

    /// The share of the slope that is left at the text's length.
    fn grade(&self, (): &(), text: &str) -> Grade {
        if self.required_pattern.as_ref().is_some_and(|pattern| !pattern.matches(text)) {
            return Grade::scored(0.0);
        }
        let excess = self.excess(text.chars().count());
        let slope = f64::from(self.slope_characters);
        let score = match excess {
            0 => 1.0,
            _ if slope == 0.0 => 0.0,
            _ => (1.0 - count(excess) / slope).max(0.0),
        };
        Grade::scored(score)
    }
}
