//! What requests say in their paths, queries and headers; what is wrong there is a problem.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use tokio::time::{Duration, timeout};
use wasmgrid_client::ClientError;

use crate::{app::App, problem::Problem};

/// For how long a question to the scheduler is waited for.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What stands in the path.
pub struct At<T>(pub T);

/// What stands in the query.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        // What has no such form is the name of nothing.
        let title = "There is nothing at this path.";
        path.map(|Path(found)| Self(found)).map_err(|error| {
            Problem::new(StatusCode::NOT_FOUND, "path_invalid", title, error.body_text())
        })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, app).await;
        query
            .map(|Query(found)| Self(found))
            .map_err(|error| Problem::invalid("query_invalid", error.body_text()))
    }
}

/// The text of a header; `None` if it is missing.
///
/// # Errors
/// If it is there twice, or is no text.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::invalid(
            "header_invalid",
            format!("the header {name} is there twice"),
        ));
    }
    let Some(value) = first else { return Ok(None) };
    let wrong = |_| Problem::invalid("header_invalid", format!("the header {name} is no text"));
    value.to_str().map(Some).map_err(wrong)
}

/// The answer to a question to the scheduler, which must come in time.
///
/// # Errors
/// As the scheduler says, or if it does not answer.
pub async fn ask<T>(question: impl Future<Output = Result<T, ClientError>>) -> Result<T, Problem> {
    match timeout(ANSWER_TIME, question).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Problem::away(
            "the scheduler did not answer in time; it is unknown whether the request was done",
        )),
    }
}
