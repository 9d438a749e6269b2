//! Which page is asked for, by its path and query.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequestParts, MatchedPath, Path, Query},
    http::request::Parts,
    response::{IntoResponse as _, Response},
};
use wasmgrid_pages::Page;
use wasmgrid_proto::JobId;

use super::{
    answer::nothing,
    asked::{Asked, Extent},
    fill,
    viewer::Viewer,
};
use crate::{app::App, problem::Problem};

/// A page that is filled in.
pub type Filled = Box<dyn Page + Send>;

/// A page that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its path, as it was asked for.
    pub path: String,
    which: Which,
    asked: Asked,
}

#[derive(Clone, Debug)]
enum Which {
    Overview,
    Jobs,
    Job(JobId),
    Task(JobId, u64),
    Workers,
    Worker(String),
    Functions,
    Keys,
    About,
}

impl FromRequestParts<App> for Wanted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let matched = MatchedPath::from_request_parts(parts, app).await;
        let names = Path::<BTreeMap<String, String>>::from_request_parts(parts, app).await;
        let (Ok(matched), Ok(Path(names))) = (matched, names) else {
            return Err(nothing().into_response());
        };
        let asked = Query::<Asked>::from_request_parts(parts, app).await;
        let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
        let which = Which::of(matched.as_str(), names).ok_or_else(|| nothing().into_response())?;
        Ok(Self { path: parts.uri.path().to_owned(), which, asked })
    }
}

impl Which {
    /// That of a route, with the names in the path.
    fn of(route: &str, mut names: BTreeMap<String, String>) -> Option<Self> {
        let page = route.strip_suffix("/live").or_else(|| route.strip_suffix("/part/{id}"));
        let number = |name: &str| names.get(name)?.parse::<u64>().ok();
        Some(match page.unwrap_or(route) {
            "" | "/" => Self::Overview,
            "/jobs" => Self::Jobs,
            "/jobs/{job}" => Self::Job(JobId(number("job")?)),
            "/jobs/{job}/tasks/{index}" => Self::Task(JobId(number("job")?), number("index")?),
            "/workers" => Self::Workers,
            "/workers/{name}" => Self::Worker(names.remove("name")?),
            "/functions" => Self::Functions,
            "/keys" => Self::Keys,
            "/about" => Self::About,
            _ => return None,
        })
    }
}

impl Wanted {
    /// Fills it in.
    ///
    /// # Errors
    /// If the scheduler has no answer.
    pub async fn load(
        &self,
        app: &App,
        viewer: &Viewer,
        extent: Extent,
    ) -> Result<Filled, Problem> {
        let access = &viewer.access;
        Ok(match &self.which {
            Which::Overview => Box::new(fill::overview::overview(access).await?),
            Which::Jobs => Box::new(fill::jobs::jobs(access, &self.asked).await?),
            Which::Job(job) => {
                Box::new(fill::job::job(access, *job, &self.asked.shown, extent).await?)
            }
            Which::Task(job, index) => Box::new(fill::task::task(access, *job, *index).await?),
            Which::Workers => Box::new(fill::workers::workers(access, &self.asked).await?),
            Which::Worker(name) => Box::new(fill::worker::worker(access, name).await?),
            Which::Functions => {
                Box::new(fill::functions::functions(app, access, &self.asked.cursor).await?)
            }
            Which::Keys => Box::new(fill::keys::keys(access, &self.asked.cursor).await?),
            Which::About => Box::new(fill::about::about(app, access)),
        })
    }
}
