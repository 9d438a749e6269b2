//! What is answered if something cannot be done: `application/problem+json` (RFC 9457). A problem has
//! a stable code: the name of the scheduler's reason, or one of the gateway's own.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use wasmgrid_client::ClientError;
use wasmgrid_proto::{
    Reason,
    wire::{ApiError, ErrorCode},
};

use crate::answer::no_room;

/// What a problem's `type` begins with; its code stands behind it.
const TYPE: &str = "urn:wasmgrid:problem:";

/// Seconds after which a request is worth another try while the grid is away.
const AWAY_S: u32 = 5;

/// The same while something is full that empties soon.
const SOON_S: u32 = 1;

/// The same while a quota is used up.
const QUOTA_S: u32 = 60;

/// Why a request is not answered as it was meant.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: String,
    title: String,
    detail: String,
    retry_after: Option<u32>,
    /// Further members.
    more: Map<String, Value>,
}

impl Problem {
    /// One of the gateway's own.
    pub fn new(
        status: StatusCode,
        code: &str,
        title: &str,
        detail: impl std::fmt::Display,
    ) -> Self {
        Self {
            status,
            code: code.to_owned(),
            title: title.to_owned(),
            detail: detail.to_string(),
            retry_after: None,
            more: Map::new(),
        }
    }

    /// The request cannot be understood.
    pub fn invalid(code: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The request is invalid.", detail)
    }

