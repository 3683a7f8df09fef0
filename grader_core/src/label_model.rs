//! A judge model gives one of several labels; passing ones score 1, the others 0.

use crate::error::{GraderError, Path};
use crate::judge_prompt::JudgePrompt;
use crate::wire;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelModel {
    prompt: JudgePrompt,
    labels: Vec<String>,
    passing_labels: Vec<String>,
}

impl LabelModel {
    pub(crate) fn read(judge: &wire::LabelModelGrader, path: &Path) -> Result<Self, GraderError> {
        let prompt = JudgePrompt::read(&judge.model, &judge.input, judge.sampling_params.as_ref(), path)?;
        for (key, labels) in [("labels", &judge.labels), ("passing_labels", &judge.passing_labels)] {
            if labels.is_empty() {
                return Err(GraderError::MissingField { field: path.field(key) });
            }
            for (place, label) in labels.iter().enumerate() {
                if label.trim().is_empty() {
                    return Err(path.refuse(&format!("{key}[{place}]"), "must not be empty"));
                }
                if labels[..place].contains(label) {
                    return Err(path.refuse(&format!("{key}[{place}]"), format!("`{label}` stands there twice")));
                }
            }
        }
        if let Some(stray) = judge.passing_labels.iter().find(|label| !judge.labels.contains(label)) {
            let detail = format!("`{stray}` is none of labels: {}", judge.labels.join(", "));
            return Err(path.refuse("passing_labels", detail));
        }
        Ok(Self { prompt, labels: judge.labels.clone(), passing_labels: judge.passing_labels.clone() })
    }

    pub(crate) fn to_wire(&self) -> wire::LabelModelGrader {
        wire::LabelModelGrader {
            model: self.prompt.model().to_owned(),
            input: self.prompt.to_wire(),
            labels: self.labels.clone(),
            passing_labels: self.passing_labels.clone(),
            sampling_params: self.prompt.sampling(),
        }
    }

    pub(crate) fn prompt(&self) -> &JudgePrompt {
        &self.prompt
    }
}
