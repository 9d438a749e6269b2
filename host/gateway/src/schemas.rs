//! Shapes of answers under the names that the description of the interface has for them.

use serde::Serialize;
use utoipa::ToSchema;
use wasmgrid_views::{AppendedView, ExplanationView, FunctionView, ResultLine, TaskView};

/// Views that borrow, under names without lifetimes.
pub type Appended = AppendedView;
pub type Explanation = ExplanationView<'static>;
pub type Function = FunctionView<'static>;
pub type ResultObject = ResultLine<'static>;
pub type Task = TaskView<'static>;

/// Why a request is not answered as it was meant (RFC 9457). Problems may have further members.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemView {
    /// A URN that ends with the code.
    r#type: String,
    /// What kind of problem it is.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What is wrong in this case.
    detail: String,
    /// A name that stays the same, by which programs decide.
    code: String,
}