    /// A body, or a part of one, is too large.
    pub fn too_large(detail: impl std::fmt::Display) -> Self {
        let title = "The request has too many bytes.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", title, detail)
    }

    /// The gateway has no room for it now.
    pub fn busy(code: &str, detail: impl std::fmt::Display) -> Self {
        let title = "Too much is open at the same time.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, title, detail).after(SOON_S)
    }

    /// The grid does not answer.
    pub fn away(detail: impl std::fmt::Display) -> Self {
        let title = "The grid cannot be reached.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "grid_away", title, detail).after(AWAY_S)
    }

    /// The gateway stops.
    pub fn stopping() -> Self {
        let (title, detail) = ("The gateway is stopping.", "the gateway is stopping; try again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "gateway_stopping", title, detail).after(SOON_S)
    }

    /// Says after how many seconds it is worth another try.
    pub fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Has one more member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The same with another status.
    pub fn at(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Its status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Its stable name.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What is so, in one sentence.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What is so in this case.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// True if the grid does not answer.
    pub fn is_away(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// The document.
    pub fn json(&self) -> Value {
        let mut all = json!({
            "type": format!("{TYPE}{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Some(object) = all.as_object_mut() {
            object.extend(self.more.clone());
        }
        all
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.json().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let reason = &*error.reason;
        let known = Reason::ALL.iter().find(|entry| entry.name == reason.name());
        let title = known.map_or("The grid refused the request.", |entry| entry.meaning);
        let (status, retry_after) = answer(error.code, reason);
        let mut problem = Self::new(status, reason.name(), title.trim(), &error);
        problem.retry_after = retry_after;
        match reason {
            Reason::NotAdmitted { refusal } => problem.with("refusal", refusal.name()),
            Reason::ResultsSkipped { next, .. } => problem.with("next", *next),
            Reason::Overlap { next, .. } | Reason::Gap { next, .. } => problem.with("next", *next),
            Reason::OutOfOrder { last, .. } => problem.with("last", last.to_string()),
            Reason::KeyInUse { job, .. } => problem.with("job", job.0),
            _ => problem,
        }
    }
}

/// The status of a reason, and after how many seconds the request is worth another try.
const fn answer(code: ErrorCode, reason: &Reason) -> (StatusCode, Option<u32>) {
    match reason {
        Reason::DiskFull | Reason::DiskReserved { .. } => {
            (StatusCode::INSUFFICIENT_STORAGE, Some(QUOTA_S))
        }
        Reason::TooManyRequests { .. }
        | Reason::UnreadAnswers { .. }
        | Reason::TooManyLookups { .. }
        | Reason::UploadsWait { .. }
        | Reason::AllUploadsWait { .. }
        | Reason::TooManyWatches { .. } => (StatusCode::TOO_MANY_REQUESTS, Some(SOON_S)),
        Reason::OverQuota { .. }
        | Reason::TooManyDemands { .. }
        | Reason::TooManyBlobs { .. }
        | Reason::TooManyModules { .. } => (StatusCode::TOO_MANY_REQUESTS, Some(QUOTA_S)),
        Reason::InputTooLarge { .. }
        | Reason::RequestTooLarge { .. }
        | Reason::TooManyInputs { .. }
        | Reason::BlobSize { .. } => (StatusCode::PAYLOAD_TOO_LARGE, None),
        Reason::CheckInterrupted { .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(SOON_S)),
        _ => match code {
            ErrorCode::Invalid | ErrorCode::Refused => (StatusCode::UNPROCESSABLE_ENTITY, None),
            ErrorCode::NotFound => (StatusCode::NOT_FOUND, None),
            ErrorCode::Forbidden => (StatusCode::FORBIDDEN, None),
            ErrorCode::Conflict => (StatusCode::CONFLICT, None),
            ErrorCode::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Some(AWAY_S)),
            ErrorCode::Gone => (StatusCode::GONE, None),
            ErrorCode::Unsupported => (StatusCode::NOT_IMPLEMENTED, None),
        },
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api(error) => error.into(),
            ClientError::Lost => Self::away(error).with("done", Value::Null),
            ClientError::Unsupported { .. } => {
                let title = "The scheduler is too old for the request.";
                Self::new(StatusCode::NOT_IMPLEMENTED, "scheduler_too_old", title, error)
            }
            ClientError::NoRoom { .. } => no_room(),
            ClientError::Stopped => Self::stopping(),
            // What stands behind it may name addresses, and is for the gateway's log.
            other => {
                tracing::warn!(error = %chain(&other), "a request could not be answered");
                Self::away(other)
            }
        }
    }
}

/// An error with those under it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use wasmgrid_proto::{ByteCount, JobId, Refusal};

    use super::*;

    #[test]
    fn a_problem_has_the_reasons_name_and_a_status_of_its_kind() {
        let refusal = Box::new(Refusal::NotATask { found: "a stone".into() });
        for (reason, status, code) in [
            (Reason::NoJob { job: JobId(7) }, 404, "no_such_job"),
            (Reason::NotAdmitted { refusal }, 422, "module_refused"),
            (Reason::JobActive { job: JobId(7) }, 409, "job_active"),
            (Reason::DiskFull, 507, "disk_full"),
            (Reason::TooManyRequests { allowed: 1 }, 429, "too_many_requests"),
            (Reason::InputTooLarge { index: 0, allowed: 1 }, 413, "input_too_large"),
            (Reason::Stopping, 503, "scheduler_stopping"),
            (Reason::UnknownKey, 403, "key_unknown"),
        ] {
            let problem = Problem::from(ApiError::from(reason));
            let json = problem.json();
            assert_eq!((problem.status().as_u16(), &json["code"]), (status, &json!(code)));
            assert_eq!(json["type"], json!(format!("{TYPE}{code}")));
            let retried = matches!(status, 429 | 503 | 507);
            let response = problem.into_response();
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retried, "{code}");
        }
    }

    #[test]
    fn no_problem_names_a_command() {
        let reserve = Reason::DiskReserved { free: ByteCount(1), reserve: ByteCount(2) };
        for error in [ClientError::Lost, ClientError::Stopped, ClientError::Api(reserve.into())] {
            let text = Problem::from(error).json().to_string();
            assert!(!text.contains("--") && !text.contains("wasmgrid "), "{text}");
        }
    }
}
