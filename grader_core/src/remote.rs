//! A grader that a team runs itself: a gRPC `GradingService` or an HTTP endpoint.

use crate::error::{GraderError, Path};
use crate::wire;

const SCHEMES: [&str; 4] = ["grpc://", "grpcs://", "http://", "https://"];
/// Longest wait for one answer, in seconds, where nothing is said.
const TIMEOUT_SECONDS: f64 = 30.0;
const MAX_TIMEOUT_SECONDS: f64 = 600.0;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Remote {
    endpoint: String,
    timeout_seconds: f64,
    settings_json: String,
}

impl Remote {
    pub(crate) fn read(remote: &wire::RemoteGrader, path: &Path) -> Result<Self, GraderError> {
        if remote.endpoint.is_empty() {
            return Err(GraderError::MissingField { field: path.field("endpoint") });
        }
        let host = SCHEMES.iter().find_map(|scheme| remote.endpoint.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace)) {
            let detail = format!("must be {} and a host, got `{}`", SCHEMES.join(", "), remote.endpoint);
            return Err(path.refuse("endpoint", detail));
        }
        let timeout_seconds = remote.timeout_seconds.unwrap_or(TIMEOUT_SECONDS);
        if !(timeout_seconds > 0.0 && timeout_seconds <= MAX_TIMEOUT_SECONDS) {
            let detail = format!("must be above 0, and {MAX_TIMEOUT_SECONDS} at the most, got {timeout_seconds}");
            return Err(path.refuse("timeout_seconds", detail));
        }
        if !remote.settings_json.is_empty() {
            let read: Result<serde_json::Map<String, serde_json::Value>, _> =
                serde_json::from_str(&remote.settings_json);
            read.map_err(|fault| path.refuse("settings_json", format!("must be a JSON object: {fault}")))?;
        }
        Ok(Self { endpoint: remote.endpoint.clone(), timeout_seconds, settings_json: remote.settings_json.clone() })
    }

    pub(crate) fn to_wire(&self) -> wire::RemoteGrader {
        wire::RemoteGrader {
            endpoint: self.endpoint.clone(),
            timeout_seconds: Some(self.timeout_seconds),
            settings_json: self.settings_json.clone(),
        }
    }
}
