//! What the two kinds of judge models share: the model's name, the messages it reads and how it samples.

use serde_json::json;

use crate::error::{GraderError, Path};
use crate::grade::GradeError;
use crate::scope::Scope;
use crate::spec::read_template;
use crate::template::Template;
use crate::wire;

/// Who may speak in a judge's prompt.
const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];
/// The words of `reasoning_effort`.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// The model and its prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgePrompt {
    model: String,
    messages: Vec<(&'static str, Template)>,
    sampling: Option<wire::JudgeSampling>,
}

impl JudgePrompt {
    pub(crate) fn read(
        model: &str,
        input: &[wire::JudgeMessage],
        sampling: Option<&wire::JudgeSampling>,
        path: &Path,
    ) -> Result<Self, GraderError> {
        if model.is_empty() {
            return Err(GraderError::MissingField { field: path.field("model") });
        }
        if input.is_empty() {
            return Err(GraderError::MissingField { field: path.field("input") });
        }
        let read = |(place, message): (usize, &wire::JudgeMessage)| {
            let place = path.enter(&format!("input[{place}]"));
            let Some(role) = ROLES.into_iter().find(|role| *role == message.role) else {
                let detail = format!("must be one of {}, got `{}`", ROLES.join(", "), message.role);
                return Err(place.refuse("role", detail));
            };
            Ok((role, read_template(&message.content, &place, "content")?))
        };
        let messages = input.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        check_sampling(sampling, &path.enter("sampling_params"))?;
        Ok(Self { model: model.to_owned(), messages, sampling: sampling.cloned() })
    }

    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    pub(crate) fn sampling(&self) -> Option<wire::JudgeSampling> {
        self.sampling.clone()
    }

    pub(crate) fn to_wire(&self) -> Vec<wire::JudgeMessage> {
        let spelled = |(role, content): &(&str, Template)| wire::JudgeMessage {
            role: (*role).to_owned(),
            content: content.source().to_owned(),
        };
        self.messages.iter().map(spelled).collect()
    }

    pub(crate) fn templates(&self) -> Vec<(String, &Template)> {
        let places = self.messages.iter().enumerate();
        places.map(|(place, (_, content))| (format!("input[{place}].content"), content)).collect()
    }

    /// The messages with their templates filled.
    pub(crate) fn question(&self, scope: Scope<'_>) -> Result<String, GradeError> {
        let filled = |(role, content): &(&str, Template)| Ok(json!({"role": role, "content": content.render(scope)?}));
        let messages: Vec<_> = self.messages.iter().map(filled).collect::<Result<_, GradeError>>()?;
        Ok(serde_json::Value::Array(messages).to_string())
    }
}

fn check_sampling(sampling: Option<&wire::JudgeSampling>, path: &Path) -> Result<(), GraderError> {
    let Some(sampling) = sampling else { return Ok(()) };
    if let Some(top_p) = sampling.top_p.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
        return Err(path.refuse("top_p", format!("must be above 0, and 1 at the most, got {top_p}")));
    }
    if let Some(temperature) = sampling.temperature.filter(|temperature| !(0.0..=2.0).contains(temperature)) {
        return Err(path.refuse("temperature", format!("must be 0 to 2, got {temperature}")));
    }
    if let Some(tokens) = sampling.max_completions_tokens.filter(|tokens| *tokens < 1) {
        return Err(path.refuse("max_completions_tokens", format!("must be at least 1, got {tokens}")));
    }
    match &sampling.reasoning_effort {
        Some(effort) if !EFFORTS.contains(&effort.as_str()) => {
            let detail = format!("must be one of {}, got `{effort}`", EFFORTS.join(", "));
            Err(path.refuse("reasoning_effort", detail))
        }
        _ => Ok(()),
    }
}
