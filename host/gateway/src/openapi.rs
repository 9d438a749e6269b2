//! The description of the interface, made from the code: OpenAPI 3.1.

use crate::{
    api::{
        events, functions, inputs, jobs, lists, modules, results, submit, system, tasks, workers,
    },
    schemas::ProblemView,
};
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "wasmgrid",
        description = "Jobs of WebAssembly tasks over HTTP. Objects may get further members; numbers that may exceed 2^53 are strings.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        lists::modules,
        modules::have,
        modules::put,
        lists::jobs,
        submit::submit,
        jobs::job,
        inputs::append,
        results::results,
        events::events,
        jobs::explain,
        jobs::divergences,
        jobs::close,
        jobs::cancel,
        jobs::retry,
        tasks::task,
        tasks::input,
        tasks::output,
        tasks::log,
        functions::list,
        functions::deploy,
        functions::call,
        functions::delete,
        lists::workers,
        workers::worker,
        workers::cordon,
        workers::uncordon,
        workers::drain,
        system::openapi,
        system::metrics,
        system::health,
        system::ready,
    ),
    components(schemas(ProblemView)),
    modifiers(&Keys),
    security(("key" = [])),
)]
struct Document;

/// Every call takes a key, but for those that say otherwise.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("wgk1_ID_SECRET")
            .description(Some("A key of the grid"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(key.build()));
    }
}

/// The document as JSON, with its members sorted.
#[must_use]
pub fn document() -> String {
    let document: Value = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn the_document_that_is_kept_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let document = document();
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &document).expect("it is writable");
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == document,
            "docs/openapi.json differs; BLESS=1 cargo test -p wasmgrid-gateway openapi writes it"
        );
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let source = include_str!("api/mod.rs");
        let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let mut routes: Vec<&str> = routes.collect();
        routes.sort_unstable();
        let document = Document::openapi();
        let described: Vec<&str> = document.paths.paths.keys().map(String::as_str).collect();
        assert_eq!(described, routes);
        let version = serde_json::to_value(&document.openapi).expect("JSON");
        assert_eq!(version, "3.1.0");
    }
}
