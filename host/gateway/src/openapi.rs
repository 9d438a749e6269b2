//! The description of the interface, made from the code: OpenAPI 3.1.

use crate::{
    api::{
        events, functions, inputs, jobs, lists, modules, results, submit, system, tasks, workers,
    },
    schemas::ProblemView,
};
use serde_json::{Value, json};
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
    let mut document: Value = serde_json::to_value(Document::openapi()).unwrap_or_default();
    unsigned(&mut document);
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        let operations = item.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut);
        operations.for_each(|operation| complete(path, operation));
    }
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// Says of whole numbers that cannot be negative that they use all of their bits.
fn unsigned(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(unsigned),
        Value::Object(members) => {
            let is_unsigned =
                members.get("minimum").is_some_and(|least| least.as_f64() >= Some(0.0));
            let format = members.get("format").and_then(Value::as_str);
            let format = match format.filter(|_| is_unsigned) {
                Some("int32") => Some("uint32"),
                Some("int64") => Some("uint64"),
                _ => None,
            };
            if let Some(format) = format {
                members.insert("format".into(), format.into());
            }
            members.values_mut().for_each(unsigned);
        }
        _ => {}
    }
}

/// Adds what holds for every call: what is left out is not `null` in an address or a head, and any error is
/// a problem.
fn complete(path: &str, operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let kind = parameter.pointer_mut("/schema/type");
        if let Some(Value::Array(kinds)) = kind {
            kinds.retain(|kind| kind != "null");
        }
    }
    if !path.starts_with("/v1/") && path != "/metrics" {
        return;
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    let Some(responses) = responses else { return };
    let problem = |what: &str| {
        json!({
            "description": what,
            "content": { "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/ProblemView" },
            } },
        })
    };
    let any = "Any other error; `code` says which";
    responses.entry("default").or_insert_with(|| problem(any));
    let no_key = "The key is missing, unknown, revoked or expired";
    responses.entry("401").or_insert_with(|| problem(no_key));
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
