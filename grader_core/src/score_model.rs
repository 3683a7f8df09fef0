//! A judge model gives a number within a range.

use crate::error::{GraderError, Path};
use crate::judge_prompt::JudgePrompt;
use crate::wire;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreModel {
    prompt: JudgePrompt,
    lowest: f64,
    highest: f64,
    pass_threshold: Option<f64>,
}

impl ScoreModel {
    pub(crate) fn read(judge: &wire::ScoreModelGrader, path: &Path) -> Result<Self, GraderError> {
        let prompt = JudgePrompt::read(&judge.model, &judge.input, judge.sampling_params.as_ref(), path)?;
        let (lowest, highest) = match judge.range.as_slice() {
            [] => (0.0, 1.0),
            [lowest, highest] if lowest.is_finite() && highest.is_finite() && lowest < highest => (*lowest, *highest),
            given => {
                let detail = format!("must be two numbers, the lowest and the highest score, got {given:?}");
                return Err(path.refuse("range", detail));
            }
        };
        if let Some(threshold) = judge.pass_threshold.filter(|threshold| !(lowest..=highest).contains(threshold)) {
            let detail = format!("must be within range, {lowest} to {highest}, got {threshold}");
            return Err(path.refuse("pass_threshold", detail));
        }
        Ok(Self { prompt, lowest, highest, pass_threshold: judge.pass_threshold })
    }

    pub(crate) fn to_wire(&self) -> wire::ScoreModelGrader {
        wire::ScoreModelGrader {
            model: self.prompt.model().to_owned(),
            input: self.prompt.to_wire(),
            range: vec![self.lowest, self.highest],
            sampling_params: self.prompt.sampling(),
            pass_threshold: self.pass_threshold,
        }
    }

    pub(crate) fn prompt(&self) -> &JudgePrompt {
        &self.prompt
    }
}
