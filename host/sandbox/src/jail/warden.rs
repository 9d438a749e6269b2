//! The agent's side of the jail: hears what its children have entered, says once what is missing,
//! and refuses where all of it was asked for.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use rustix::process::geteuid;

use super::{
    Layer, Missing, Report,
    cgroup::{Cgroup, Cgroups},
};
use crate::{Isolation, SandboxConfig, SandboxError};

/// See the module. One for a sandbox.
#[derive(Debug)]
pub(crate) struct Warden {
    required: bool,
    cgroups: Option<Cgroups>,
    announced: Mutex<Announced>,
}

/// What was said already.
#[derive(Debug, Default)]
struct Announced {
    jail: bool,
    missing: BTreeSet<Layer>,
}

impl Warden {
    /// # Errors
    /// [`SandboxError::Jail`] where the jail is required and can be seen from here to be
    /// incomplete.
    pub(crate) fn start(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let mut warden = Self::new(config.require_jail);
        if config.isolation == Isolation::InProcess {
            let reason = "tasks run in this process, so code that escapes from one is in it";
            warden.lacks(Layer::Process, reason.into())?;
        } else if config.slots > 0 {
            match Cgroups::prepare(config.runner_memory()) {
                Ok(cgroups) => warden.cgroups = Some(cgroups),
                Err(error) => warden.lacks(Layer::Cgroup, error.to_string())?,
            }
        }
        Ok(warden)
    }

    /// That of a scheduler, which has no runners and so no cgroups.
    pub(crate) fn of_scheduler(required: bool) -> Self {
        Self::new(required)
    }

    fn new(required: bool) -> Self {
        Self { required, cgroups: None, announced: Mutex::default() }
    }

    /// Puts a runner into a control group of its own, where there are such.
    ///
    /// # Errors
    /// As [`Warden::hear`].
    pub(crate) fn confine(&self, process: u32) -> Result<Option<Cgroup>, SandboxError> {
        let Some(cgroups) = &self.cgroups else { return Ok(None) };
        match cgroups.put(process) {
            Ok(group) => Ok(Some(group)),
            Err(error) => self.lacks(Layer::Cgroup, error.to_string()).map(|()| None),
        }
    }

    fn lacks(&self, layer: Layer, reason: String) -> Result<(), SandboxError> {
        self.hear(&Report { entered: Vec::new(), missing: vec![Missing { layer, reason }] })
    }

    /// The layers that were found missing so far.
    pub(crate) fn missing(&self) -> Vec<Layer> {
        // As below.
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.missing.iter().copied().collect()
    }

    /// Whether a child without all layers is to be refused.
    pub(crate) const fn requires(&self) -> bool {
        self.required
    }

    /// Hears from a child, or of a layer that the agent was to give it.
    ///
    /// # Errors
    /// [`SandboxError::Jail`] where a layer is missing that must not be.
    pub(crate) fn hear(&self, report: &Report) -> Result<(), SandboxError> {
        self.announce(report);
        match report.missing.first().filter(|_| self.required) {
            None => Ok(()),
            Some(Missing { layer, reason }) => {
                Err(SandboxError::Jail { layer: *layer, reason: reason.clone() })
            }
        }
    }

    fn announce(&self, report: &Report) {
        // What was announced is valid after a panic: each change of it is one step.
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        for Missing { layer, reason } in &report.missing {
            if announced.missing.insert(*layer) {
                let remedy = layer.remedy();
                // Each run of an ordinary user lacks these, and the others hold without them.
                let is_usual = matches!(layer, Layer::User | Layer::Cgroup) && !geteuid().is_root();
                if is_usual {
                    tracing::info!("jail: no {layer}: {reason}; to have it, {remedy}");
                } else {
                    tracing::warn!("jail: no {layer}: {reason}; to have it, {remedy}");
                }
            }
        }
        if !report.entered.is_empty() && !std::mem::replace(&mut announced.jail, true) {
            let names: Vec<_> = report.entered.iter().map(|layer| layer.name()).collect();
            tracing::info!("jail: {}", names.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_landlock() -> Report {
        let missing = Missing { layer: Layer::Landlock, reason: "too old".into() };
        Report { entered: vec![Layer::Seccomp], missing: vec![missing] }
    }

    #[test]
    fn a_missing_layer_is_an_error_only_where_the_jail_is_required() {
        Warden::new(false).hear(&without_landlock()).expect("goes on without");
        let error = Warden::new(true).hear(&without_landlock()).expect_err("refused");
        let text = error.to_string();
        assert!(text.contains("landlock") && text.contains("Linux 5.13"), "{text}");
    }

    #[test]
    fn what_is_there_is_no_error() {
        let report = Report { entered: vec![Layer::Seccomp], missing: Vec::new() };
        Warden::new(true).hear(&report).expect("nothing is missing");
    }
}
