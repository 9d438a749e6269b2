//! `wasmgrid function deploy|list|call|delete`.

use std::io::{self, Read as _};

use anyhow::Context as _;
use bytes::Bytes;
use wasmgrid_client::CallResult;
use wasmgrid_proto::{FunctionTerms, Outcome};
use wasmgrid_views::{CallView, FunctionView};

use super::with;
use crate::{
    args::{AskArgs, DeployArgs, Format, FunctionCommand, Talk, Version},
    exit::{Exit, usage},
    print::{self, data, message},
    run::Task,
    table,
};

/// Does what was asked of functions.
///
/// # Errors
/// Where the cluster cannot be reached, has no such function, or refuses it.
pub async fn function(command: FunctionCommand, talk: Talk) -> anyhow::Result<Exit> {
    match command {
        FunctionCommand::Deploy(args) => deploy(*args, talk).await,
        FunctionCommand::List { ask: AskArgs { grid, output } } => {
            let all = with(&grid, async |client| Ok(client.functions().await?)).await?;
            let views: Vec<FunctionView<'_>> = all.iter().map(FunctionView::from).collect();
            if output == Format::Json {
                table::json(&views)?;
            } else {
                let row = |one: &FunctionView<'_>| {
                    let at_once = one.concurrency.map_or_else(String::new, |most| most.to_string());
                    let (called, open) = (one.called.to_string(), one.open.to_string());
                    [
                        one.name.into(),
                        called,
                        open,
                        at_once,
                        one.job.to_string(),
                        one.module.clone(),
                    ]
                };
                let heading = ["FUNCTION", "CALLS", "OPEN", "AT ONCE", "JOB", "MODULE"];
                table::rows(heading, views.iter().map(row))?;
            }
            Ok(Exit::Ok)
        }
        FunctionCommand::Call { function, input, ask: AskArgs { grid, output } } => {
            let input = match input {
                Some(text) => Bytes::from(text.into_bytes()),
                None => from_stdin()?,
            };
            let Version { name, module } = function;
            let result = with(&grid, async |client| {
                let caller = client.caller(&name, module)?;
                Ok(caller.call(input).await?)
            });
            print(&result.await?, output)
        }
        FunctionCommand::Delete { name, grid } => {
            with(&grid, async |client| Ok(client.delete_function(&name).await?)).await?;
            Ok(Exit::Ok)
        }
    }
}

async fn deploy(args: DeployArgs, talk: Talk) -> anyhow::Result<Exit> {
    if let Some(flag) = args.useless() {
        return Err(usage(format!(
            "{flag} is for jobs; a function has no end and the name it is given"
        )));
    }
    let Some(name) = args.function.clone() else { return Err(usage("no function is named")) };
    name.parse::<Version>().map_err(usage)?;
    let task = Task::load(&args.job, talk)?;
    let terms = FunctionTerms { concurrency: args.concurrency, calls: args.max_calls };
    let mut spec = task.spec(&args.job);
    spec.name.clone_from(&name);
    let spec = spec.of_function(terms).context("failed to encode the function")?;
    let named = task.named();
    let deployed =
        with(&args.grid, async |client| Ok(client.deploy_with(&name, spec, &named).await?));
    let status = deployed.await?;
    match args.output {
        Format::Json => table::json(&FunctionView::from(&status))?,
        Format::Text => data!("{}@{}", status.name, status.module)?,
    }
    Ok(Exit::Ok)
}

fn from_stdin() -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).context("failed to read stdin")?;
    Ok(bytes.into())
}

fn print(result: &CallResult, output: Format) -> anyhow::Result<Exit> {
    if output == Format::Json {
        table::json(&CallView::new(result.job, &result.meta, &result.bytes)?)?;
    } else {
        print::exactly_bytes(&result.output())?;
    }
    if result.meta.outcome == Outcome::Ok {
        return Ok(Exit::Ok);
    }
    message!("the call failed: {}", result.meta.outcome);
    Ok(Exit::Failed)
}
