//! How a page is asked for.

use serde::Deserialize;

/// How much of a page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    All,
    /// All but results, which cost more than the rest.
    WithoutResults,
}

/// The queries of all pages; what a page does not know changes nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Jobs or workers in this state.
    pub state: String,
    /// Jobs whose name begins so.
    pub name: String,
    /// Jobs of this tenant.
    pub tenant: String,
    /// Where a list goes on.
    pub cursor: String,
    /// As what results are shown.
    #[serde(rename = "as")]
    pub shown: String,
}
